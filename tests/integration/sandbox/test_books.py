"""The sandbox's own books, which ledgers are held against: by session, by charge, by transfer, in total."""

from typing import Any

import pytest

from signaling.payments.stripe import StripePayments

from .test_connect import onboarded, sending
from .test_subscriptions import advance, subscribed
from .world import SECRET_KEY, WEBHOOK_SECRET, World


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


async def eur(world: World) -> dict[str, Any]:
    """The totals, which must explain the balance to the last cent."""
    totals = (await world.call("/_control/books"))["totals"]["eur"]
    came = totals["captured_minor"] + totals["reversed_minor"]
    went = (
        totals["refunded_minor"]
        + totals["dispute_lost_minor"]
        + totals["dispute_open_minor"]
        + totals["fee_minor"]
        + totals["dispute_fee_minor"]
        + totals["transferred_minor"]
    )
    assert totals["net_minor"] == came - went
    return totals


async def test_everything_that_moves_money_is_in_the_totals(world: World, payments: StripePayments):
    session = await world.paid()
    totals = await eur(world)
    assert (totals["captured_minor"], totals["fee_minor"], totals["net_minor"]) == (1500, 47, 1453)

    await world.control("refund", {"session": session.id, "amount_minor": 300})
    failing = await world.control("refund", {"session": session.id, "amount_minor": 200})
    await world.control("fail_refund", {"refund": failing["id"]})
    assert (await eur(world))["refunded_minor"] == 300

    await world.control("dispute", {"session": session.id})
    assert (await eur(world))["dispute_open_minor"] == 1200
    assert (await eur(world))["dispute_fee_minor"] == 1500
    await world.control("dispute", {"session": session.id, "action": "won"})
    totals = await eur(world)
    assert (totals["dispute_open_minor"], totals["dispute_fee_minor"]) == (0, 0)

    charge_id = (await world.call("/_control/books"))["charges"][0]["charge"]
    account_id = await onboarded(world, payments)
    sent = await payments.create_transfer(sending(account_id, source_transaction=charge_id), "t")
    await payments.reverse_transfer(sent.transfer_id, {"amount": 400}, "r")
    totals = await eur(world)
    assert (totals["transferred_minor"], totals["reversed_minor"]) == (1000, 400)
    books = await world.call("/_control/books")
    assert [one["reference"] for one in books["transfers"]] == ["pay_1"]
    assert books["charges"][0]["transferred_minor"] == 600
    listed = [entry async for entry in payments.balance_entries(0)]
    assert sum(entry.net_minor for entry in listed) == totals["net_minor"]


async def test_what_no_page_took_is_there_by_charge(world: World, payments: StripePayments):
    subscription = await subscribed(world, payments)
    await advance(world, subscription)
    books = await world.call("/_control/books")
    assert [one["captured_minor"] for one in books["charges"]] == [900, 900]
    assert [one["captured_minor"] for one in books["sessions"]] == [900]
    assert (await eur(world))["captured_minor"] == 1800


async def test_a_hold_counts_once_it_is_captured(world: World, payments: StripePayments):
    session = await world.paid(payment_intent_data={"capture_method": "manual"})
    assert (await eur(world))["captured_minor"] == 0
    await payments.capture_intent(session.payment_intent, {"amount_to_capture": 700}, "c")
    totals = await eur(world)
    assert (totals["captured_minor"], totals["fee_minor"]) == (700, 35)
