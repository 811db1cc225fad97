"""Experts' accounts, their onboarding, transfers and reversals, through `StripePayments` and the real SDK."""

from typing import Any

import pytest

from signaling.payments.port import OutcomeUnknownError, RefusedByServiceError
from signaling.payments.stripe import StripePayments

from .world import SECRET_KEY, WEBHOOK_SECRET, World

ACCOUNT = {
    "contact_email": "ana@example.org",
    "display_name": "Ana",
    "dashboard": "express",
    "identity": {"country": "de"},
    "configuration": {
        "recipient": {"capabilities": {"stripe_balance": {"stripe_transfers": {"requested": True}}}}
    },
    "defaults": {"responsibilities": {"fees_collector": "application", "losses_collector": "application"}},
    "metadata": {"reference": "usr_1"},
}
CHANGED = "v2.core.account[configuration.recipient].capability_status_updated"


@pytest.fixture
def payments(world: World) -> StripePayments:
    return StripePayments(
        SECRET_KEY,
        http=world.http,
        mode="sandbox",
        account="sandbox",
        webhook_secret=WEBHOOK_SECRET,
        api_base=world.url,
    )


async def link(payments: StripePayments, account_id: str, key: str = "l") -> str:
    """Where the page of a fresh link asks."""
    onboarding = {"refresh_url": "https://rooms.test/again", "return_url": "https://rooms.test/back"}
    case = {"type": "account_onboarding", "account_onboarding": onboarding}
    url = await payments.create_account_link({"account": account_id, "use_case": case}, key)
    return "/sandbox/api/onboarding/" + url.rsplit("/", 1)[1]


async def onboarded(world: World, payments: StripePayments) -> str:
    made = await payments.create_account(ACCOUNT, "a")
    await world.call(await link(payments, made.account_id), {"outcome": "finish"})
    return made.account_id


def sending(destination: str, **changes: Any) -> dict[str, Any]:
    return {
        "amount": 1000,
        "currency": "eur",
        "destination": destination,
        "metadata": {"reference": "pay_1"},
        "transfer_group": "ord_1",
        **changes,
    }


async def charge_of(world: World, payments: StripePayments) -> str:
    session = await world.paid()
    found = await payments.fetch_checkout(session.id)
    assert found.intent is not None
    assert found.intent.charge is not None
    return found.intent.charge.charge_id


# --- onboarding -------------------------------------------------------------------------------------------


async def test_an_account_is_restricted_until_it_is_onboarded(world: World, payments: StripePayments):
    made = await payments.create_account(ACCOUNT, "a")
    assert (made.reference, made.transfers_status) == ("usr_1", "restricted")
    assert (made.country, made.email, len(made.requirements_due)) == ("de", "ana@example.org", 2)
    assert await payments.create_account(ACCOUNT, "a") == made
    place = await link(payments, made.account_id)
    assert (await world.call(place))["usable"] is True
    assert await world.call(place, {"outcome": "finish"}) == {"return_url": "https://rooms.test/back"}
    found = await payments.fetch_account(made.account_id)
    assert (found.transfers_status, found.requirements_due) == ("active", ())
    await world.work()
    assert {CHANGED, "v2.core.account_link.returned"} <= set(world.merchant.types)
    told = [event async for event in payments.events_since(0) if event.type == CHANGED]
    assert [event.object["id"] for event in told] == [made.account_id]


async def test_a_link_works_once_and_for_ten_minutes(world: World, payments: StripePayments):
    made = await payments.create_account(ACCOUNT, "a")
    place = await link(payments, made.account_id)
    await world.call(place, {"outcome": "leave"})
    assert (await payments.fetch_account(made.account_id)).transfers_status == "restricted"
    assert (await world.call(place, {"outcome": "finish"}))["status"] == 409
    late = await link(payments, made.account_id, "l:2")
    world.clock.now_s += 601
    shown = await world.call(late)
    assert (shown["usable"], shown["refresh_url"]) == (False, "https://rooms.test/again")
    assert (await world.call(late, {"outcome": "finish"}))["status"] == 409


async def test_what_stripe_asks_later_is_told(world: World, payments: StripePayments):
    account_id = await onboarded(world, payments)
    await world.control("account", {"account": account_id, "status": "restricted"})
    found = await payments.fetch_account(account_id)
    assert (found.transfers_status, len(found.requirements_due)) == ("restricted", 1)
    place = await link(payments, account_id, "l:2")
    await world.call(place, {"outcome": "check"})
    assert (await payments.fetch_account(account_id)).transfers_status == "pending"
    await world.work()
    assert world.merchant.types.count(CHANGED) == 3


async def test_what_an_account_cannot_be_is_refused(payments: StripePayments):
    for changes in ({"contact_email": None}, {"configuration": {}}, {"surprise": 1}):
        params = {name: value for name, value in {**ACCOUNT, **changes}.items() if value is not None}
        with pytest.raises(RefusedByServiceError):
            await payments.create_account(params, f"a:{sorted(changes)}")
    with pytest.raises(RefusedByServiceError):
        await payments.fetch_account("acct_none")


# --- transfers --------------------------------------------------------------------------------------------


