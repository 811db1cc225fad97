"""What every part that touches a wallet needs: whose it is, what its top-up sells, and who is told of it."""

from collections.abc import Iterable
from dataclasses import dataclass

from metering import accounts
from metering.ledger import Transfer
from metering.wallet import Package, after_decline_s, parse_package, seconds_left
from signaling.notices import Funding, FundingKind, Notice, StayLow
from signaling.stores import ledger, passes, wallets
from signaling.stores.database import Transaction
from signaling.stores.orders import Order
from signaling.stores.wallets import AUTO_UI, Key

TOPUP_KIND = "topup"


@dataclass(frozen=True, slots=True)
class Credits:
    """What the ledger says of a wallet. `available_minor`: neither spent nor held; `owed_minor`: went back to the payer's
    bank after it was spent."""

    available_minor: int
    held_minor: int
    owed_minor: int

    @property
    def spendable_minor(self) -> int:
        """Who owes spends nothing."""
        return 0 if self.owed_minor else self.available_minor


async def credits_of(tx: Transaction, key: Key) -> Credits:
    own = await ledger.balance(tx, key.mode, key.account, accounts.wallet(key.user_id), key.currency)
    owed = await ledger.balance(tx, key.mode, key.account, accounts.receivable(key.user_id), key.currency)
    return Credits(own.available_minor, own.debits_held_minor, max(0, owed.minor))


def key_of(order: Order) -> Key:
    """The wallet of an order: the one it fills, or the one that pays for it."""
    assert order.user_id is not None, "only a signed-in person has a wallet"
    return Key(order.user_id, order.mode, order.account, order.currency)


def entries_of(order: Order, transfers: Iterable[Transfer]) -> list[ledger.Entry]:
    """For the books of that order."""
    return [ledger.Entry(one, order.mode, order.account, order.id) for one in transfers]


async def book(tx: Transaction, order: Order, transfers: Iterable[Transfer], now_text: str) -> None:
    """Raises BooksError."""
    await ledger.require_posted(tx, entries_of(order, transfers), now_text)


def topup_tariff(package: Package, *, save_card: bool) -> dict[str, object]:
    """What a top-up order keeps of what was sold."""
    return {"kind": TOPUP_KIND, **package.to_json(), "save_card": save_card}


def package_of(order: Order) -> Package:
    """What a top-up sold, as it was when it was ordered."""
    return parse_package({name: order.tariff[name] for name in ("price_minor", "credit_minor", "currency")})


async def tell_inside(
    tx: Transaction,
    key: Key,
    kind: FundingKind,
    *,
    balance_minor: int | None = None,
    failure: str | None = None,
) -> list[Notice]:
    """A notice for every stay that runs on the wallet now. With a balance goes what that is in time at its rate."""
    return [
        Funding(
            one.pass_id,
            one.room_id,
            kind,
            currency=key.currency,
            balance_minor=balance_minor,
            seconds=None
            if balance_minor is None
            else seconds_left(balance_minor, one.tariff["rate_minor_per_min"]),
            failure=failure,
        )
        for one in await wallets.inside(tx, key)
    ]


async def tell_credited(tx: Transaction, key: Key) -> list[Notice]:
    """There is more in the wallet than before: whoever is in a call on it is told, and asks again."""
    found = await credits_of(tx, key)
    told = await tell_inside(tx, key, "topped_up", balance_minor=found.spendable_minor)
    return [*told, *await _ask_again(tx, key)]


async def _ask_again(tx: Transaction, key: Key) -> list[Notice]:
    found = [await passes.get_pass(tx, one.pass_id) for one in await wallets.inside(tx, key)]
    return [StayLow(one.id, one.room_id, one.granted_ms, again=True) for one in found if one is not None]


async def topup_ended(tx: Transaction, order: Order, failure: str | None, now_s: int) -> list[Notice]:
    """A top-up is over, paid or not. One that was asked for unasked gives its place free; after a decline (`failure`) the
    card is left alone for an hour, and the payer is told."""
    if order.ui != AUTO_UI:
        return []
    key = key_of(order)
    not_before_s = None if failure is None else after_decline_s(now_s)
    await wallets.release_auto(tx, key, order.id, not_before_s=not_before_s)
    if failure is None:
        return []
    return await tell_inside(tx, key, "funding_failed", failure=failure)
