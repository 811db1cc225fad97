"""Creating a Checkout Session whose outcome may be unknown: look first, repeat under the same key, and only
after a listing has proved that nothing came of it, try under a new key.
"""

from collections.abc import Sequence
from typing import Any

import structlog

from metering.orders import OrderState
from signaling.notices import Notice
from signaling.payments import freeminutes, recurring, wording
from signaling.payments.context import Context
from signaling.payments.port import Checkout, OutcomeUnknownError, RefusedByServiceError
from signaling.payments.settings import PaymentsSettings
from signaling.stores import promotions, rates
from signaling.stores import refunds as calls
from signaling.stores.database import Transaction
from signaling.stores.orders import Order, get_order, update_order
from signaling.stores.rooms import Room, by_id

log = structlog.get_logger()

OPERATION = "checkout.sessions.create"
KEYS_MAX = 4
BACKOFF_MAX_S = 60
FIRST_LOOK_S = 25  # a call in progress is left alone so long; a restart looks at once
IN_FLIGHT_S = 60  # after this a request that got no answer is no longer being worked on
CLOCK_SKEW_S = 300
DESCRIPTION_MAX = 500


def call_key(order_id: str, attempt: int) -> str:
    return f"checkout:{order_id}" if attempt == 1 else f"checkout:{order_id}:{attempt}"


def checkout_params(
    settings: PaymentsSettings, order: Order, slug: str | None, now_s: int, *, taxed: bool = False
) -> dict[str, Any]:
    """The exact parameters of the Checkout Session of an order. No secret is among them. `slug` None: it is for no room.
    `taxed`: the service computes the tax that is included in the price."""
    metadata = {"order_id": order.id, "mode": order.mode}
    if order.room_id is not None:
        metadata["room_id"] = order.room_id
    params: dict[str, Any] = {
        "mode": "payment",
        "client_reference_id": order.id,
        "line_items": [{"quantity": 1, "price_data": _price_data(order, taxed=taxed)}],
        "payment_method_types": ["card"],
        "adaptive_pricing": {"enabled": False},
        "metadata": metadata,
        "payment_intent_data": {"metadata": metadata, "description": order.title} | _hold(order),
        "expires_at": now_s + settings.checkout_life_s,
    }
    params |= {"automatic_tax": {"enabled": True}} if taxed else {}
    if order.funding == "subscription":
        del params["payment_intent_data"]
        params |= recurring.checkout_params(order, metadata)
    if order.purpose == "setup":
        for name in ("payment_intent_data", "line_items", "adaptive_pricing"):
            del params[name]
        params |= freeminutes.checkout_params(order, metadata)
    if order.customer_id:
        params["customer"] = order.customer_id
        if order.tariff.get("save_card"):  # also for when the payer is not asked
            params["payment_intent_data"]["setup_future_usage"] = "off_session"
    elif order.email:
        params["customer_email"] = order.email
    if order.goes_on and not order.customer_id:
        params["customer_creation"] = "always"
    back = f"{settings.public_url}/orders/{order.id}?return=1"
    if order.ui == "embedded":
        embedded = {
            "ui_mode": "embedded_page",
            "redirect_on_completion": "if_required",
            "return_url": back,
        }
        return params | embedded
    page = "/me" if slug is None else f"/r/{slug}"
    cancel = f"{settings.public_url}{page}?canceled={order.id}"
    return params | {"ui_mode": "hosted_page", "success_url": back, "cancel_url": cancel}


def _hold(order: Order) -> dict[str, Any]:
    """What is paid for by use is held now and charged at the end; the card is kept only for who wants to go on."""
    if order.funding != "metered":
        return {}
    kept = {"setup_future_usage": "on_session"} if order.goes_on else {}
    return {"capture_method": "manual"} | kept


def _price_data(order: Order, *, taxed: bool) -> dict[str, Any]:
    up_to = "up to " if order.funding == "metered" else ""
    minutes = "" if order.seconds is None else f" ({up_to}{wording.length(order.seconds)})"
    return {
        "currency": order.currency,
        "unit_amount": order.amount_minor,
        "product_data": {
            "name": f"{order.title}{minutes}",
            "description": (wording.of_use(order) or order.description)[:DESCRIPTION_MAX],
        },
    } | ({"tax_behavior": "inclusive"} if taxed else {})