async def test_a_sale_is_passed_on_before_its_money_is_available(world: World, payments: StripePayments):
    account_id, charge_id = await onboarded(world, payments), await charge_of(world, payments)
    params = sending(account_id, source_transaction=charge_id)
    sent = await payments.create_transfer(params, "t")
    assert (sent.amount_minor, sent.reversed_minor, sent.destination) == (1000, 0, account_id)
    assert await payments.create_transfer(params, "t") == sent
    assert await payments.fetch_transfer(sent.transfer_id) == sent
    assert await payments.find_transfers("pay_1", 0, "ord_1") == [sent]
    assert await payments.find_transfers("pay_2", 0) == []
    entries = [entry async for entry in payments.balance_entries(0)]
    assert [(entry.type, entry.amount_minor) for entry in entries] == [("transfer", -1000), ("charge", 1500)]
    assert entries[0].source_id == sent.transfer_id
    await world.work()
    assert "transfer.created" in world.merchant.types


async def test_no_more_is_sent_than_the_sale_was(world: World, payments: StripePayments):
    account_id, charge_id = await onboarded(world, payments), await charge_of(world, payments)
    first = await payments.create_transfer(sending(account_id, source_transaction=charge_id), "t")
    with pytest.raises(RefusedByServiceError):
        await payments.create_transfer(sending(account_id, source_transaction=charge_id, amount=501), "t:2")
    await payments.reverse_transfer(first.transfer_id, {"amount": 1}, "r")
    await payments.create_transfer(sending(account_id, source_transaction=charge_id, amount=501), "t:3")


async def test_without_a_sale_it_comes_from_what_is_available(world: World, payments: StripePayments):
    account_id = await onboarded(world, payments)
    await charge_of(world, payments)
    with pytest.raises(RefusedByServiceError) as refused:
        await payments.create_transfer(sending(account_id), "t")
    assert refused.value.code == "balance_insufficient"
    await world.work(2 * 86400)
    await payments.create_transfer(sending(account_id), "t:2")
    with pytest.raises(RefusedByServiceError) as refused:
        await payments.create_transfer(sending(account_id), "t:3")  # 15.00 less fees, and 10.00 are sent
    assert refused.value.code == "balance_insufficient"


async def test_what_is_pending_can_be_made_available(world: World, payments: StripePayments):
    account_id = await onboarded(world, payments)
    await charge_of(world, payments)
    assert await world.control("make_available", {}) == {"made_available": 1}
    assert (await payments.create_transfer(sending(account_id), "t")).amount_minor == 1000


async def test_an_account_that_may_not_receive_gets_nothing(world: World, payments: StripePayments):
    made = await payments.create_account(ACCOUNT, "a")
    charge_id = await charge_of(world, payments)
    with pytest.raises(RefusedByServiceError) as refused:
        await payments.create_transfer(sending(made.account_id, source_transaction=charge_id), "t")
    assert refused.value.code == "insufficient_capabilities_for_transfer"


async def test_taken_back_in_parts_and_no_further(world: World, payments: StripePayments):
    account_id, charge_id = await onboarded(world, payments), await charge_of(world, payments)
    sent = await payments.create_transfer(sending(account_id, source_transaction=charge_id), "t")
    params = {"amount": 400, "metadata": {"reference": "rev_1"}}
    part = await payments.reverse_transfer(sent.transfer_id, params, "r")
    assert (part.amount_minor, part.reference, part.transfer_id) == (400, "rev_1", sent.transfer_id)
    assert await payments.reverse_transfer(sent.transfer_id, params, "r") == part
    rest = await payments.reverse_transfer(sent.transfer_id, {}, "r:2")
    assert await payments.list_reversals(sent.transfer_id) == (rest, part)
    assert (await payments.fetch_transfer(sent.transfer_id)).reversed_minor == 1000
    with pytest.raises(RefusedByServiceError):
        await payments.reverse_transfer(sent.transfer_id, {"amount": 1}, "r:3")
    amounts = [entry.amount_minor async for entry in payments.balance_entries(0)]
    assert amounts == [600, 400, -1000, 1500]
    await world.work()
    assert world.merchant.types.count("transfer.reversed") == 2


async def test_what_the_expert_was_paid_out_cannot_be_taken_back(world: World, payments: StripePayments):
    account_id, charge_id = await onboarded(world, payments), await charge_of(world, payments)
    sent = await payments.create_transfer(sending(account_id, source_transaction=charge_id), "t")
    await world.control("pay_out", {"account": account_id})
    with pytest.raises(RefusedByServiceError) as refused:
        await payments.reverse_transfer(sent.transfer_id, {}, "r")
    assert refused.value.code == "balance_insufficient"


@pytest.mark.parametrize(
    "operation", ["v2.core.accounts.create", "transfers.create", "transfers.reversals.create"]
)
async def test_a_lost_answer_is_one_object(world: World, payments: StripePayments, operation: str):
    charge_id = await charge_of(world, payments)
    lost = {"operation": operation, "fault": "truncate_after_commit"}

    async def twice(make: Any) -> Any:
        """Once more where the answer was lost, with the same key."""
        try:
            return await make()
        except OutcomeUnknownError:
            return await make()

    await world.control("faults", lost)
    made = await twice(lambda: payments.create_account(ACCOUNT, "a"))
    await world.control("account", {"account": made.account_id, "status": "active"})
    params = sending(made.account_id, source_transaction=charge_id)
    sent = await twice(lambda: payments.create_transfer(params, "t"))
    await twice(lambda: payments.reverse_transfer(sent.transfer_id, {"amount": 300}, "r"))
    assert [one.transfer_id for one in await payments.find_transfers("pay_1", 0)] == [sent.transfer_id]
    assert (await payments.fetch_transfer(sent.transfer_id)).reversed_minor == 300
    await world.work()
    assert world.merchant.types.count("v2.core.account.created") == 1
