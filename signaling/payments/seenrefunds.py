"""Refunds as the payment service has them, kept as rows: ours as they stand now, the dashboard's as they are seen."""

from collections.abc import Iterable, Mapping

from metering.refunds import SeenRefund
from signaling.payments.port import RefundFact
from signaling.stores import refunds
from signaling.stores.database import Transaction

_STATES: Mapping[str, refunds.RefundState] = {
    "succeeded": "succeeded",
    "failed": "failed",
    "canceled": "failed",
}


def plain(facts: Iterable[RefundFact]) -> tuple[SeenRefund, ...]:
    """As the rules look at them."""
    return tuple(
        SeenRefund(one.refund_id, one.amount_minor, _STATES.get(one.status) == "failed") for one in facts
    )


async def note_refunds(tx: Transaction, order_id: str, facts: Iterable[RefundFact], now_text: str) -> None:
    for fact in facts:
        await _note(tx, order_id, fact, now_text)


async def _note(tx: Transaction, order_id: str, fact: RefundFact, now_text: str) -> None:
    state = _STATES.get(fact.status, "asked")
    ours = await refunds.get_refund(tx, fact.reference) if fact.reference else None
    if ours is not None and ours.order_id == order_id:
        await refunds.set_refund(tx, ours.id, state, fact.refund_id)
        return
    row = refunds.Refund(
        id=f"ref_{fact.refund_id}"[:64],
        order_id=order_id,
        amount_minor=fact.amount_minor,
        currency=fact.currency,
        reason="dashboard",
        state=state,
        stripe_refund_id=fact.refund_id,
        created_at=now_text,
        payment_intent_id=fact.payment_intent_id,
    )
    if not await refunds.insert_refund(tx, row):
        await refunds.set_refund(tx, row.id, state, fact.refund_id)


async def expected(tx: Transaction, order_id: str) -> frozenset[str]:
    """The service's ids of refunds that are not known to have failed. A charge whose only refund a bank sent back looks
    as if there had never been one: these are asked for all the same."""
    known = await refunds.refunds_of(tx, order_id)
    return frozenset(
        one.stripe_refund_id for one in known if one.state != "failed" and one.stripe_refund_id is not None
    )