async def begin_call(
    tx: Transaction,
    settings: PaymentsSettings,
    order: Order,
    *,
    slug: str | None,
    now_s: int,
    attempt: int = 1,
) -> None:
    """In the transaction that makes the order, or that gives up the attempt before."""
    await calls.begin_call(
        tx,
        key=call_key(order.id, attempt),
        operation=OPERATION,
        subject_id=order.id,
        params=checkout_params(settings, order, slug, now_s, taxed=await _is_taxed(tx, order)),
        now_s=now_s,
        # The first attempt is made by whoever orders; a later one by the next round.
        retry_at_s=now_s + FIRST_LOOK_S if attempt == 1 else now_s,
    )


async def _is_taxed(tx: Transaction, order: Order) -> bool:
    """Only what is bought whole in a room whose rates say so: of a hold nobody knows yet what is charged, and credits
    are not what is sold."""
    room = await _room(tx, order)
    if room is None or order.purpose != "access" or order.funding != "payment":
        return False
    return bool((await rates.figures_of_room(tx, room)).get("automatic_tax"))


async def attempt_call(ctx: Context, order_id: str) -> None:
    """Makes the newest call of an order and stores what came of it. Raises nothing: unknown stays unknown."""
    async with ctx.db.read() as tx:
        call = (await calls.calls_of(tx, order_id, OPERATION))[-1]
    try:
        checkout = await ctx.service.create_checkout(call.params, call.idempotency_key)
    except RefusedByServiceError as error:
        await _refused(ctx, order_id, call, error)
    except OutcomeUnknownError as error:
        log.warning("checkout_outcome_unknown", order_id=order_id, error=str(error))
        if error.answered and call.attempts > 0:
            await _give_up_key(ctx, order_id, call)
        else:
            await postpone(ctx, call, str(error))
    else:
        ctx.step("created")
        await adopt(ctx, order_id, checkout, call)


async def reconcile(ctx: Context, order_id: str) -> None:
    """Finds out what came of an order's call, and makes it again where nothing did.

    Raises OutcomeUnknownError when the service cannot be asked.
    """
    async with ctx.db.read() as tx:
        order = await get_order(tx, order_id)
        made = await calls.calls_of(tx, order_id, OPERATION)
        room = None if order is None else await _room(tx, order)
    if order is None or not made or order.checkout_session_id is not None:
        return
    if await _found(ctx, order_id, made):
        return
    if order.state is not OrderState.NEW:
        await _close_call(ctx, made[-1], "nothing came of it")
    elif _wanted(order, room, ctx.now_s()):
        await attempt_call(ctx, order_id)
    elif ctx.now_s() - made[-1].created_at_s < IN_FLIGHT_S:
        await postpone(ctx, made[-1], "given up; waiting to be sure that nothing comes of it")
    else:
        await _expire_unmade(ctx, order, made[-1])


async def _room(tx: Transaction, order: Order) -> Room | None:
    """None: a top-up of a wallet is for no room."""
    return None if order.room_id is None else await by_id(tx, order.room_id)


def _wanted(order: Order, room: Room | None, now_s: int) -> bool:
    is_in_time = order.reserved_until_s is not None and order.reserved_until_s > now_s
    return is_in_time and not order.walked_away and (room is None or room.state == "open")


async def _found(ctx: Context, order_id: str, made: Sequence[calls.StripeCall]) -> bool:
    checkouts = await ctx.service.find_checkouts(order_id, made[0].created_at_s - CLOCK_SKEW_S)
    ctx.step("listed")
    if not checkouts:
        return False
    rank = {"complete": 0, "open": 1, "expired": 2}
    first, *others = sorted(checkouts, key=lambda one: rank[one.fact.session_status])
    await adopt(ctx, order_id, first, made[-1])
    for other in others:  # two came of one order: only one may be paid
        if other.fact.session_status == "open":
            await ctx.service.expire_checkout(other.fact.checkout_session_id)
    return True


