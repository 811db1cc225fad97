"""Refunds that a person asks for: the operator for any purchase, a host for those of their own room.

What is asked is one row of the outbox under the id that the asker chose, so that a repeat asks nothing more.
"""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

import structlog
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from metering.errors import RefusedError
from signaling.errors import ApiError
from signaling.notices import OutboxFilled
from signaling.payments import invoicerefunds, refunding, subscribing, topuprefunds, walletrefunds
from signaling.payments.context import Context
from signaling.payments.views import invoice_view, refund_view
from signaling.stores import outbox, passes, refunds, subscriptions
from signaling.stores.database import Transaction
from signaling.stores.orders import BY_USE, Order, get_order, sales_of_room
from signaling.stores.subscriptions import Invoice

log = structlog.get_logger()

Json = dict[str, Any]
PAGE = 50


class NewRefund(BaseModel):
    """How much goes back, in exactly one of three words: an amount, a length of time, or a part. Of a subscription:
    `invoice_id`, which invoice (else the newest paid one); `cancel`, it is not renewed when its period is over."""

    model_config = ConfigDict(strict=True)

    refund_id: Annotated[str, StringConstraints(pattern=r"^rfd_[A-Za-z0-9_-]{16,40}$")]
    amount_minor: Annotated[int, Field(ge=1, le=99_999_999)] | None = None
    seconds: Annotated[int, Field(ge=1, le=10_000_000)] | None = None
    part: Literal["unused", "all"] | None = None
    reason: Literal["goodwill", "technical", "host_absent", "duplicate", "requested"]
    end_access: bool | None = None
    invoice_id: Annotated[str, StringConstraints(min_length=1, max_length=255)] | None = None
    cancel: bool = False

    @model_validator(mode="after")
    def _one_of_three(self) -> "NewRefund":
        if [self.amount_minor, self.seconds, self.part].count(None) != 2:  # noqa: PLR2004 - one of three
            raise ValueError("say one of amount_minor, seconds and part")
        return self

    def payload(self, order_id: str) -> Json:
        """As the outbox carries it."""
        return {
            "order_id": order_id,
            "amount_minor": self.amount_minor if self.part is None else self.part,
            "seconds": self.seconds,
            "reason": self.reason,
            "end_access": self.end_access,
            "invoice_id": self.invoice_id,
            "cancel": self.cancel,
        }


class NewHostRefund(NewRefund):
    """The same for one purchase of the host's room."""

    order_id: Annotated[str, StringConstraints(max_length=64)]


async def ask(ctx: Context, order_id: str, body: NewRefund, *, by: str, room_id: str | None = None) -> Json:
    """Asks once for each `refund_id`; the refund as it stands. `room_id`: only of that room. `by`: for the log.

    Raises ApiError 404 `unknown_order`, `unknown_invoice`; 409 `not_paid`, `not_refundable`, `disputed`, `nothing_left`,
    `too_much`, `exists_different`; 422 `no_length`, `no_subscription`.
    """
    now_s, now_text, payload = ctx.now_s(), ctx.now_text(), body.payload(order_id)

    async def work(tx: Transaction) -> tuple[Order, bool]:
        order = await get_order(tx, order_id)
        if order is None or (room_id is not None and order.room_id != room_id) or not _is_ours(ctx, order):
            raise ApiError(404, "unknown_order", "no such order here")
        before = await outbox.payload_of(tx, body.refund_id)
        if before is not None:
            if any(before.get(name) != said for name, said in payload.items()):
                raise ApiError(409, "exists_different", "another refund has this id")
            return order, False
        chosen = await _require_possible(tx, order, payload)
        if order.purpose == "topup":
            await _hold(tx, order, body, chosen, now_text)
        await outbox.add(
            tx,
            outbox_id=body.refund_id,
            kind="refund",
            subject_id=order_id,
            payload=payload | chosen,
            now_s=now_s,
            created_at=now_text,
        )
        if body.end_access or body.cancel:
            subscription = await subscriptions.of_order(tx, order_id)
            if subscription is not None:
                at_end_by = None if body.end_access else body.refund_id
                await subscribing.ask_cancel(
                    tx, subscription, now_s=now_s, created_at=now_text, at_end_by=at_end_by
                )
        return order, True

    order, is_new = await ctx.db.write(work)
    if is_new:
        log.info("refund_asked", refund_id=body.refund_id, order_id=order_id, reason=body.reason, by=by)
        ctx.notices.publish(OutboxFilled())
    return await _view(ctx, order, body)


