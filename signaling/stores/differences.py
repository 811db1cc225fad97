"""What our books and the payment service's say differently, and what we hold of one of its entries."""

from dataclasses import dataclass

from sqlalchemy import case, func, select, update

from signaling.stores.database import Transaction
from signaling.stores.schema import (
    differences,
    disputes,
    invoices,
    orders,
    payouts,
    refunds,
    transfers,
    windows,
)
from signaling.stores.statements import put


@dataclass(frozen=True, slots=True)
class Difference:
    """`ours_minor` None: we know nothing of it. `subject_id`: the service's object, and its payment after a slash."""

    id: str
    mode: str
    account: str
    kind: str
    subject_id: str
    ours_minor: int | None
    theirs_minor: int | None
    currency: str | None
    note: str


async def show(tx: Transaction, found: Difference, now_text: str) -> None:
    """Open from now on, or still; since when stays as it was."""
    query = select(differences.c.first_seen_at).where(
        differences.c.id == found.id, differences.c.state == "open"
    )
    first = (await tx.execute(query)).scalar()
    values = {name: getattr(found, name) for name in Difference.__slots__}
    seen = {"state": "open", "first_seen_at": first or now_text, "last_seen_at": now_text}
    await put(tx, differences, "id", values | seen)


async def drop(tx: Transaction, difference_id: str, now_text: str) -> bool:
    """It no longer differs. False when it was not open."""
    done = await tx.execute(
        update(differences)
        .where(differences.c.id == difference_id, differences.c.state == "open")
        .values(state="gone", last_seen_at=now_text)
    )
    return done.rowcount == 1


async def open_ones(tx: Transaction, mode: str, account: str, limit: int = 200) -> list[Difference]:
    columns = [differences.c[name] for name in Difference.__slots__]
    query = select(*columns).where(
        differences.c.mode == mode, differences.c.account == account, differences.c.state == "open"
    )
    return [Difference(*row) for row in await tx.execute(query.order_by(differences.c.id).limit(limit))]


# --- what we hold -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Held:
    """What we hold of an entry. `amount_minor` None: we know of it, and have no amount to compare."""

    amount_minor: int | None
    currency: str


async def charged(tx: Transaction, payment_intent_id: str) -> Held | None:
    """What is booked as paid with that payment: the parts of its sale, or a top-up. None: nothing is."""
    names: list[str] = []
    for table in (windows, invoices, orders):
        rows = await tx.execute(select(table.c.id).where(table.c.payment_intent_id == payment_intent_id))
        names += [row.id for row in rows]
    return await _sum_of(
        tx, [f"{part}:{name}" for name in names for part in ("payment", "fee", "tax", "topup")]
    )


async def refunded(tx: Transaction, stripe_refund_id: str) -> Held | None:
    """One refund that we have seen."""
    columns = (refunds.c.amount_minor, refunds.c.currency)
    row = (await tx.execute(select(*columns).where(refunds.c.stripe_refund_id == stripe_refund_id))).first()
    return None if row is None else Held(*row)


async def booked_back(tx: Transaction, stripe_refund_id: str) -> Held | None:
    """One refund that failed, over all the parts of its sale."""
    return await _sum_of(tx, [f"unrefund{part}:{stripe_refund_id}" for part in ("", "_debt", "_fee", "_tax")])


async def withdrawn(tx: Transaction, dispute_id: str) -> Held | None:
    """What one dispute is about."""
    columns = (disputes.c.amount_minor, disputes.c.currency)
    row = (await tx.execute(select(*columns).where(disputes.c.id == dispute_id))).first()
    return None if row is None else Held(*row)


async def reinstated(tx: Transaction, dispute_id: str) -> Held | None:
    """What one dispute gave back in all, once it is decided."""
    back = case((disputes.c.state == "open", 0), else_=disputes.c.returned_minor)
    query = select(back, disputes.c.currency)
    row = (await tx.execute(query.where(disputes.c.id == dispute_id))).first()
    return None if row is None else Held(int(row[0]), row[1])


async def taken_back(tx: Transaction, stripe_transfer_id: str) -> Held | None:
    """What of one transfer to a host came back, in all."""
    columns = (payouts.c.reversed_minor, payouts.c.currency)
    row = (await tx.execute(select(*columns).where(payouts.c.transfer_id == stripe_transfer_id))).first()
    return None if row is None else Held(*row)


async def disputed(tx: Transaction, payment_intent_id: str) -> Held | None:
    """Whether we know that a bank looks, or looked, into that payment: of before disputes had rows."""
    for table in (windows, orders):
        query = select(table.c.currency).where(
            table.c.payment_intent_id == payment_intent_id, table.c.dispute != "none"
        )
        row = (await tx.execute(query.limit(1))).first()
        if row is not None:
            return Held(None, row.currency)
    return None


async def sent(tx: Transaction, stripe_transfer_id: str) -> Held | None:
    """One transfer to a host."""
    columns = (payouts.c.amount_minor, payouts.c.currency)
    row = (await tx.execute(select(*columns).where(payouts.c.transfer_id == stripe_transfer_id))).first()
    return None if row is None else Held(*row)


async def _sum_of(tx: Transaction, transfer_ids: list[str]) -> Held | None:
    columns = (func.sum(transfers.c.amount_minor), transfers.c.currency)
    query = select(*columns).where(transfers.c.id.in_(transfer_ids)).group_by(transfers.c.currency)
    row = (await tx.execute(query)).first()
    return None if row is None else Held(int(row[0]), row[1])
