"""Orders that are paid with a card on file, as a top-up of a wallet is: for no room, by a PaymentIntent of their own."""

import pytest

from metering.orders import OrderState, PaymentFact
from metering.wallet import HOUR_S, Package
from signaling.notices import RoomChanged
from signaling.payments import attempts, onfile, reconcile, settle
from signaling.payments.port import Checkout, IntentFact
from signaling.payments.wallets import key_of, package_of, topup_tariff
from signaling.stores import refunds as calls
from signaling.stores import wallets
from signaling.stores.orders import Order, get_order, insert_order, update_order
from signaling.stores.schema import users

from .world import ACCOUNT, World

PACKAGE = Package(1000, 1200, "eur")
KEY = wallets.Key("user_1", "sandbox", ACCOUNT, "eur")


def a_topup(world: World, ui: str) -> Order:
    now_s = int(world.clock.at_s)
    return Order(
        id="ord_topup",
        room_id=None,
        mode="sandbox",
        account=ACCOUNT,
        state=OrderState.NEW,
        request_hash="r",
        secret_hash="s",
        name="Bo",
        tariff=topup_tariff(PACKAGE, save_card=False),
        title="Credits",
        description="Credits for the rooms of this server.",
        seconds=None,
        amount_minor=1000,
        currency="eur",
        ui=ui,
        created_at="2026-01-01T00:00:00.000Z",
        created_at_s=now_s,
        reserved_until_s=now_s + 600,
        purpose="topup",
        user_id="user_1",
        # The sandbox knows neither.
        customer_id="cus_none" if ui in {"card", "auto"} else None,
        payment_method_id="pm_none" if ui in {"card", "auto"} else None,
    )


async def begin(world: World, ui: str) -> Order:
    order = a_topup(world, ui)
    ctx = world.payments.ctx
    person = {"id": "user_1", "email": "bo@example.org", "name": "Bo", "role": "user", "created_at": ""}

    async def work(tx):
        await tx.execute(users.insert().values(person))
        await insert_order(tx, order)
        if ui == "auto":
            await wallets.set_wallet(tx, KEY, auto_topup=True)
            assert await wallets.claim_auto(tx, KEY, order.id)
        if order.on_file:
            await onfile.begin_call(tx, ctx.settings, order, now_s=order.created_at_s)
        else:
            await reconcile.begin_call(tx, ctx.settings, order, slug=None, now_s=order.created_at_s)

    await world.db.write(work)
    return order


async def reload(world: World) -> Order:
    async with world.db.read() as tx:
        order = await get_order(tx, "ord_topup")
    assert order is not None
    return order


async def the_wallet(world: World) -> wallets.Wallet:
    async with world.db.read() as tx:
        return await wallets.get_wallet(tx, KEY)


def test_what_was_sold_stays_with_the_order(world: World):
    order = a_topup(world, "card")
    assert package_of(order) == PACKAGE
    assert key_of(order) == KEY


async def test_a_clear_refusal_fails_the_order_and_nothing_is_charged(world: World):
    await begin(world, "card")
    await onfile.attempt_call(world.payments.ctx, "ord_topup")
    order = await reload(world)
    assert (order.state, order.reserved_until_s) == (OrderState.FAILED, None)
    assert order.failure
    assert (await world.one("stripe_calls"))["state"] == "refused"
    await world.settle_down()
    assert (await reload(world)).state is OrderState.FAILED
    assert await world.rows("transfers") == []


async def test_after_a_refusal_a_wallet_is_left_alone_for_an_hour(world: World):
    await begin(world, "auto")
    await onfile.attempt_call(world.payments.ctx, "ord_topup")
    wallet = await the_wallet(world)
    assert wallet.auto_order_id is None
    assert wallet.auto_not_before_s == int(world.clock.at_s) + HOUR_S


