"""Connected accounts of hosts, and the transfers to them."""

from dataclasses import asdict, dataclass, fields
from typing import Any, Literal

from sqlalchemy import Select, String, cast, exists, literal_column, or_, select, update

from metering.payouts import Sent
from signaling.stores.database import Transaction
from signaling.stores.earnings import Earning, get_earning
from signaling.stores.schema import connected_accounts, earnings, outbox, payouts
from signaling.stores.statements import insert_once

PayoutState = Literal["asked", "sent", "failed"]

ACTIVE = "active"  # the status under which transfers are accepted
REVERSE = "reverse_transfer"  # kind of the outbox' rows that ask for a part of a payout back
BY_HAND = "reversed_by_hand"


@dataclass(frozen=True, slots=True)
class Connected:
    """A host's account at the payment service in one set of books. `connected_id` None: being made."""

    user_id: str
    mode: str
    account: str
    connected_id: str | None
    transfers_status: str
    requirements: list[str]
    updated_at: str

    @property
    def can_receive(self) -> bool:
        return self.connected_id is not None and self.transfers_status == ACTIVE


@dataclass(frozen=True, slots=True)
class Payout:
    """One transfer of (a part of) one earning. `failure`: why it waits or was given up."""

    id: str
    mode: str
    account: str
    payee: str
    earning_id: str
    connected_id: str
    amount_minor: int
    reversed_minor: int
    currency: str
    state: PayoutState
    transfer_id: str | None
    failure: str | None
    created_at: str

    @property
    def sent(self) -> Sent:
        return Sent(self.id, self.amount_minor, self.reversed_minor)


_CONNECTED = [connected_accounts.c[field.name] for field in fields(Connected)]
_PAYOUT = [payouts.c[field.name] for field in fields(Payout)]


# --- connected accounts -----------------------------------------------------------------------------------


async def insert_connected(tx: Transaction, row: Connected) -> bool:
    """False when this person has one in these books."""
    return await insert_once(tx, connected_accounts, asdict(row))


async def connected_of(tx: Transaction, user_id: str, mode: str, account: str) -> Connected | None:
    query = select(*_CONNECTED).where(
        connected_accounts.c.user_id == user_id,
        connected_accounts.c.mode == mode,
        connected_accounts.c.account == account,
    )
    row = (await tx.execute(query)).first()
    return None if row is None else Connected(**row._mapping)  # noqa: SLF001 - SQLAlchemy's documented name


async def find_connected(tx: Transaction, connected_id: str) -> Connected | None:
    query = select(*_CONNECTED).where(connected_accounts.c.connected_id == connected_id)
    row = (await tx.execute(query)).first()
    return None if row is None else Connected(**row._mapping)  # noqa: SLF001 - SQLAlchemy's documented name


async def unready(tx: Transaction, mode: str, account: str, limit: int = 100) -> list[Connected]:
    """Accounts that exist and cannot receive transfers yet, those heard of least lately first."""
    query = select(*_CONNECTED).where(
        connected_accounts.c.connected_id.is_not(None),
        connected_accounts.c.transfers_status != ACTIVE,
        connected_accounts.c.mode == mode,
        connected_accounts.c.account == account,
    )
    rows = await tx.execute(query.order_by(connected_accounts.c.updated_at).limit(limit))
    return [Connected(**row._mapping) for row in rows]  # noqa: SLF001 - SQLAlchemy's documented name


async def set_connected(tx: Transaction, row: Connected, **values: Any) -> None:
    await tx.execute(
        update(connected_accounts)
        .where(
            connected_accounts.c.user_id == row.user_id,
            connected_accounts.c.mode == row.mode,
            connected_accounts.c.account == row.account,
        )
        .values(**values)
    )


# --- payouts ----------------------------------------------------------------------------------------------


def _payouts(rows: Any) -> list[Payout]:
    return [Payout(**row._mapping) for row in rows]  # noqa: SLF001 - SQLAlchemy's documented name


async def insert_payout(tx: Transaction, payout: Payout) -> bool:
    return await insert_once(tx, payouts, asdict(payout))


async def get_payout(tx: Transaction, payout_id: str) -> Payout | None:
    found = _payouts(await tx.execute(select(*_PAYOUT).where(payouts.c.id == payout_id)))
    return found[0] if found else None


async def payouts_of_earning(tx: Transaction, earning_id: str) -> list[Payout]:
    """Oldest first."""
    query = select(*_PAYOUT).where(payouts.c.earning_id == earning_id)
    return _payouts(await tx.execute(query.order_by(payouts.c.created_at, payouts.c.id)))