async def adopt(ctx: Context, order_id: str, checkout: Checkout, call: calls.StripeCall) -> None:
    """Stores the Checkout Session on its order, which can then be paid."""
    session_id = checkout.fact.checkout_session_id

    async def work(tx: Transaction) -> Sequence[Notice]:
        await calls.set_call(tx, call.idempotency_key, "done", result_id=session_id)
        await calls.close_open_calls(tx, order_id, session_id)  # a next key that is not needed any more
        order = await get_order(tx, order_id)
        if order is None or order.checkout_session_id is not None:
            return ()
        values: dict[str, Any] = {
            "checkout_session_id": session_id,
            "checkout_url": checkout.url,
            "client_secret": checkout.client_secret,
        }
        if order.state is OrderState.NEW:
            values["state"] = OrderState.OPEN
        await update_order(tx, order_id, **values)
        return ()

    await ctx.write(work)


async def _refused(ctx: Context, order_id: str, call: calls.StripeCall, error: RefusedByServiceError) -> None:
    """A late attempt may only be too late for its own parameters; a refused first attempt is final."""
    log.warning("checkout_refused", order_id=order_id, error=str(error))
    if call.attempts > 0 or ctx.now_s() - call.created_at_s >= FIRST_LOOK_S:
        await _give_up_key(ctx, order_id, call)
        return

    async def work(tx: Transaction) -> Sequence[Notice]:
        await calls.set_call(tx, call.idempotency_key, "refused", note=str(error))
        order = await get_order(tx, order_id)
        if order is None or order.state is not OrderState.NEW:
            return ()
        await update_order(
            tx, order_id, state=OrderState.FAILED, failure=error.code[:64], reserved_until_s=None
        )
        await promotions.give_back(tx, order_id)
        return order.seat_freed()

    await ctx.write(work)


async def _give_up_key(ctx: Context, order_id: str, call: calls.StripeCall) -> None:
    """The key answers a failure for ever. A listing that finds nothing allows the next key."""
    if await _found(ctx, order_id, [call]):
        return
    now_s = ctx.now_s()

    async def work(tx: Transaction) -> Sequence[Notice]:
        order = await get_order(tx, order_id)
        room = None if order is None else await _room(tx, order)
        made = await calls.calls_of(tx, order_id, OPERATION)
        if order is None or order.state is not OrderState.NEW:
            return ()
        await calls.set_call(tx, call.idempotency_key, "refused", note="nothing came of it")
        if len(made) < KEYS_MAX:
            await begin_call(
                tx,
                ctx.settings,
                order,
                slug=None if room is None else room.slug,
                now_s=now_s,
                attempt=len(made) + 1,
            )
            return ()
        values = {"state": OrderState.FAILED, "failure": "unavailable", "reserved_until_s": None}
        await update_order(tx, order_id, **values)
        await promotions.give_back(tx, order_id)
        return order.seat_freed()

    await ctx.write(work)


async def postpone(ctx: Context, call: calls.StripeCall, note: str) -> None:
    next_at_s = ctx.now_s() + min(2**call.attempts, BACKOFF_MAX_S)

    async def work(tx: Transaction) -> Sequence[Notice]:
        await calls.postpone_call(tx, call, next_at_s, note)
        return ()

    await ctx.write(work)


async def _close_call(ctx: Context, call: calls.StripeCall, note: str) -> None:
    async def work(tx: Transaction) -> Sequence[Notice]:
        await calls.set_call(tx, call.idempotency_key, "refused", note=note)
        return ()

    await ctx.write(work)


async def _expire_unmade(ctx: Context, order: Order, call: calls.StripeCall) -> None:
    """It is proved that no Checkout Session exists: the seat is free."""
    state = OrderState.CANCELED if order.walked_away else OrderState.EXPIRED

    async def work(tx: Transaction) -> Sequence[Notice]:
        await calls.set_call(tx, call.idempotency_key, "refused", note="nothing came of it")
        await update_order(tx, order.id, state=state, reserved_until_s=None)
        await promotions.give_back(tx, order.id)
        return order.seat_freed()

    await ctx.write(work)
