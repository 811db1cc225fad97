"""Money that goes back, and the sandbox's own books about it."""

import pytest
import stripe

from .world import World


async def refund(world: World, session, **params):
    return await world.client.v1.refunds.create_async({"payment_intent": session.payment_intent, **params})


async def charge_of(world: World, session):
    charges = await world.client.v1.charges.list_async({"payment_intent": session.payment_intent})
    return charges.data[0]


async def test_partial_refunds_up_to_the_whole(world: World):
    session = await world.paid()
    first = await refund(
        world, session, amount=400, metadata={"why": "host left"}, reason="requested_by_customer"
    )
    assert (first.status, first.amount, first.metadata["why"]) == ("succeeded", 400, "host left")
    charge = await charge_of(world, session)
    assert (charge.amount_refunded, charge.refunded) == (400, False)
    rest = await refund(world, session)
    assert rest.amount == 1100
    charge = await charge_of(world, session)
    assert (charge.amount_refunded, charge.refunded) == (1500, True)
    listed = await world.client.v1.refunds.list_async({"payment_intent": session.payment_intent})
    assert [one.id for one in listed.data] == [rest.id, first.id]
    assert (await world.client.v1.refunds.retrieve_async(first.id)).amount == 400
    await world.work()
    assert world.merchant.types[-4:] == ["refund.created", "charge.refunded"] * 2


async def test_more_than_the_charge_is_refused(world: World):
    session = await world.paid()
    await refund(world, session, amount=1000)
    with pytest.raises(stripe.InvalidRequestError, match="greater than unrefunded"):
        await refund(world, session, amount=501)
    await refund(world, session, amount=500)
    with pytest.raises(stripe.InvalidRequestError) as raised:
        await refund(world, session, amount=1)
    assert raised.value.code == "charge_already_refunded"


@pytest.mark.parametrize("amount", [0, -5, "1.5"])
async def test_odd_amounts_are_refused(world: World, amount):
    session = await world.paid()
    with pytest.raises(stripe.InvalidRequestError):
        await refund(world, session, amount=amount)


async def test_what_was_not_paid_cannot_be_refunded(world: World):
    session = await world.session()
    await world.pay(session, "declined")
    session = await world.client.v1.checkout.sessions.retrieve_async(session.id)
    with pytest.raises(stripe.InvalidRequestError, match="does not have a successful charge"):
        await refund(world, session)
    with pytest.raises(stripe.InvalidRequestError, match="No such payment_intent"):
        await world.client.v1.refunds.create_async({"payment_intent": "pi_none"})
    with pytest.raises(stripe.InvalidRequestError, match="One of the following"):
        await world.client.v1.refunds.create_async({})


async def test_refund_by_charge(world: World):
    session = await world.paid()
    charge = await charge_of(world, session)
    done = await world.client.v1.refunds.create_async({"charge": charge.id, "amount": 100})
    assert done.payment_intent == session.payment_intent


async def test_a_refund_in_the_dashboard_reaches_the_merchant(world: World):
    session = await world.paid()
    await world.control("refund", {"session": session.id, "amount_minor": 700})
    await world.work()
    event = world.merchant.received[-1]
    assert (event["type"], event["data"]["object"]["amount_refunded"]) == ("charge.refunded", 700)
    assert event["request"] == {"id": None, "idempotency_key": None}


async def test_a_refund_that_the_bank_sends_back(world: World):
    session = await world.paid()
    made = await refund(world, session)
    await world.control("fail_refund", {"refund": made.id})
    failed = await world.client.v1.refunds.retrieve_async(made.id)
    assert failed.status == "failed"
    assert (await charge_of(world, session)).amount_refunded == 0
    await world.work()
    assert world.merchant.types[-2:] == ["refund.updated", "refund.failed"]


async def test_metadata_of_a_refund_can_be_changed(world: World):
    session = await world.paid()
    made = await refund(world, session)
    changed = await world.client.v1.refunds.update_async(made.id, {"metadata": {"seen": "yes"}})
    assert changed.metadata["seen"] == "yes"


