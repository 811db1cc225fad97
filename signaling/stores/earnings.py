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
from metering.ledger import Transfer
from metering.orders import Dispute
from metering.payouts import EarningState
from signaling.stores import ledger
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
        )

    @property
    def share(self) -> chart.Share:
        """What the payee has of it, and where."""
        return chart.Share(self.state, self.plain().owed_minor)

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
    """So much of the sale went back to the payer, `gone_before_minor` before it. `paid_by`: to which account; Stripe's,
    or the wallet that paid. What the payee no longer has becomes their debt.

    Raises BooksError, also for a sale that was never booked.
    """
    row = await _of_sale(tx, sale_id)
    sale = row.sale(paid_by)
    failed = len(await refunds_booked_back(tx, row.order_id))
    moved = chart.refund(sale, gone_before_minor, amount_minor, row.share, failed_before=failed)
    await _book(tx, row, moved, now)
    await _reverse(tx, row, sale, gone_before_minor + amount_minor)


async def book_failed_refund(  # noqa: PLR0917 - plain data of one event
    tx: Transaction, refund_id: str, sale_id: str, gone_before_minor: int, amount_minor: int, now: Now
) -> None:
    """A refund that was booked came back: the other way round. `gone_before_minor`: with it. Raises BooksError."""
    row = await _of_sale(tx, sale_id)
    sale, debt_minor = row.sale(), row.plain().debt_minor
    moved = chart.refund_failed(refund_id, sale, gone_before_minor, amount_minor, row.state, debt_minor)
    await _book(tx, row, moved, now)
    await _reverse(tx, row, sale, gone_before_minor - amount_minor)


async def refunds_booked_back(tx: Transaction, order_id: str) -> frozenset[str]:
    """The service's ids of an order's refunds that failed after they were booked, and were booked back."""
    ids = await ledger.ids_of(tx, order_id, "unrefund")
    return frozenset(one.partition(":")[2] for one in ids)


async def freeze(tx: Transaction, sale_id: str, now: Now) -> None:
    """A bank looks into the payment: what the payee has of it waits. Raises BooksError."""
    row = await _of_sale(tx, sale_id)
    if row.state == "disputed":
        return
    await _book(tx, row, chart.frozen(sale_id, row.payee, row.share, row.currency), now)
    await set_earning(tx, sale_id, state="disputed")


async def thaw(tx: Transaction, sale_id: str, now: Now) -> None:
    """The dispute was won: it waits on until it is due, or is available. Raises BooksError."""
    row = await _of_sale(tx, sale_id)
    if row.state != "disputed":
        return
    state = _state_without_dispute(row, now)
    share = chart.Share(state, row.share.left_minor)
    await _book(tx, row, chart.thawed(sale_id, row.payee, share, row.currency), now)
    await set_earning(tx, sale_id, state=state)


async def book_dispute_lost(tx: Transaction, sale_id: str, gone_before_minor: int, now: Now) -> int:
    """The bank took the rest of the sale, of which so much had gone back before; how much it took. Raises BooksError."""
    row = await _of_sale(tx, sale_id)
    sale = row.sale()
    await _book(tx, row, chart.dispute_lost(sale, gone_before_minor, row.share), now)
    await _reverse(tx, row, sale, sale.amount_minor)
    if row.state == "disputed":
        await set_earning(tx, sale_id, state=_state_without_dispute(row, now))
    return sale.amount_minor - gone_before_minor


async def move_dispute(
    tx: Transaction, sale_id: str, dispute: Dispute, gone_before_minor: int, now: Now
) -> int:
    """To where the payment's dispute is by now; how much of the sale is lost by that. Nothing for a sale of nothing."""
    if await get_earning(tx, sale_id) is None:
        return 0
    if dispute == "lost":
        return await book_dispute_lost(tx, sale_id, gone_before_minor, now)
    await (freeze if dispute == "open" else thaw)(tx, sale_id, now)
    return 0


async def make_available(tx: Transaction, row: Earning, now: Now) -> None:
    """It is due. Raises BooksError."""
    await _book(tx, row, chart.due(row.id, row.payee, row.share.left_minor, row.currency), now)
    await set_earning(tx, row.id, state="available")


def _state_without_dispute(row: Earning, now: Now) -> EarningState:
    fresh = replace(row.plain(), state="pending")
    return "available" if payouts.is_due(fresh, now.s) else "pending"


async def _of_sale(tx: Transaction, sale_id: str) -> Earning:
    row = await get_earning(tx, sale_id)
    if row is None:
        raise ledger.BooksError(f"no such sale: {sale_id}")
    return row


async def _reverse(tx: Transaction, row: Earning, sale: chart.Sale, gone_minor: int) -> None:
    """What of the payee's part has gone back once `gone_minor` of the sale has."""
    await set_earning(tx, row.id, reversed_minor=chart.parts_of(sale, gone_minor).net_minor)


async def _book(tx: Transaction, row: Earning, transfers: Sequence[Transfer], now: Now) -> None:
    entries = [ledger.Entry(transfer, row.mode, row.account, row.order_id) for transfer in transfers]
    await ledger.require_posted(tx, entries, now.text)
