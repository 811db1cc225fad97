"""Refunds that a person asks for: the operator for any purchase, a host for those of their own room.

What is asked is one row of the outbox under the id that the asker chose, so that a repeat asks nothing more.
"""

from typing import Annotated, Any, Literal

import structlog
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from metering.errors import RefusedError
from signaling.errors import ApiError
from signaling.notices import OutboxFilled
from signaling.payments import refunding, walletrefunds
from signaling.payments.context import Context
from signaling.stores import outbox, passes, refunds
from signaling.stores.database import Transaction
from signaling.stores.orders import BY_USE, Order, get_order, sales_of_room

log = structlog.get_logger()

Json = dict[str, Any]
PAGE = 50


class NewRefund(BaseModel):
    """How much goes back, in exactly one of three words: an amount, a length of time, or a part."""

    model_config = ConfigDict(strict=True)

    refund_id: Annotated[str, StringConstraints(pattern=r"^rfd_[A-Za-z0-9_-]{16,40}$")]
    amount_minor: Annotated[int, Field(ge=1, le=99_999_999)] | None = None
    seconds: Annotated[int, Field(ge=1, le=10_000_000)] | None = None
    part: Literal["unused", "all"] | None = None
    reason: Literal["goodwill", "technical", "host_absent", "duplicate", "requested"]
    end_access: bool | None = None

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
        }


class NewHostRefund(NewRefund):
    """The same for one purchase of the host's room."""

    order_id: Annotated[str, StringConstraints(max_length=64)]


async def ask(ctx: Context, order_id: str, body: NewRefund, *, by: str, room_id: str | None = None) -> Json:
    """Asks once for each `refund_id`; the refund as it stands. `room_id`: only of that room. `by`: for the log.

    Raises ApiError 404 `unknown_order`; 409 `not_paid`, `not_refundable`, `disputed`, `nothing_left`, `too_much`,
    `exists_different`; 422 `no_length`.
    """
    now_s, now_text, payload = ctx.now_s(), ctx.now_text(), body.payload(order_id)

    async def work(tx: Transaction) -> tuple[Order, bool]:
        order = await get_order(tx, order_id)
        if order is None or (room_id is not None and order.room_id != room_id) or not _is_ours(ctx, order):
            raise ApiError(404, "unknown_order", "no such order here")
        before = await outbox.payload_of(tx, body.refund_id)
        if before is not None:
            if before != payload:
                raise ApiError(409, "exists_different", "another refund has this id")
            return order, False
        await _require_possible(tx, order, payload)
        await outbox.add(
            tx,
            outbox_id=body.refund_id,
            kind="refund",
            subject_id=order_id,
            payload=payload,
            now_s=now_s,
            created_at=now_text,
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
    shown = sold[:PAGE]
    return {
        "sales": [_sale_view(order) for order in shown],
        "next": shown[-1].id if len(sold) > PAGE else None,
    }


def _sale_view(order: Order) -> Json:
    return {
        "order_id": order.id,
        "name": order.name,
        "state": order.state.value,
        "paid_at": order.paid_at,
        "paid_minor": order.paid_minor,
        "refunded_minor": order.refunded_minor,
        "lost_minor": order.lost_minor,
        "currency": order.currency,
    }


def _is_ours(ctx: Context, order: Order) -> bool:
    return (order.mode, order.account) == (ctx.settings.mode, ctx.settings.account)


async def _require_possible(tx: Transaction, order: Order, payload: Json) -> None:
    """What can be told at once is refused at once; the amount is judged again when the meter stands still."""
    if not order.granted:
        raise ApiError(409, "not_paid", "nothing was paid with this order")
    if order.purpose != "access" or order.funding not in refunding.REFUNDABLE:
        raise ApiError(409, "not_refundable", "this order was not paid by itself")
    if order.funding == "wallet" and not await walletrefunds.has_payer(tx, order):
        raise ApiError(409, "not_refundable", "nobody is there any more whose wallet it went back to")
    disputed = order.dispute in {"open", "lost"}
    if disputed and order.funding not in BY_USE:
        raise ApiError(409, "disputed", "the payer's bank has taken this payment back")
    found = await passes.pass_of_order(tx, order)
    if order.funding in BY_USE and order.charged_minor is None:
        return  # only held so far
    wanted = refunding.wanted_of(payload)
    try:
        amount_minor = await refunding.amount_of(tx, order, found, wanted)
    except RefusedError as error:
        raise ApiError(422, error.code, str(error), field="seconds") from None
    if disputed and amount_minor == 0:
        raise ApiError(409, "disputed", "the payer's bank has taken these payments back")
    said_minor = payload["amount_minor"]
    if isinstance(said_minor, int) and amount_minor < said_minor:
        raise ApiError(409, "too_much", "less than that is left of this payment", field="amount_minor")
    if amount_minor == 0 and not refunding.ends_access(payload):
        raise ApiError(409, "nothing_left", "nothing is left to give back of this payment")


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
