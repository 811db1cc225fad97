"""Wallets: who manages one, and how it is topped up unasked. What is in it stands in the ledger.

A wallet is one person's credits of one currency in one set of books. A person without a row has an empty wallet,
filled through Stripe.
"""

from dataclasses import asdict, dataclass, fields
from typing import Any, Literal

from sqlalchemy import and_, case, func, or_, select, update

from metering import accounts
from metering.chart import DISPUTE_HOLD
from signaling.stores.database import Transaction
from signaling.stores.ledger import is_open_hold
from signaling.stores.schema import disputes, orders, passes, sessions, transfers, wallets
from signaling.stores.statements import insert_once

ManagedBy = Literal["stripe", "platform"]
# A top-up that was asked for unasked: `orders.ui` of it.
AUTO_UI = "auto"


@dataclass(frozen=True, slots=True)
class Key:
    """Whose wallet, in which books and currency."""

    user_id: str
    mode: str
    account: str
    currency: str


@dataclass(frozen=True, slots=True)
class Wallet:
    """One row of `wallets`. `auto_package`: which of the packages; `auto_order_id`: the top-up on its way."""

    user_id: str
    mode: str
    account: str
    currency: str
    managed_by: ManagedBy = "stripe"
    auto_topup: bool = False
    auto_package: int | None = None
    auto_card: str | None = None
    auto_order_id: str | None = None
    auto_not_before_s: int | None = None


@dataclass(frozen=True, slots=True)
class Inside:
    """A stay that runs on a wallet: its pass is in the room right now."""

    pass_id: str
    room_id: str
    tariff: dict[str, Any]


_COLUMNS = [wallets.c[field.name] for field in fields(Wallet)]


def _is(key: Key) -> Any:
    return and_(*(wallets.c[name] == value for name, value in asdict(key).items()))


async def get_wallet(tx: Transaction, key: Key) -> Wallet:
    """Without a row: the wallet as it begins."""
    row = (await tx.execute(select(*_COLUMNS).where(_is(key)))).first()
    return Wallet(**asdict(key)) if row is None else Wallet(**row._mapping)  # noqa: SLF001


async def wallets_of(tx: Transaction, user_id: str, mode: str, account: str) -> list[Wallet]:
    """Those that were ever filled or set up."""
    query = select(*_COLUMNS).where(
        wallets.c.user_id == user_id, wallets.c.mode == mode, wallets.c.account == account
    )
    rows = await tx.execute(query.order_by(wallets.c.currency))
    return [Wallet(**row._mapping) for row in rows]  # noqa: SLF001 - SQLAlchemy's documented name


async def set_wallet(tx: Transaction, key: Key, **values: Any) -> None:
    """Changes these columns; the row is made at the first need."""
    await insert_once(tx, wallets, asdict(Wallet(**asdict(key))))
    if values:
        await tx.execute(update(wallets).where(_is(key)).values(**values))


async def claim_auto(tx: Transaction, key: Key, order_id: str) -> bool:
    """The one top-up on its way is `order_id`; False when there is one already (compare-and-set)."""
    free = and_(_is(key), wallets.c.auto_topup, wallets.c.auto_order_id.is_(None))
    result = await tx.execute(update(wallets).where(free).values(auto_order_id=order_id))
    return result.rowcount == 1


async def release_auto(tx: Transaction, key: Key, order_id: str, *, not_before_s: int | None = None) -> None:
    """It is over; after a decline nothing more before that second. Another order's claim stays."""
    values: dict[str, Any] = {"auto_order_id": None}
    if not_before_s is not None:
        values["auto_not_before_s"] = not_before_s
    mine = and_(_is(key), wallets.c.auto_order_id == order_id)
    await tx.execute(update(wallets).where(mine).values(**values))


async def auto_asked_s(tx: Transaction, key: Key, from_s: int) -> tuple[int, ...]:
    """When top-ups were asked for unasked since that second."""
    query = select(orders.c.created_at_s).where(
        orders.c.purpose == "topup",
        orders.c.ui == AUTO_UI,
        orders.c.user_id == key.user_id,
        orders.c.mode == key.mode,
        orders.c.account == key.account,
        orders.c.currency == key.currency,
        orders.c.created_at_s > from_s,
    )
    return tuple(row.created_at_s for row in await tx.execute(query))