async def set_payout(tx: Transaction, payout_id: str, **values: Any) -> None:
    await tx.execute(update(payouts).where(payouts.c.id == payout_id).values(**values))


def _in_books(query: Select[Any], mode: str, account: str) -> Select[Any]:
    return query.where(earnings.c.mode == mode, earnings.c.account == account)


_POSITION = (
    earnings.c.net_minor - earnings.c.reversed_minor - earnings.c.paid_minor - earnings.c.withheld_minor
)


_ZERO: Any = literal_column("0")
# In the words of the partial index `earnings_open`, in their order: by nothing else does SQLite know it.
_OPEN = _POSITION != _ZERO
# And of `earnings_owing`.
_OWING = _POSITION < _ZERO


async def payable_earnings(tx: Transaction, mode: str, account: str, limit: int = 50) -> list[str]:
    """Earnings of hosts whose connected account is ready, of which something is to be sent and nothing is on its way."""
    # What somebody took back by hand is theirs to send again.
    stopped = or_(payouts.c.state == "asked", payouts.c.failure == BY_HAND)
    on_its_way = exists().where(payouts.c.earning_id == earnings.c.id, stopped)
    query = (
        select(earnings.c.id)
        .join(
            connected_accounts,
            (connected_accounts.c.user_id == earnings.c.payee)
            & (connected_accounts.c.mode == earnings.c.mode)
            & (connected_accounts.c.account == earnings.c.account),
        )
        .where(
            earnings.c.state == "available",
            _OPEN,
            earnings.c.disputed_minor < _POSITION,
            connected_accounts.c.transfers_status == ACTIVE,
            ~on_its_way,
        )
    )
    rows = await tx.execute(_in_books(query, mode, account).order_by(earnings.c.created_at_s).limit(limit))
    return [row.id for row in rows]


async def owing_earnings(tx: Transaction, mode: str, account: str, limit: int = 50) -> list[str]:
    """Earnings of which too much was sent, with something sent that can still be asked back, and was not yet since the
    last of it went back to payers."""
    asked_for = "reverse:" + payouts.c.id + ":" + cast(earnings.c.reversed_minor, String)
    query = (
        select(earnings.c.id)
        .distinct()
        .join(payouts, payouts.c.earning_id == earnings.c.id)
        .where(
            payouts.c.state == "sent",
            payouts.c.amount_minor > payouts.c.reversed_minor,
            _OWING,
            ~exists().where(outbox.c.id == asked_for),
        )
    )
    rows = await tx.execute(_in_books(query, mode, account).order_by(earnings.c.id).limit(limit))
    return [row.id for row in rows]


async def asked_back(tx: Transaction, earning_id: str) -> dict[str, int]:
    """What is being asked back of each payout of an earning."""
    query = (
        select(outbox.c.subject_id, outbox.c.payload)
        .join(payouts, payouts.c.id == outbox.c.subject_id)
        .where(payouts.c.earning_id == earning_id, outbox.c.kind == REVERSE, outbox.c.state == "waiting")
    )
    found: dict[str, int] = {}
    for row in await tx.execute(query):
        found[row.subject_id] = found.get(row.subject_id, 0) + int(row.payload["amount_minor"])
    return found


async def debtors(tx: Transaction, row: Earning) -> list[Earning]:
    """Sales of the same payee, in the same currency and books, of which too much was sent; oldest first."""
    query = _in_books(
        select(earnings.c.id).where(
            earnings.c.payee == row.payee, earnings.c.currency == row.currency, _OWING
        ),
        row.mode,
        row.account,
    )
    ids = [one.id for one in await tx.execute(query.order_by(earnings.c.created_at_s, earnings.c.id))]
    found = [await get_earning(tx, earning_id) for earning_id in ids]
    return [one for one in found if one is not None]


async def payouts_of_payee(
    tx: Transaction, payee: str, mode: str, account: str, *, before: str | None = None, limit: int = 50
) -> list[Payout]:
    """Newest first; `before`: the cursor of the page before (a payout's `created_at|id`)."""
    query = select(*_PAYOUT).where(
        payouts.c.payee == payee, payouts.c.mode == mode, payouts.c.account == account
    )
    if before is not None:
        query = query.where((payouts.c.created_at + "|" + payouts.c.id) < before)
    rows = await tx.execute(query.order_by(payouts.c.created_at.desc(), payouts.c.id.desc()).limit(limit))
    return _payouts(rows)
