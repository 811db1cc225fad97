"""Double entry over plain data, after TigerBeetle: accounts, transfers, and hold / post / void / expire.

A transfer debits one account and credits another with `amount_minor`; there is no other way to move anything, so that
the entries of a currency always sum to zero. Nothing is changed or deleted. The id comes from the caller: posting the
same transfer again answers `exists` and changes nothing, another one under the same id `exists_different`.

An account that owes somebody (`metering.accounts`) is never debited with more than it has: that answers `exceeds`.

A hold sets an amount aside without moving it; for its debit account it is spent. It is resolved at most once: by a post
(of all or a part; the rest is released), a void, or an expire when nobody did in time. Resolving it by another transfer
once more answers `resolved`. The events of the business and their transfers are in `metering.chart`.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from metering.accounts import owes_somebody
from metering.errors import MeterError, UnknownCurrencyError
from metering.money import currency

TransferKind = Literal["single", "hold", "post", "void", "expire"]
Posted = Literal["created", "exists", "exists_different", "exceeds", "resolved"]

# Far above any amount, far below what the database's integers hold.
MAX_TRANSFER_MINOR = 10**15

RELEASES = ("void", "expire")
RESOLVES = ("post", *RELEASES)


@dataclass(frozen=True, slots=True)
class Transfer:
    """`amount_minor` to the debit of `debit` and the credit of `credit`.

    Kinds post, void and expire name the hold that they resolve in `pending_id` and repeat its accounts and currency;
    void and expire have the amount 0. `expires_at_s` (wall-clock seconds) is of a hold; None: never by itself. A repeat
    is made at another time, so it is not compared.
    """

    id: str
    debit: str
    credit: str
    amount_minor: int
    currency: str
    code: str
    kind: TransferKind = "single"
    pending_id: str | None = None
    expires_at_s: int | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Balance:
    """The four sums of an account; also what transfers add to them."""

    debits_minor: int = 0
    credits_minor: int = 0
    debits_held_minor: int = 0
    credits_held_minor: int = 0

    @property
    def minor(self) -> int:
        """Debits minus credits of what has moved; holds do not count."""
        return self.debits_minor - self.credits_minor

    @property
    def available_minor(self) -> int:
        """What an account that owes somebody can still be debited with."""
        return self.credits_minor - self.debits_minor - self.debits_held_minor

    def __add__(self, other: "Balance") -> "Balance":
        return Balance(
            self.debits_minor + other.debits_minor,
            self.credits_minor + other.credits_minor,
            self.debits_held_minor + other.debits_held_minor,
            self.credits_held_minor + other.credits_held_minor,
        )

    def __neg__(self) -> "Balance":
        return Balance(
            -self.debits_minor, -self.credits_minor, -self.debits_held_minor, -self.credits_held_minor
        )


AccountKey = tuple[str, str]  # name, currency


@dataclass(slots=True)
class Ledger:
    """Every transfer ever posted, in order; by which transfer a hold was resolved; and the balances of it all."""

    transfers: dict[str, Transfer] = field(default_factory=dict)
    resolved: dict[str, str] = field(default_factory=dict)
    accounts: dict[AccountKey, Balance] = field(default_factory=dict)

    def balance(self, account: str, code: str) -> Balance:
        return self.accounts.get((account, code), Balance())

    def balance_minor(self, account: str, code: str) -> int:
        """Debits minus credits of what has moved; holds do not count."""
        return self.balance(account, code).minor

    def held_minor(self, account: str, code: str) -> int:
        """What open holds will take from this account, if they are posted whole."""
        return self.balance(account, code).debits_held_minor


def post(ledger: Ledger, transfer: Transfer) -> Posted:
    """`post_all` of one."""
    return post_all(ledger, (transfer,))


def post_all(ledger: Ledger, transfers: Sequence[Transfer]) -> Posted:
    """Books all of them, or none. `created`: all are booked now. `exists`: all were before. Anything else changes
    nothing; `exists_different` also when only some of them were booked before.

    What an account has is judged once all are booked: their order does not matter, except that a hold comes before
    what resolves it. Raises MeterError for a transfer that can never be booked: no or too large an amount, an account
    against itself, a post above its hold, of an unknown hold, or with other accounts. Raises UnknownCurrencyError.
    """
    known = [ledger.transfers.get(transfer.id) for transfer in transfers]
    if any(known):
        return "exists" if known == list(transfers) else "exists_different"
    refuse_doubles(transfers)
    if any(transfer.pending_id in ledger.resolved for transfer in transfers):
        return "resolved"
    holds = {**ledger.transfers, **{transfer.id: transfer for transfer in transfers}}
    changed = changes(transfers, holds)
    for key, change in changed.items():
        if overdraws(key[0], change) and (ledger.balance(*key) + change).available_minor < 0:
            return "exceeds"
    for transfer in transfers:
        ledger.transfers[transfer.id] = transfer
        if transfer.pending_id is not None:
            ledger.resolved[transfer.pending_id] = transfer.id
    for key, change in changed.items():
        ledger.accounts[key] = ledger.balance(*key) + change
    return "created"


def refuse_doubles(transfers: Sequence[Transfer]) -> None:
    """Raises MeterError when two of them have one id or resolve one hold."""
    for names in ([one.id for one in transfers], [one.pending_id for one in transfers if one.pending_id]):
        if len(set(names)) != len(names):
            raise MeterError(f"twice in one booking: {names}")


def overdraws(account: str, change: Balance) -> bool:
    """Whether the change takes from an account that must have what is taken."""
    return change.available_minor < 0 and owes_somebody(account)


def changes(transfers: Iterable[Transfer], holds: Mapping[str, Transfer]) -> dict[AccountKey, Balance]:
    """What the transfers add to each account. `holds` has at least the transfers that theirs resolve, by id.

    Raises MeterError and UnknownCurrencyError as `post_all` does.
    """
    totals: dict[AccountKey, Balance] = defaultdict(Balance)
    for transfer in transfers:
        fault = _fault(transfer, holds)
        if fault is not None:
            raise MeterError(f"transfer {transfer.id}: {fault}")
        for account, change in _sides(transfer, holds):
            totals[account, transfer.currency] += change
    return dict(totals)


def _sides(transfer: Transfer, holds: Mapping[str, Transfer]) -> tuple[tuple[str, Balance], ...]:
    amount_minor = transfer.amount_minor
    if transfer.kind == "hold":
        debit, credit = Balance(debits_held_minor=amount_minor), Balance(credits_held_minor=amount_minor)
    else:
        held_minor = 0 if transfer.pending_id is None else holds[transfer.pending_id].amount_minor
        debit = Balance(debits_minor=amount_minor, debits_held_minor=-held_minor)
        credit = Balance(credits_minor=amount_minor, credits_held_minor=-held_minor)
    return (transfer.debit, debit), (transfer.credit, credit)


def due_to_expire(ledger: Ledger, now_s: int) -> tuple[Transfer, ...]:
    """Open holds whose time is over. Post `expiry` of each."""
    return tuple(
        transfer
        for transfer in ledger.transfers.values()
        if transfer.kind == "hold"
        and transfer.id not in ledger.resolved
        and transfer.expires_at_s is not None
        and transfer.expires_at_s <= now_s
    )


# --- resolving a hold -------------------------------------------------------------------------------------


def posting(hold: Transfer, amount_minor: int, transfer_id: str) -> Transfer:
    """So much of the hold moves; the rest is released. Nothing of it: a void."""
    if amount_minor == 0:
        return voiding(hold, transfer_id)
    return replace(_resolving(hold, transfer_id), amount_minor=amount_minor, kind="post")


def voiding(hold: Transfer, transfer_id: str) -> Transfer:
    """All of it is released."""
    return _resolving(hold, transfer_id)


def expiry(hold: Transfer) -> Transfer:
    """All of it is released, since nobody posted or voided it in time. `expire:{window}` for `hold:{window}`."""
    return replace(_resolving(hold, f"expire:{hold.id.removeprefix('hold:')}"), kind="expire")


def _resolving(hold: Transfer, transfer_id: str) -> Transfer:
    return replace(hold, id=transfer_id, amount_minor=0, kind="void", pending_id=hold.id, expires_at_s=None)


# --- faults -----------------------------------------------------------------------------------------------


def _fault(transfer: Transfer, holds: Mapping[str, Transfer]) -> str | None:
    currency(transfer.currency)
    least_minor, most_minor = (0, 0) if transfer.kind in RELEASES else (1, MAX_TRANSFER_MINOR)
    if not least_minor <= transfer.amount_minor <= most_minor:
        return f"the amount {transfer.amount_minor}"
    if transfer.debit == transfer.credit:
        return "an account against itself"
    if transfer.expires_at_s is not None and transfer.kind != "hold":
        return "only a hold expires"
    if transfer.kind in RESOLVES:
        return _resolving_fault(transfer, holds)
    return None if transfer.pending_id is None else "only post, void and expire resolve a hold"


def _resolving_fault(transfer: Transfer, holds: Mapping[str, Transfer]) -> str | None:
    hold = None if transfer.pending_id is None else holds.get(transfer.pending_id)
    if hold is None or hold.kind != "hold":
        return "no such hold"
    if (hold.debit, hold.credit, hold.currency) != (transfer.debit, transfer.credit, transfer.currency):
        return "other accounts than its hold"
    return "more than its hold" if transfer.amount_minor > hold.amount_minor else None


def check_invariants(ledger: Ledger) -> list[str]:
    """What is wrong with the books, in sentences; empty when nothing is. Made for books that were read from storage:
    each transfer is booked anew, so that whatever `post` refuses is found here too.
    """
    wrong: list[str] = []
    fresh = Ledger()
    for name, transfer in ledger.transfers.items():
        if name != transfer.id:
            wrong.append(f"{name} holds the transfer {transfer.id}")
        sentence = _refusal(fresh, transfer)
        if sentence is not None:
            wrong.append(sentence)
    wrong += [
        f"{name} in {code} is kept as {balance}, not {fresh.balance(name, code)}"
        for (name, code), balance in ledger.accounts.items()
        if balance != fresh.balance(name, code)
    ]
    return wrong + _unbalanced(fresh)


def _refusal(ledger: Ledger, transfer: Transfer) -> str | None:
    try:
        posted = post(ledger, transfer)
    except MeterError as error:
        return str(error)
    except UnknownCurrencyError as error:
        return f"transfer {transfer.id}: {error}"
    return None if posted == "created" else f"transfer {transfer.id}: {posted}"


def _unbalanced(ledger: Ledger) -> list[str]:
    totals: dict[str, int] = defaultdict(int)
    for (_account, code), balance in ledger.accounts.items():
        totals[code] += balance.minor
    return [f"entries in {code} sum to {minor}" for code, minor in totals.items() if minor]
