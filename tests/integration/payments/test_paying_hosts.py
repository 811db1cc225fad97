"""Hosts are sent what is due to them, once, and what went back to payers after that is asked back or kept."""

import itertools
from collections.abc import Awaitable
from typing import Any

import pytest

from signaling.payments.port import RefusedByServiceError
from signaling.stores import inbox, ledger

from .hosts import ANA, DAYS_15, Bank, account_becomes, add_host, broken, lost
from .world import ACCOUNT, OPERATOR_SECRET, Crash, Customer, World


@pytest.fixture
async def bank(world: World) -> Bank:
    return await add_host(world)


async def holding_time_passes(world: World) -> None:
    world.later(DAYS_15)
    await world.settle_down()


async def back_to_the_payer(world: World, who: Customer, amount_minor: int | None = None) -> None:
    """In the dashboard."""
    order = next(row for row in await world.rows("orders") if row["id"] == who.order_id)
    said = {} if amount_minor is None else {"amount_minor": amount_minor}
    await world.control("refund", session=order["checkout_session_id"], **said)
    await world.settle_down()


async def balances(world: World) -> dict[str, int]:
    """Of Ana's accounts in the ledger: what is owed to her, and what she owes."""
    names = ("earned_pending", "earned_available", "dispute_reserve", "host_debt")
    async with world.db.read() as tx:
        found = [await ledger.balance(tx, "sandbox", ACCOUNT, f"{name}:{ANA}", "eur") for name in names]
    return {name: abs(one.minor) for name, one in zip(names, found, strict=True) if one.minor}


async def assert_all_is_well(world: World) -> None:
    """The rows of earnings say what the ledger says, and nothing is broken."""
    owed = debt = 0
    for row in await world.rows("earnings"):
        position = row["net_minor"] - row["reversed_minor"] - row["paid_minor"] - row["withheld_minor"]
        owed, debt = owed + max(0, position), debt + max(0, -position)
    booked = await balances(world)
    assert booked.pop("host_debt", 0) == debt
    assert sum(booked.values()) == owed
    assert await world.problems() == []


async def states(world: World) -> list[str]:
    return [row["state"] for row in await world.rows("payouts")]


# --- sending ----------------------------------------------------------------------------------------------


async def test_what_is_due_is_sent_once_from_the_money_of_its_charge(world: World, bank: Bank) -> None:
    await world.buy()
    world.later(DAYS_15 - 60)
    await world.settle_down()
    assert (bank.transfers, await balances(world)) == ({}, {"earned_pending": 1500})
    world.later(60)
    await world.settle_down()
    (sent,) = bank.sent_params
    (earning,) = await world.rows("earnings")
    assert sent["source_transaction"] == earning["charge_id"] != None  # noqa: E711 - and not None
    assert (sent["amount"], sent["destination"]) == (1500, "acct_ana")
    await holding_time_passes(world)
    assert (len(bank.transfers), await states(world), await balances(world)) == (1, ["sent"], {})
    await assert_all_is_well(world)


async def test_without_connect_it_stays_available(world: World) -> None:
    bank = await add_host(world, is_on=False)
    await world.buy()
    await holding_time_passes(world)
    assert (bank.transfers, await balances(world)) == ({}, {"earned_available": 1500})


async def test_a_room_without_an_owner_is_paid_out_to_nobody(world: World, bank: Bank) -> None:
    await world.add_room("other")
    await world.buy("other")
    await holding_time_passes(world)
    assert bank.transfers == {}


async def test_who_cannot_receive_yet_is_waited_for(world: World, bank: Bank) -> None:
    await account_becomes(world, bank, "restricted")
    await world.buy()
    await holding_time_passes(world)
    assert (bank.transfers, await balances(world)) == ({}, {"earned_available": 1500})
    await account_becomes(world, bank, "active")
    await world.settle_down()
    assert (bank.sent_minor, await states(world)) == (1500, ["sent"])
    await assert_all_is_well(world)


async def test_part_of_it_went_back_before_it_was_due(world: World, bank: Bank) -> None:
    who, _ = await world.buy()
    await back_to_the_payer(world, who, 400)
    await holding_time_passes(world)
    assert bank.sent_minor == 1100
    await assert_all_is_well(world)


