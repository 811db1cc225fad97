"""Earnings: one row for each sale that was booked, and the one door through which sales, refunds and disputes are booked.

What the payee has of a sale is the row's `net - reversed - paid - withheld` (`metering.payouts`); the ledger has the
same amount in the account of the row's state, or in the payee's debt where it is below zero. Both change together, in
the caller's transaction. A sale is named by its id: of an order, a window, a settled wallet stay, an invoice.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from sqlalchemy import Select, select, update

from metering import chart, payouts
from metering.accounts import STRIPE_CLEARING
from metering.disputes import MoveDispute, open_minor
from metering.ledger import Transfer
from metering.payouts import EarningState
from signaling.stores import disputes, ledger
from signaling.stores.database import Transaction
from signaling.stores.schema import earnings
from signaling.stores.statements import insert_once


@dataclass(frozen=True, slots=True)
class Earning:
    """One row of `earnings`."""

    id: str
    mode: str
    account: str
    payee: str
    order_id: str
    room_id: str
    currency: str
    gross_minor: int
    fee_minor: int
    tax_minor: int
    net_minor: int
    state: EarningState
    available_at_s: int
    created_at: str
    created_at_s: int
    charge_id: str | None = None
    reversed_minor: int = 0
    paid_minor: int = 0
    withheld_minor: int = 0
    disputed_minor: int = 0

    def plain(self) -> payouts.Earning:
        """What the rules look at."""
        return payouts.Earning(
            self.id,
            self.net_minor,
            self.available_at_s,
            self.reversed_minor,
            self.paid_minor,
            self.withheld_minor,
            self.state,
            self.disputed_minor,
        )

    @property
    def share(self) -> chart.Share:
        """What the payee has of it, and where."""
        plain = self.plain()
        return chart.Share(self.state, plain.free_minor, plain.frozen_minor)

    def sale(self, paid_by: str = STRIPE_CLEARING) -> chart.Sale:
        """As it was booked."""
        return chart.Sale(
            sale_id=self.id,
            payee=self.payee,
            amount_minor=self.gross_minor,
            currency=self.currency,
            fee_minor=self.fee_minor,
            tax_minor=self.tax_minor,
            paid_by=paid_by,
        )


@dataclass(frozen=True, slots=True)
class About:
    """Whose books a sale is in and what it is about. `charge_id`: of the service's charge whose money it is, when it is
    one charge's. `holding_days`: until it is due."""

    mode: str
    account: str
    order_id: str
    room_id: str
    holding_days: int = payouts.HOLDING_DAYS
    charge_id: str | None = None


@dataclass(frozen=True, slots=True)
class Now:
    """The time of a booking, made outside of its transaction."""

    s: int
    text: str


_COLUMNS = [earnings.c[field.name] for field in fields(Earning)]


async def _all(tx: Transaction, query: Select[Any]) -> list[Earning]:
    return [Earning(**row._mapping) for row in await tx.execute(query)]  # noqa: SLF001 - SQLAlchemy's documented name


async def get_earning(tx: Transaction, sale_id: str) -> Earning | None:
    found = await _all(tx, select(*_COLUMNS).where(earnings.c.id == sale_id))
    return found[0] if found else None


async def earnings_of_order(tx: Transaction, order_id: str) -> list[Earning]:
    """Of each payment of an order, the oldest first."""
    query = select(*_COLUMNS).where(earnings.c.order_id == order_id)
    return await _all(tx, query.order_by(earnings.c.created_at_s, earnings.c.id))


async def set_earning(tx: Transaction, earning_id: str, **values: Any) -> None:
    await tx.execute(update(earnings).where(earnings.c.id == earning_id).values(**values))


async def due(tx: Transaction, mode: str, account: str, now_s: int, limit: int = 100) -> list[Earning]:
    """Pending ones that have waited long enough, the longest due first."""
    query = select(*_COLUMNS).where(
        earnings.c.mode == mode,
        earnings.c.account == account,
        earnings.c.state == "pending",
        earnings.c.available_at_s <= now_s,
    )
    return await _all(tx, query.order_by(earnings.c.available_at_s).limit(limit))


# --- what is booked ---------------------------------------------------------------------------------------