async def sales(ctx: Context, room_id: str, before: str | None) -> Json:
    """What was sold in a room and what of it went back, 50 a page; `next`: the `before` of the next page."""
    async with ctx.db.read() as tx:
        sold = await sales_of_room(tx, room_id, before=before, limit=PAGE + 1)
        billed = await subscriptions.invoices_of_orders(tx, [order.id for order in sold])
    shown = sold[:PAGE]
    return {
        "sales": [_sale_view(order, billed.get(order.id, ())) for order in shown],
        "next": shown[-1].id if len(sold) > PAGE else None,
    }


async def purchase(ctx: Context, order_id: str) -> Json:
    """Any purchase, for the operator, with what can still go back of it. Raises ApiError 404 `unknown_order`."""
    async with ctx.db.read() as tx:
        order = await get_order(tx, order_id)
        if order is None or not _is_ours(ctx, order):
            raise ApiError(404, "unknown_order", "no such order here")
        billed = await invoicerefunds.paid_ones(tx, order) if order.funding == "subscription" else []
        given_back = await refunds.refunds_of(tx, order.id)
    return _sale_view(order, billed) | {
        "title": order.title,
        "purpose": order.purpose,
        "funding": order.funding,
        "refunds": [refund_view(one) for one in given_back],
    }


def _sale_view(order: Order, billed: Sequence[Invoice]) -> Json:
    """Of a subscription: every invoice that was paid, and the sum of them."""
    view: Json = {
        "order_id": order.id,
        "name": order.name,
        "state": order.state.value,
        "paid_at": order.paid_at,
        "paid_minor": order.paid_minor,
        "refunded_minor": order.refunded_minor,
        "lost_minor": order.lost_minor,
        "currency": order.currency,
    }
    if order.funding != "subscription":
        return view
    paid_minor = sum(one.amount_minor for one in billed)
    return view | {"paid_minor": paid_minor, "invoices": [invoice_view(one) for one in billed]}


def _is_ours(ctx: Context, order: Order) -> bool:
    return (order.mode, order.account) == (ctx.settings.mode, ctx.settings.account)


async def _require_possible(tx: Transaction, order: Order, payload: Json) -> Json:
    """What can be told at once is refused at once; the amount is judged again when the meter stands still. What was
    chosen where nothing was said."""
    if not order.granted:
        raise ApiError(409, "not_paid", "nothing was paid with this order")
    if order.funding == "subscription":
        return await _choose_invoice(tx, order, payload)
    if payload["invoice_id"] is not None or payload["cancel"]:
        field = "cancel" if payload["cancel"] else "invoice_id"
        raise ApiError(422, "no_subscription", "this order is no subscription", field=field)
    if order.purpose == "topup":
        return await _choose_credits(tx, order, payload)
    await _require_refundable(tx, order)
    disputed = order.dispute in {"open", "lost"}
    if disputed and order.funding not in BY_USE:
        raise ApiError(409, "disputed", "the payer's bank has taken this payment back")
    found = await passes.pass_of_order(tx, order)
    if order.funding in BY_USE and order.charged_minor is None:
        return {}  # only held so far
    try:
        amount_minor = await refunding.amount_of(tx, order, found, payload)
    except RefusedError as error:
        raise ApiError(422, error.code, str(error), field="seconds") from None
    if disputed and amount_minor == 0:
        raise ApiError(409, "disputed", "the payer's bank has taken these payments back")
    _require_left(payload, amount_minor, may_be_nothing=refunding.ends_access(payload))
    return {}


