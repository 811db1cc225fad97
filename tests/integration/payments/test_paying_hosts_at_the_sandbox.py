"""Hosts are paid out through the payment service itself: its forms, transfers and reversals, and how it stumbles."""

from typing import Any

import pytest

from signaling.payments.port import TransferFact
from signaling.payments.transfers import look
from signaling.stores.schema import earnings, users

from .hosts import ANA, DAYS_15
from .test_paying_hosts import assert_all_is_well, back_to_the_payer, balances, holding_time_passes, rounds
from .test_what_a_host_sees import a_person
from .world import World

LOST = ["truncate_after_commit", "reset_after_commit"]


@pytest.fixture
async def town(world: World) -> World:
    """Ana has a room, and no account yet."""
    await world.reboot(connect=True)
    world.signed_in = a_person(ANA)
    user = {"id": ANA, "email": "ana@example.org", "name": "Ana", "role": "host", "created_at": "2026-01-01"}
    await world.db.write(lambda tx: tx.execute(users.insert().values(user)))
    await world.add_room(owner_id=ANA, capacity=50)
    return world


async def through_the_forms(world: World, outcome: str = "finish") -> None:
    status, said = await world.call("POST", "/api/me/onboarding", None, {"country": "IT"})
    assert status == 200, said
    token = said["url"].rsplit("/", 1)[1]
    url = world.api.make_url(f"/sandbox/api/onboarding/{token}")
    async with world.http.post(url, json={"outcome": outcome}) as answer:
        assert answer.status == 200, await answer.text()
    await world.settle_down()


@pytest.fixture
async def paid(town: World) -> World:
    """Ana can receive transfers."""
    await through_the_forms(town)
    return town


async def onboarding(world: World) -> dict[str, Any]:
    _, shown = await world.call("GET", "/api/me/earnings")
    state: dict[str, Any] = shown["onboarding"]
    return state


async def transfers(world: World) -> list[TransferFact]:
    """As the service has them."""
    service = world.payments.ctx.service
    found = [await service.find_transfers(row["id"], 0) for row in await world.rows("payouts")]
    return [one for several in found for one in several]


async def sent_minor(world: World) -> int:
    return sum(one.amount_minor - one.reversed_minor for one in await transfers(world))


async def account_becomes(world: World, status: str) -> None:
    row = await world.one("connected_accounts")
    await world.control("account", account=row["connected_id"], status=status)


# --- the forms --------------------------------------------------------------------------------------------


async def test_the_way_through_the_forms_is_heard_of(town: World) -> None:
    assert (await onboarding(town))["state"] == "none"
    await through_the_forms(town, "leave")
    left = await onboarding(town)
    assert left["state"] == "restricted"
    assert left["requirements"] != []
    await through_the_forms(town, "check")
    assert (await onboarding(town))["state"] == "pending"
    await account_becomes(town, "active")
    await town.settle_down()
    assert await onboarding(town) == {"state": "active", "requirements": []}


async def test_what_the_forms_came_to_is_asked_for_when_no_event_comes(town: World) -> None:
    town.webhooks_reach_us = False
    await through_the_forms(town)
    assert (await onboarding(town))["state"] != "active"
    _, fresh = await town.call("POST", "/api/me/onboarding/refresh", None, {})
    assert fresh["state"] == "active"


@pytest.mark.parametrize("fault", LOST)
async def test_an_account_whose_answer_was_lost_is_the_same_account(town: World, fault: str) -> None:
    await town.control("faults", operation="v2.core.accounts.create", fault=fault)
    status, said = await town.call("POST", "/api/me/onboarding", None, {"country": "IT"})
    assert (status, said["error"]["code"]) == (503, "payment_pending")
    await through_the_forms(town)
    assert (await onboarding(town))["state"] == "active"
    calls = [row for row in await town.rows("stripe_calls") if row["operation"] == "v2.core.accounts.create"]
    assert len(calls) == 1


# --- sending ----------------------------------------------------------------------------------------------


async def test_what_is_due_is_sent_from_the_money_of_its_charge(paid: World) -> None:
    await paid.buy()
    paid.later(DAYS_15 - 60)
    await paid.settle_down()
    assert await transfers(paid) == []
    paid.later(60)
    await paid.settle_down()
    (sent,) = await transfers(paid)
    assert (sent.amount_minor, sent.destination) == (
        1500,
        (await paid.one("connected_accounts"))["connected_id"],
    )
    assert (await paid.one("payouts"))["state"] == "sent"
    await assert_all_is_well(paid)
    await paid.assert_books_agree()


