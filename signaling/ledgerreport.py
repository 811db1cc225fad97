"""`tollroom ledger`: accounts and journal as text, and the journal as CSV (RFC 4180).

Amounts are exact decimals in the currency's own digits, in CSV beside the integer minor units. A cell that a
spreadsheet would take for a formula gets an apostrophe before it.
"""

import csv
import os
from collections.abc import AsyncIterable, Callable
from datetime import date, timedelta
from pathlib import Path
from typing import IO

from metering.accounts import owes_somebody
from metering.money import Money
from signaling.stores.journal import Account, Line

COLUMNS = (
    "created_at",
    "transfer",
    "kind",
    "code",
    "subject",
    "debit",
    "credit",
    "amount",
    "amount_minor",
    "currency",
)
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")
_PRIVATE = 0o600

Say = Callable[[str], None]


def decimal(minor: int, currency: str) -> str:
    """With its sign: `-12.50`, `500`, `5.120`."""
    return ("-" if minor < 0 else "") + Money(abs(minor), currency).decimal()


def from_day(day: date) -> str:
    """The first moment of a day (UTC), as the books write it."""
    return f"{day.isoformat()}T00:00:00.000Z"


def to_day(day: date) -> str:
    """The first moment after that day (UTC)."""
    return from_day(day + timedelta(days=1))


async def print_accounts(found: AsyncIterable[Account], say: Say) -> None:
    """What each account has: what it owes somebody counts from their side, everything else as debits minus credits."""
    async for one in found:
        owes = owes_somebody(one.name)
        minor = -one.balance.minor if owes else one.balance.minor
        held = (
            f"   {decimal(one.balance.debits_held_minor, one.currency)} held"
            if owes and one.balance.debits_held_minor
            else ""
        )
        say(f"{one.name:<48} {decimal(minor, one.currency):>16} {one.currency}{held}")


async def print_lines(found: AsyncIterable[Line], say: Say) -> None:
    async for one in found:
        kind = "" if one.kind == "single" else f" ({one.kind})"
        amount = decimal(one.amount_minor, one.currency)
        say(f"{one.created_at}  {amount:>14} {one.currency}  {one.debit} <- {one.credit}  {one.id}{kind}")


async def write_csv(found: AsyncIterable[Line], path: Path) -> int:
    """How many lines were written. The file is readable by its owner only. Raises OSError."""
    with _private_file(path) as file:
        return await _write(found, file)


def _private_file(path: Path) -> IO[str]:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, _PRIVATE)
    return os.fdopen(handle, "w", encoding="utf-8", newline="")


async def _write(found: AsyncIterable[Line], file: IO[str]) -> int:
    writer = csv.writer(file, lineterminator="\r\n")
    writer.writerow(COLUMNS)
    count = 0
    async for one in found:
        words = (one.created_at, one.id, one.kind, one.code, one.subject_id, one.debit, one.credit)
        amount = decimal(one.amount_minor, one.currency)
        writer.writerow([*(_safe(word) for word in words), amount, one.amount_minor, one.currency])
        count += 1
    return count


def _safe(cell: str) -> str:
    return f"'{cell}" if cell.startswith(_FORMULA) else cell