@pytest.mark.parametrize(("outcome", "lost_minor"), [("won", 0), ("lost", 1500)])
async def test_a_dispute_opened_and_closed(world: World, outcome: str, lost_minor: int):
    session = await world.paid()
    opened = await world.control("dispute", {"session": session.id})
    assert (opened["status"], opened["amount"]) == ("needs_response", 1500)
    assert (await charge_of(world, session)).disputed is True
    with pytest.raises(stripe.InvalidRequestError) as raised:
        await refund(world, session)
    assert raised.value.code == "charge_disputed"
    await world.control("dispute", {"session": session.id, "action": outcome})
    dispute = await world.client.v1.disputes.retrieve_async(opened["id"])
    assert dispute.status == outcome
    listed = await world.client.v1.disputes.list_async({"payment_intent": session.payment_intent})
    assert [one.id for one in listed.data] == [dispute.id]
    await world.work()
    assert "charge.dispute.created" in world.merchant.types
    assert "charge.dispute.closed" in world.merchant.types
    assert ("charge.dispute.funds_reinstated" in world.merchant.types) is (outcome == "won")
    books = await world.control("books")
    assert books["totals"]["eur"]["dispute_lost_minor"] == lost_minor


async def test_parts_of_a_charge_are_disputed_until_nothing_is_left(world: World):
    session = await world.paid()
    first = await world.control("dispute", {"session": session.id, "amount_minor": 600})
    assert "error" in await world.control("dispute", {"session": session.id, "amount_minor": 901})
    second = await world.control("dispute", {"session": session.id})
    assert (first["amount"], second["amount"]) == (600, 900)
    assert "error" in await world.control("dispute", {"session": session.id, "amount_minor": 1})
    await world.control("dispute", {"dispute": first["id"], "action": "lost", "amount_minor": 200})
    await world.control("dispute", {"session": session.id, "action": "won"})
    listed = await world.client.v1.disputes.list_async({"payment_intent": session.payment_intent})
    assert {one.id: one.status for one in listed.data} == {first["id"]: "lost", second["id"]: "won"}
    books = await world.control("books")
    assert books["totals"]["eur"]["dispute_lost_minor"] == 400
    assert "error" not in await world.control("dispute", {"session": session.id, "amount_minor": 1100})


async def test_a_closed_dispute_stays_closed(world: World):
    session = await world.paid()
    await world.control("dispute", {"session": session.id})
    await world.control("dispute", {"session": session.id, "action": "lost"})
    assert "error" in await world.control("dispute", {"session": session.id, "action": "won"})
    assert "error" in await world.control("dispute", {"session": session.id, "action": "open"})


@pytest.mark.parametrize("won", [False, True])
async def test_what_was_lost_is_given_back_after_all(world: World, won: bool):
    session = await world.paid()
    about = {"session": session.id}
    await world.control("dispute", about)
    assert "error" in await world.control("dispute", about | {"action": "reinstated"})
    await world.control("dispute", about | {"action": "lost"})
    part = await world.control("dispute", about | {"action": "reinstated", "amount_minor": 500})
    assert [entry["amount"] for entry in part["balance_transactions"]] == [-1500, 500]
    assert "error" in await world.control("dispute", about | {"action": "reinstated", "amount_minor": 1001})
    rest = await world.control("dispute", about | {"action": "reinstated", "won": won})
    assert (rest["status"], sum(entry["amount"] for entry in rest["balance_transactions"])) == (
        "won" if won else "lost",
        0,
    )
    assert "error" in await world.control("dispute", about | {"action": "reinstated"})
    assert (await world.control("books"))["totals"]["eur"]["dispute_lost_minor"] == 0
    await world.work()
    assert world.merchant.types.count("charge.dispute.funds_reinstated") == 2


async def test_the_books_add_up_per_session_and_currency(world: World):
    first = await world.paid(client_reference_id="ord_a")
    second = await world.paid(client_reference_id="ord_b")
    await world.session(client_reference_id="ord_c")
    await refund(world, second, amount=600)
    books = await world.control("books")
    summary = [
        (one["client_reference_id"], one["captured_minor"], one["refunded_minor"], one["payment_status"])
        for one in books["sessions"]
    ]
    assert summary == [("ord_a", 1500, 0, "paid"), ("ord_b", 1500, 600, "paid"), ("ord_c", 0, 0, "unpaid")]
    assert books["totals"]["eur"]["captured_minor"] == 3000
    assert books["totals"]["eur"]["refunded_minor"] == 600
    assert first.id == books["sessions"][0]["session"]


async def test_balance_transactions_tell_the_same_story(world: World):
    session = await world.paid()
    await refund(world, session, amount=600)
    await world.control("dispute", {"session": session.id})
    listed = await world.client.v1.balance_transactions.list_async()
    assert [(one.type, one.amount) for one in listed.data] == [
        ("adjustment", -900),
        ("refund", -600),
        ("charge", 1500),
    ]
    assert all(one.net == one.amount - one.fee for one in listed.data)
    charges = await world.client.v1.balance_transactions.list_async({"type": "charge"})
    assert len(charges.data) == 1