async def is_disputed(tx: Transaction, key: Key) -> bool:
    """Whether a bank looks into a top-up of that wallet."""
    query = (
        select(disputes.c.id)
        .join(orders, orders.c.id == disputes.c.order_id)
        .where(
            orders.c.purpose == "topup",
            orders.c.user_id == key.user_id,
            orders.c.mode == key.mode,
            orders.c.account == key.account,
            orders.c.currency == key.currency,
            disputes.c.state == "open",
        )
    )
    return (await tx.execute(query.limit(1))).first() is not None


async def later_credits_minor(tx: Transaction, key: Key, order_id: str) -> int:
    """What top-ups after that one have put into the wallet, less what of them has left it for the card or waits to."""
    name, topup = accounts.wallet(key.user_id), transfers.alias("topup")
    mine = and_(
        transfers.c.mode == key.mode,
        transfers.c.account == key.account,
        transfers.c.currency == key.currency,
    )
    at = select(topup.c.created_at).where(topup.c.id == f"topup:{order_id}").scalar_subquery()
    is_later = or_(
        transfers.c.created_at > at,
        and_(transfers.c.created_at == at, transfers.c.id > f"topup:{order_id}"),
    )
    bought = and_(mine, transfers.c.credit == name, transfers.c.code == "topup", is_later)
    later = select(transfers.c.subject_id).where(bought)
    is_moved = and_(
        transfers.c.kind.in_(["single", "post"]), or_(transfers.c.credit == name, transfers.c.debit == name)
    )
    waits = and_(is_open_hold(), transfers.c.debit == name)
    amount = case((transfers.c.credit == name, transfers.c.amount_minor), else_=-transfers.c.amount_minor)
    query = select(func.coalesce(func.sum(amount), 0)).where(
        mine, transfers.c.subject_id.in_(later), or_(is_moved, waits)
    )
    return int((await tx.execute(query)).scalar_one())


async def frozen_minor(tx: Transaction, key: Key) -> int:
    """What of the wallet waits for banks' decisions."""
    query = select(func.coalesce(func.sum(transfers.c.amount_minor), 0)).where(
        transfers.c.mode == key.mode,
        transfers.c.account == key.account,
        transfers.c.currency == key.currency,
        transfers.c.debit == accounts.wallet(key.user_id),
        transfers.c.code == DISPUTE_HOLD,
        is_open_hold(),
    )
    return int((await tx.execute(query)).scalar_one())


async def inside(tx: Transaction, key: Key) -> list[Inside]:
    """The stays that run on that wallet now."""
    query = (
        select(passes.c.id, passes.c.room_id, orders.c.tariff)
        .join(sessions, and_(sessions.c.pass_id == passes.c.id, sessions.c.ended_at.is_(None)))
        .join(orders, orders.c.id == passes.c.order_id)
        .where(
            passes.c.user_id == key.user_id,
            passes.c.mode == key.mode,
            passes.c.account == key.account,
            passes.c.funding == "wallet",
            orders.c.currency == key.currency,
        )
    )
    found = {row.id: Inside(row.id, row.room_id, row.tariff) for row in await tx.execute(query)}
    return list(found.values())


async def drop_auto_card(tx: Transaction, key: Key, payment_method_id: str) -> None:
    """Whatever the currency: a card that is forgotten tops nothing up."""
    with_it = and_(
        wallets.c.user_id == key.user_id,
        wallets.c.mode == key.mode,
        wallets.c.account == key.account,
        wallets.c.auto_card == payment_method_id,
    )
    await tx.execute(update(wallets).where(with_it).values(auto_topup=False, auto_card=None))


async def is_held(tx: Transaction, hold_id: str) -> bool:
    """Whether that hold of the ledger is still open."""
    query = select(transfers.c.id).where(transfers.c.id == hold_id, is_open_hold())
    return (await tx.execute(query)).first() is not None