async def test_nothing_is_sent_while_a_bank_looks_into_the_payment(world: World, bank: Bank) -> None:
    await world.buy()
    session = (await world.one("orders"))["checkout_session_id"]
    await world.control("dispute", session=session)
    await world.settle_down()
    await holding_time_passes(world)
    assert (bank.transfers, await balances(world)) == ({}, {"dispute_reserve": 1500})
    await world.control("dispute", session=session, action="won")
    await world.settle_down()
    assert bank.sent_minor == 1500
    await assert_all_is_well(world)


# --- when the service stumbles ----------------------------------------------------------------------------


async def rounds(world: World) -> None:
    for _ in range(4):
        world.later(61)
        await world.settle_down()


async def test_a_transfer_whose_answer_was_lost_is_found_again(world: World, bank: Bank) -> None:
    bank.fails = [lost()]
    await world.buy()
    await holding_time_passes(world)
    await rounds(world)
    assert (len(bank.transfers), bank.sent_minor, await states(world)) == (1, 1500, ["sent"])
    await assert_all_is_well(world)


async def test_a_failure_that_a_key_keeps_is_left_behind_with_the_next_key(world: World, bank: Bank) -> None:
    bank.fails = [broken(), broken()]
    await world.buy()
    await holding_time_passes(world)
    await rounds(world)
    (payout,) = await world.rows("payouts")
    assert list(bank.transfers) == [f"{payout['id']}:2"]
    assert payout["state"] == "sent"
    await assert_all_is_well(world)


async def test_a_short_balance_is_tried_again_later(world: World, bank: Bank) -> None:
    bank.fails = [RefusedByServiceError("balance_insufficient", "not yet")]
    await world.buy()
    await holding_time_passes(world)
    assert [(row["state"], row["failure"]) for row in await world.rows("payouts")] == [
        ("asked", "balance_insufficient")
    ]
    await rounds(world)
    assert bank.transfers == {}
    world.later(3600)
    await world.settle_down()
    assert [(row["state"], row["failure"]) for row in await world.rows("payouts")] == [("sent", None)]
    assert bank.sent_minor == 1500


async def test_what_went_back_while_the_balance_was_short_is_not_sent(world: World, bank: Bank) -> None:
    bank.fails = [RefusedByServiceError("balance_insufficient", "not yet")]
    who, _ = await world.buy()
    await holding_time_passes(world)
    await back_to_the_payer(world, who, 500)
    world.later(3600)
    await world.settle_down()
    await rounds(world)
    assert (bank.sent_minor, sorted(await states(world))) == (1000, ["failed", "sent"])
    await assert_all_is_well(world)


async def test_what_could_not_be_sent_waits_with_the_dispute_that_came_meanwhile(
    world: World, bank: Bank
) -> None:
    bank.fails = [RefusedByServiceError("balance_insufficient", "not yet")]
    await world.buy()
    await holding_time_passes(world)
    session = (await world.one("orders"))["checkout_session_id"]
    await world.control("dispute", session=session)
    await world.settle_down()
    world.later(3600)
    await world.settle_down()
    assert (await states(world), await balances(world)) == (["failed"], {"dispute_reserve": 1500})
    await assert_all_is_well(world)
    await world.control("dispute", session=session, action="won")
    await world.settle_down()
    assert (bank.sent_minor, await states(world), await balances(world)) == (1500, ["failed", "sent"], {})
    await assert_all_is_well(world)


async def test_an_account_that_was_restricted_meanwhile_gives_the_money_back_to_wait(
    world: World, bank: Bank
) -> None:
    bank.status, bank.fails = "restricted", [RefusedByServiceError("insufficient_capabilities", "no")]
    await world.buy()
    await holding_time_passes(world)
    assert (await states(world), await balances(world)) == (["failed"], {"earned_available": 1500})
    await assert_all_is_well(world)
    await account_becomes(world, bank, "active")
    await world.settle_down()
    assert (bank.sent_minor, await states(world)) == (1500, ["failed", "sent"])
    assert await needing_a_person(world) == {}


async def needing_a_person(world: World) -> dict[str, list[dict[str, Any]]]:
    _, shown = await world.call("GET", "/api/admin/attention", Customer("", OPERATOR_SECRET))
    return {name: rows for name, rows in shown.items() if rows}