async def book_sale(
    tx: Transaction, sale: chart.Sale, about: About, now: Now, *, paid_from: str | None = None
) -> None:
    """The payer's money is there and shared out; a sale of nothing is no sale. `paid_from`: the account that it comes
    from, where that is not the one it would go back to (`chart.sold`). A repeat changes nothing.

    Raises BooksError.
    """
    if sale.amount_minor == 0:
        return
    row = Earning(
        id=sale.sale_id,
        mode=about.mode,
        account=about.account,
        payee=sale.payee,
        order_id=about.order_id,
        room_id=about.room_id,
        currency=sale.currency,
        gross_minor=sale.amount_minor,
        fee_minor=sale.fee_minor,
        tax_minor=sale.tax_minor,
        net_minor=sale.net_minor,
        state="pending",
        available_at_s=payouts.available_at_s(now.s, about.holding_days),
        created_at=now.text,
        created_at_s=now.s,
        charge_id=about.charge_id,
    )
    await _book(tx, row, chart.sold(sale, paid_from), now)
    await insert_once(tx, earnings, asdict(row))


async def book_refund(
    tx: Transaction,
    sale_id: str,
    gone_before_minor: int,
    amount_minor: int,
    now: Now,
    *,
    paid_by: str = STRIPE_CLEARING,
) -> None:
    """So much of the sale went back to the payer, `gone_before_minor` (lost disputes too) before it. `paid_by`: to which account; Stripe's,
    or the wallet that paid. What the payee no longer has becomes their debt.

    Raises BooksError, also for a sale that was never booked.
    """
    row = await _of_sale(tx, sale_id)
    sale = row.sale(paid_by)
    back = await times_come_back(tx, row.order_id)
    moved = chart.refund(sale, gone_before_minor, amount_minor, row.share, back_before=back)
    await _book(tx, row, moved, now)
    gone_minor = gone_before_minor + amount_minor
    of = chart.taken(row.share, _net(sale, gone_before_minor, gone_minor), by_dispute=False)
    await _has_gone(tx, row, gone_minor, row.share.frozen_minor - of.frozen_minor, now)


async def book_failed_refund(  # noqa: PLR0917 - plain data of one event
    tx: Transaction, refund_id: str, sale_id: str, gone_before_minor: int, amount_minor: int, now: Now
) -> None:
    """A refund that was booked came back: the other way round. `gone_before_minor`: with it. Raises BooksError."""
    row = await _of_sale(tx, sale_id)
    sale, debt_minor = row.sale(), row.plain().debt_minor
    moved = chart.refund_failed(refund_id, sale, gone_before_minor, amount_minor, row.state, debt_minor)
    await _book(tx, row, moved, now)
    await _has_gone(tx, row, gone_before_minor - amount_minor, row.share.frozen_minor, now)


async def refunds_booked_back(tx: Transaction, order_id: str) -> frozenset[str]:
    """The service's ids of an order's refunds that failed after they were booked, and were booked back."""
    ids = await ledger.ids_of(tx, order_id, "unrefund")
    return frozenset(one.partition(":")[2] for one in ids)


async def times_come_back(tx: Transaction, order_id: str) -> int:
    """How often something of an order that had gone came back: refunds that failed, and what banks gave back."""
    returned = {one.partition(":")[2] for one in await ledger.ids_of(tx, order_id, "reinstated")}
    return len(returned) + len(await refunds_booked_back(tx, order_id))


async def move_disputes(
    tx: Transaction, sale_id: str, moves: Sequence[MoveDispute], gone_before_minor: int, now: Now
) -> None:
    """Disputes of the sale stand so from now on: what the open ones are about is frozen, what the lost ones took is gone
    (`gone_before_minor` before that), what a bank gave back of it is there again, the rest goes on. Nothing for a sale of
    nothing. Raises BooksError."""
    row = await get_earning(tx, sale_id)
    if row is None or not moves:
        return
    about = disputes.Disputed(row.id, row.order_id, row.mode, row.account, row.currency)
    await disputes.keep(tx, about, moves, now.text)
    gone_minor, share, debt_minor = gone_before_minor, row.share, row.plain().debt_minor
    for move in moves:
        if move.back_minor:
            share, debt_minor = await _given_back(tx, row, move, gone_minor, share, debt_minor, now)
        elif move.taken_minor:
            share = await _lost(tx, row, move, gone_minor, share, now)
        gone_minor += move.taken_minor - move.back_minor
    await _has_gone(tx, row, gone_minor, share.frozen_minor, now)