async def _require_refundable(tx: Transaction, order: Order) -> None:
    if order.purpose != "access" or order.funding not in refunding.REFUNDABLE:
        raise ApiError(409, "not_refundable", "this order was not paid by itself")
    if order.funding == "wallet" and not await walletrefunds.has_payer(tx, order):
        raise ApiError(409, "not_refundable", "nobody is there any more whose wallet it went back to")


def _require_left(payload: Json, amount_minor: int, *, may_be_nothing: bool) -> None:
    said_minor = payload["amount_minor"]
    if isinstance(said_minor, int) and amount_minor < said_minor:
        raise ApiError(409, "too_much", "less than that is left of this payment", field="amount_minor")
    if amount_minor == 0 and not may_be_nothing:
        raise ApiError(409, "nothing_left", "nothing is left to give back of this payment")


async def _choose_invoice(tx: Transaction, order: Order, payload: Json) -> Json:
    """Of a subscription, one invoice goes back, or a part of it."""
    said = payload["amount_minor"]
    if said is None or said == "unused":
        field = "seconds" if said is None else "part"
        raise ApiError(
            422, "no_length", "a subscription is not bought by the hour: say how much", field=field
        )
    invoice = await invoicerefunds.invoice_of(tx, order, invoice_id=payload["invoice_id"])
    if invoice is None and payload["invoice_id"] is not None:
        raise ApiError(404, "unknown_invoice", "no such paid invoice of this order", field="invoice_id")
    if invoice is None:
        raise ApiError(409, "not_paid", "no invoice of this subscription was paid yet")
    if invoice.payment_intent_id is None:
        raise ApiError(409, "not_refundable", "this invoice was not paid with a card")
    if await invoicerefunds.is_disputed(tx, invoice):
        raise ApiError(409, "disputed", "the payer's bank has taken this payment back")
    chosen = {"payment_intent_id": invoice.payment_intent_id}
    amount_minor = await refunding.amount_of(tx, order, None, payload | chosen)
    _require_left(payload, amount_minor, may_be_nothing=bool(payload["end_access"] or payload["cancel"]))
    return chosen


async def _choose_credits(tx: Transaction, order: Order, payload: Json) -> Json:
    """Of a top-up goes back what nobody has spent, and not more than is left of it."""
    said = payload["amount_minor"]
    if said is None:
        raise ApiError(422, "no_length", "credits have no length: name an amount", field="seconds")
    if order.dispute in {"open", "lost"}:
        raise ApiError(409, "disputed", "the payer's bank has taken this payment back")
    most_minor = await topuprefunds.most_minor(tx, order)
    amount_minor = min(said, most_minor) if isinstance(said, int) else most_minor
    _require_left(payload, amount_minor, may_be_nothing=False)
    return {"held_minor": amount_minor}


async def _hold(tx: Transaction, order: Order, body: NewRefund, chosen: Json, now_text: str) -> None:
    """Its credits cannot be spent from now on. Raises ApiError 409 `too_much`."""
    row = refunds.Refund(
        id=body.refund_id,
        order_id=order.id,
        amount_minor=chosen["held_minor"],
        currency=order.currency,
        reason=body.reason,
        state="asked",
        stripe_refund_id=None,
        created_at=now_text,
        payment_intent_id=order.payment_intent_id,
    )
    if not await topuprefunds.hold(tx, order, row):
        raise ApiError(409, "too_much", "less than that is left of these credits", field="amount_minor")


async def _view(ctx: Context, order: Order, body: NewRefund) -> Json:
    """`amount_minor` null: not known before the meter stands still."""
    async with ctx.db.read() as tx:
        known = await refunds.refunds_of(tx, order.id)
    own = [one for one in known if one.id == body.refund_id or one.id.startswith(f"{body.refund_id}.")]
    states = {one.state for one in own}
    state = "failed" if "failed" in states else "succeeded" if states == {"succeeded"} else "asked"
    return {
        "refund_id": body.refund_id,
        "order_id": order.id,
        "state": state,
        "amount_minor": sum(one.amount_minor for one in own) if own else None,
        "currency": order.currency,
        "reason": body.reason,
    }