async def test_another_refusal_is_for_a_person_who_can_have_it_tried_again(world: World, bank: Bank) -> None:
    bank.fails = [RefusedByServiceError("currency_mismatch", "no")]
    await world.buy()
    await holding_time_passes(world)
    await rounds(world)
    assert bank.transfers == {}
    (payout,) = await world.rows("payouts")
    assert (payout["state"], payout["failure"]) == ("asked", "currency_mismatch")
    found = await needing_a_person(world)
    assert ([one["kind"] for one in found["outbox"]], len(found["payouts"])) == (["transfer"], 1)
    assert await world.problems() == []
    path = f"/api/admin/attention/outbox/{payout['id']}/retry"
    assert (await world.call("POST", path, Customer("", OPERATOR_SECRET), {}))[0] == 200
    await world.settle_down()
    assert (bank.sent_minor, await states(world), await needing_a_person(world)) == (1500, ["sent"], {})


# --- coming back ------------------------------------------------------------------------------------------


async def sold_and_sent(world: World) -> Customer:
    who, _ = await world.buy()
    await holding_time_passes(world)
    return who


async def test_a_refund_after_the_transfer_is_asked_back(world: World, bank: Bank) -> None:
    who = await sold_and_sent(world)
    await back_to_the_payer(world, who, 400)
    assert bank.sent_minor == 1100
    await back_to_the_payer(world, who)
    assert (bank.sent_minor, await balances(world)) == (0, {})
    await assert_all_is_well(world)


async def test_a_lost_dispute_after_the_transfer_is_asked_back(world: World, bank: Bank) -> None:
    await sold_and_sent(world)
    session = (await world.one("orders"))["checkout_session_id"]
    await world.control("dispute", session=session)
    await world.settle_down()
    assert bank.sent_minor == 1500
    await world.control("dispute", session=session, action="lost")
    await world.settle_down()
    assert (bank.sent_minor, await balances(world)) == (0, {})
    await assert_all_is_well(world)


async def test_what_a_bank_gives_back_after_the_loss_is_sent_again(world: World, bank: Bank) -> None:
    await sold_and_sent(world)
    session = (await world.one("orders"))["checkout_session_id"]
    for action in ("open", "lost"):
        await world.control("dispute", session=session, action=action)
        await world.settle_down()
    assert (bank.sent_minor, await balances(world)) == (0, {})
    await world.control("dispute", session=session, action="reinstated", amount_minor=900)
    await world.settle_down()
    await rounds(world)
    assert (bank.sent_minor, await balances(world)) == (900, {})
    await assert_all_is_well(world)


async def test_of_a_lost_dispute_about_a_part_after_the_transfer_the_part_is_asked_back(
    world: World, bank: Bank
) -> None:
    await sold_and_sent(world)
    session = (await world.one("orders"))["checkout_session_id"]
    await world.control("dispute", session=session, amount_minor=600)
    await world.settle_down()
    assert bank.sent_minor == 1500
    await world.control("dispute", session=session, action="lost")
    await world.settle_down()
    assert (bank.sent_minor, await balances(world)) == (900, {})
    await assert_all_is_well(world)


async def test_what_is_not_disputed_of_a_sale_is_sent(world: World, bank: Bank) -> None:
    await world.buy()
    session = (await world.one("orders"))["checkout_session_id"]
    await world.control("dispute", session=session, amount_minor=600)
    await world.settle_down()
    world.later(DAYS_15)
    await rounds(world)
    assert (bank.sent_minor, await balances(world)) == (900, {"dispute_reserve": 600})
    await world.control("dispute", session=session, action="won")
    await world.settle_down()
    await rounds(world)
    assert (bank.sent_minor, await balances(world)) == (1500, {})
    await assert_all_is_well(world)


async def test_a_reversal_whose_answer_was_lost_is_found_again(world: World, bank: Bank) -> None:
    who = await sold_and_sent(world)
    bank.fails = [lost()]
    await back_to_the_payer(world, who, 400)
    await rounds(world)
    assert (bank.sent_minor, len(bank.reversals)) == (1100, 1)
    await assert_all_is_well(world)