async def _lost(  # noqa: PLR0917 - plain data of one event
    tx: Transaction, row: Earning, move: MoveDispute, gone_minor: int, share: chart.Share, now: Now
) -> chart.Share:
    """What is left of the payee's part."""
    sale, amount_minor = row.sale(), move.taken_minor
    await _book(tx, row, chart.dispute_lost(move.loss_id, sale, gone_minor, amount_minor, share), now)
    of = chart.taken(share, _net(sale, gone_minor, gone_minor + amount_minor), by_dispute=True)
    return replace(
        share, left_minor=share.left_minor - of.own_minor, frozen_minor=share.frozen_minor - of.frozen_minor
    )


async def _given_back(  # noqa: PLR0917 - plain data of one event
    tx: Transaction,
    row: Earning,
    move: MoveDispute,
    gone_minor: int,
    share: chart.Share,
    debt_minor: int,
    now: Now,
) -> tuple[chart.Share, int]:
    """What the payee has of it then, and still owes."""
    sale, back_minor = row.sale(), move.back_minor
    moved = chart.dispute_returned(move.back_id, sale, gone_minor, back_minor, row.state, debt_minor)
    await _book(tx, row, moved, now)
    net_minor = _net(sale, gone_minor - back_minor, gone_minor)
    repaid_minor = min(net_minor, debt_minor)
    left_minor = share.left_minor + net_minor - repaid_minor
    return replace(share, left_minor=left_minor), debt_minor - repaid_minor


async def make_available(tx: Transaction, row: Earning, now: Now) -> None:
    """It is due, but for what is frozen. Raises BooksError."""
    await _book(tx, row, chart.due(row.id, row.payee, row.share.left_minor, row.currency), now)
    await set_earning(tx, row.id, state="available")


async def came_back(tx: Transaction, before: Earning, amount_minor: int, now: Now) -> None:
    """So much of what was sent to the payee is in their account again: what of it is disputed is frozen. Raises
    BooksError."""
    changed = replace(before, paid_minor=before.paid_minor - amount_minor)
    await set_earning(tx, before.id, paid_minor=changed.paid_minor)
    await _freeze(tx, changed, before.share.frozen_minor, now)


async def _of_sale(tx: Transaction, sale_id: str) -> Earning:
    row = await get_earning(tx, sale_id)
    if row is None:
        raise ledger.BooksError(f"no such sale: {sale_id}")
    return row


def _net(sale: chart.Sale, from_minor: int, to_minor: int) -> int:
    """The payee's part of what has gone between those two sums."""
    return (chart.parts_of(sale, to_minor) - chart.parts_of(sale, from_minor)).net_minor


async def _has_gone(tx: Transaction, row: Earning, gone_minor: int, in_reserve_minor: int, now: Now) -> None:
    """`gone_minor` of the sale has gone back by now, and so much of it is in the reserve still."""
    sale = row.sale()
    known = await disputes.disputes_of(tx, row.id)
    left_minor = row.net_minor - _net(sale, 0, gone_minor)
    disputed_minor = min(row.disputed_minor, left_minor)  # of before disputes had rows
    if known:
        about_minor = min(gone_minor + open_minor(known), sale.amount_minor)
        disputed_minor = _net(sale, gone_minor, about_minor)
    changed = replace(row, reversed_minor=row.net_minor - left_minor, disputed_minor=disputed_minor)
    await set_earning(
        tx, row.id, reversed_minor=changed.reversed_minor, disputed_minor=changed.disputed_minor
    )
    await _freeze(tx, changed, in_reserve_minor, now)


async def _freeze(tx: Transaction, row: Earning, in_reserve_minor: int, now: Now) -> None:
    """As much of it as is to be frozen; each change has a number of its own."""
    codes = ("freeze", "unfreeze")
    number = sum([len(await ledger.ids_of(tx, row.order_id, code)) for code in codes]) + 1
    delta_minor = row.plain().frozen_minor - in_reserve_minor
    moved = chart.frozen(f"{row.id}:{number}", row.payee, row.state, delta_minor, row.currency)
    await _book(tx, row, moved, now)


async def _book(tx: Transaction, row: Earning, transfers: Sequence[Transfer], now: Now) -> None:
    entries = [ledger.Entry(transfer, row.mode, row.account, row.order_id) for transfer in transfers]
    await ledger.require_posted(tx, entries, now.text)