@pytest.mark.parametrize("fault", LOST)
async def test_a_transfer_whose_answer_was_lost_is_found_again(paid: World, fault: str) -> None:
    await paid.control("faults", operation="transfers.create", fault=fault)
    await paid.buy()
    await holding_time_passes(paid)
    await rounds(paid)
    assert ([one.amount_minor for one in await transfers(paid)], await balances(paid)) == ([1500], {})
    await assert_all_is_well(paid)


@pytest.mark.parametrize("effect", [False, True])
async def test_a_failure_that_is_saved_is_got_past(paid: World, effect: bool) -> None:
    await paid.control("faults", operation="transfers.create", fault="error_500_saved", effect=effect)
    await paid.buy()
    await holding_time_passes(paid)
    await rounds(paid)
    assert await sent_minor(paid) == 1500
    assert len(await transfers(paid)) == 1
    await assert_all_is_well(paid)


async def test_an_account_that_was_restricted_behind_our_back_is_waited_for(paid: World) -> None:
    await paid.buy()
    await account_becomes(paid, "restricted")
    paid.later(DAYS_15)
    await paid.work()  # before its event arrives
    assert (await paid.one("payouts"))["state"] == "failed"
    assert (await onboarding(paid))["state"] == "restricted"
    await paid.settle_down()
    await account_becomes(paid, "active")
    await paid.settle_down()
    assert await sent_minor(paid) == 1500
    await assert_all_is_well(paid)


# --- coming back ------------------------------------------------------------------------------------------


async def test_a_refund_after_the_transfer_is_asked_back(paid: World) -> None:
    who, _ = await paid.buy()
    await holding_time_passes(paid)
    await back_to_the_payer(paid, who, 400)
    assert await sent_minor(paid) == 1100
    await back_to_the_payer(paid, who)
    assert (await sent_minor(paid), await balances(paid)) == (0, {})
    await assert_all_is_well(paid)
    await paid.assert_books_agree()


@pytest.mark.parametrize("fault", LOST)
async def test_a_reversal_whose_answer_was_lost_is_found_again(paid: World, fault: str) -> None:
    who, _ = await paid.buy()
    await holding_time_passes(paid)
    await paid.control("faults", operation="transfers.reversals.create", fault=fault)
    await back_to_the_payer(paid, who, 400)
    await rounds(paid)
    assert await sent_minor(paid) == 1100
    await assert_all_is_well(paid)


async def test_what_the_host_has_taken_to_the_bank_is_kept_from_the_next_sale(paid: World) -> None:
    who, _ = await paid.buy()
    await holding_time_passes(paid)
    await paid.control("pay_out", account=(await paid.one("connected_accounts"))["connected_id"])
    await back_to_the_payer(paid, who, 600)
    assert (await sent_minor(paid), await balances(paid)) == (1500, {"host_debt": 600})
    await paid.buy()
    await holding_time_passes(paid)
    assert (await sent_minor(paid), await balances(paid)) == (2400, {})
    await assert_all_is_well(paid)


async def test_a_sale_without_a_charge_is_sent_from_the_balance_once_that_is_there(paid: World) -> None:
    """As a wallet's: what pays for it was charged for something else."""
    await paid.buy()
    await paid.db.write(lambda tx: tx.execute(earnings.update().values(charge_id=None, available_at_s=0)))
    await paid.settle_down()  # the payment is not available yet
    assert [(row["state"], row["failure"]) for row in await paid.rows("payouts")] == [
        ("asked", "balance_insufficient")
    ]
    await paid.buy(seconds=1800)
    await paid.control("make_available")
    paid.later(3600)
    await paid.settle_down()
    assert ([one.amount_minor for one in await transfers(paid)], await sent_minor(paid)) == ([1500], 1500)
    await assert_all_is_well(paid)
    await paid.assert_books_agree()


# --- compared with the service's balance ------------------------------------------------------------------


async def test_a_reversal_that_is_not_booked_differs_until_it_is(paid: World) -> None:
    await paid.buy()
    await holding_time_passes(paid)
    await rounds(paid)
    (sent,) = await transfers(paid)
    paid.webhooks_reach_us = False
    await paid.payments.ctx.service.reverse_transfer(sent.transfer_id, {"amount": 500}, "by hand")
    await paid.deliver()
    paid.later(601)
    await paid.payments.compare_balances()
    (row,) = await paid.rows("differences")
    assert (row["kind"], row["ours_minor"], row["theirs_minor"]) == ("transfer_refund", 0, 500)
    assert row["subject_id"].endswith(f"/{sent.transfer_id}")
    assert await look(paid.payments.ctx, (await paid.one("payouts"))["id"])
    await paid.payments.compare_balances()
    assert [row["state"] for row in await paid.rows("differences")] == ["gone"]