async def test_what_the_host_has_spent_is_a_debt_and_kept_from_later_sales(world: World, bank: Bank) -> None:
    who = await sold_and_sent(world)
    bank.fails = [RefusedByServiceError("balance_insufficient", "the host has spent it")]
    await back_to_the_payer(world, who)
    await rounds(world)
    assert (bank.sent_minor, await balances(world)) == (1500, {"host_debt": 1500})
    await assert_all_is_well(world)
    await world.buy(seconds=900)
    await world.buy(seconds=1800)
    await holding_time_passes(world)
    assert (bank.sent_minor, await balances(world)) == (1500 + 3000, {})
    await assert_all_is_well(world)


async def test_a_refund_that_comes_back_after_its_debt_was_kept_is_sent_from_the_balance(
    world: World, bank: Bank
) -> None:
    """All of its charge is with the host already: what is due again is what other sales sent too little."""
    who = await sold_and_sent(world)
    bank.fails = [RefusedByServiceError("balance_insufficient", "the host has spent it")]
    await back_to_the_payer(world, who)
    await world.buy(seconds=1800)
    await holding_time_passes(world)
    assert (bank.sent_minor, await balances(world)) == (3000, {})
    await world.control("fail_refund", refund=(await world.one("refunds"))["stripe_refund_id"])
    await world.settle_down()
    await rounds(world)
    last = bank.sent_params[-1]
    assert (last["amount"], "source_transaction" in last) == (1500, False)
    assert (bank.sent_minor, await balances(world)) == (4500, {})
    await assert_all_is_well(world)


async def test_a_debt_is_not_kept_in_another_currency(world: World, bank: Bank) -> None:
    who = await sold_and_sent(world)
    bank.fails = [RefusedByServiceError("balance_insufficient", "the host has spent it")]
    await back_to_the_payer(world, who)
    tariff = {"kind": "entrance", "price_minor": 700, "currency": "usd", "seconds": 900}
    await world.add_room("abroad", owner_id=ANA, currency="usd", tariff=tariff)
    await world.buy("abroad")
    await holding_time_passes(world)
    assert bank.sent_params[-1]["amount"] == 700
    assert await balances(world) == {"host_debt": 1500}


async def test_what_was_taken_back_by_hand_is_booked_and_not_sent_again(world: World, bank: Bank) -> None:
    await sold_and_sent(world)
    await bank.reverse_transfer("tr_1", {"amount": 600}, "by hand")
    (payout,) = await world.rows("payouts")
    await world.payments.ctx.db.write(lambda tx: _an_event(tx, payout["id"], world))
    await world.settle_down()
    await rounds(world)
    assert (bank.sent_minor, await balances(world)) == (900, {"earned_available": 600})
    (payout,) = await world.rows("payouts")
    assert (payout["reversed_minor"], payout["failure"]) == (600, "reversed_by_hand")
    await assert_all_is_well(world)


async def _an_event(tx: Any, payout_id: str, world: World) -> None:
    event = inbox.InboxEvent(
        event_id="evt_by_hand",
        mode="sandbox",
        account=ACCOUNT,
        type="transfer.reversed",
        object_id="tr_1",
        payload={"object": "transfer", "id": "tr_1", "metadata": {"reference": payout_id}},
    )
    await inbox.receive(tx, event, now_s=int(world.clock.at_s), received_at=world.now_text())


# --- dying ------------------------------------------------------------------------------------------------


async def surviving(world: World, act: Awaitable[None]) -> None:
    try:
        await act
    except Crash:
        await world.reboot(connect=True)


async def test_whenever_the_server_dies_it_is_sent_once_and_comes_back_once(world: World, bank: Bank) -> None:
    """One sale after the other, dying one step later each time."""
    for step in itertools.count():
        sent_minor, deaths = bank.sent_minor, world.deaths
        who, _ = await world.buy()
        world.crash_at = step
        await surviving(world, holding_time_passes(world))
        await surviving(world, back_to_the_payer(world, who, 400))
        if world.deaths == deaths:
            break
        await rounds(world)
        assert bank.sent_minor == sent_minor + 1100, f"after a death at step {step}"
        await assert_all_is_well(world)
    assert step > 8