@pytest.mark.parametrize(
    ("session_status", "failure", "state", "backs_off"),
    [("complete", "card_declined", OrderState.FAILED, True), ("expired", None, OrderState.EXPIRED, False)],
)
async def test_what_is_seen_only_when_settling_frees_the_wallet_too(
    world: World, session_status: str, failure: str | None, state: OrderState, backs_off: bool
):
    await begin(world, "auto")
    made = {"state": OrderState.OPEN, "payment_intent_id": "pi_1"}
    await world.db.write(lambda tx: update_order(tx, "ord_topup", **made))
    fact = PaymentFact(
        reference="ord_topup",
        checkout_session_id="pi_1",
        amount_minor=1000,
        currency="eur",
        mode="sandbox",
        account=ACCOUNT,
        session_status=session_status,
        payment_status="unpaid",
        intent_status="requires_payment_method" if failure else None,
        payment_intent_id="pi_1",
    )
    checkout = Checkout(fact, url=None, client_secret=None, failure=failure)
    await settle._apply(world.payments.ctx, "ord_topup", checkout, (), None)
    order, wallet = await reload(world), await the_wallet(world)
    assert (order.state, order.checkout_session_id) == (state, None)
    assert wallet.auto_order_id is None
    assert (wallet.auto_not_before_s is not None) is backs_off


async def test_without_an_answer_the_order_stays_open_and_the_same_key_asks_again(world: World):
    await begin(world, "card")
    await world.control("faults", operation="payment_intents.create", fault="conflict_409", times=1)
    await onfile.attempt_call(world.payments.ctx, "ord_topup")
    assert (await reload(world)).state is OrderState.NEW
    assert (await world.one("stripe_calls"))["state"] == "unknown"
    world.later(2)
    await world.work()
    assert (await reload(world)).state is OrderState.FAILED
    assert (await world.one("stripe_calls"))["idempotency_key"] == "pay:ord_topup"


async def test_an_unknown_outcome_of_which_nothing_came_expires_and_frees_the_wallet(world: World):
    await begin(world, "auto")
    await world.control("faults", operation="payment_intents.create", fault="conflict_409", times=1)
    await onfile.attempt_call(world.payments.ctx, "ord_topup")
    world.later(700)
    await world.work()
    assert (await reload(world)).state is OrderState.EXPIRED
    wallet = await the_wallet(world)
    assert (wallet.auto_order_id, wallet.auto_not_before_s) == (None, None)


async def test_an_order_for_no_room_is_opened_shown_and_expired_like_others(world: World):
    await begin(world, "hosted")
    await reconcile.attempt_call(world.payments.ctx, "ord_topup")
    order = await reload(world)
    assert (order.state, order.payment_ref) == (OrderState.OPEN, order.checkout_session_id)
    shown = await world.payments.show("ord_topup")
    assert shown["room"] == {"slug": None, "title": "Credits"}
    assert (await world.payments.receipt(order))["room"]["slug"] is None
    world.later(601)
    await world.work()
    assert (await reload(world)).state is OrderState.EXPIRED
    assert not any(isinstance(notice, RoomChanged) for notice in world.notices)


async def test_an_answer_that_comes_after_the_next_key_was_begun_leaves_no_call_open(world: World):
    order = await begin(world, "auto")
    ctx = world.payments.ctx

    async def next_key(tx):
        await onfile.begin_call(tx, ctx.settings, order, now_s=order.created_at_s)

    await world.db.write(next_key)
    async with world.db.read() as tx:
        first, second = await calls.calls_of(tx, order.id, onfile.OPERATION)
    assert {first.state, second.state} == {"pending"}

    late = IntentFact("pi_1", order.id, "processing", 1000, 0, 0, "eur", "sandbox", ACCOUNT, None, None, None)
    await attempts.adopt(ctx, onfile.Paying(ctx, order.id), late, first)
    async with world.db.read() as tx:
        made = await calls.calls_of(tx, order.id, onfile.OPERATION)
    assert [call.state for call in made] == ["done", "done"]
    assert (await reload(world)).payment_intent_id == "pi_1"
