"""Amounts of money: integers in minor units of one currency, and roundings that have a name.

Currency codes are lower-case ISO 4217, as Stripe writes them; `metering.currencies` has the table.
"""

from dataclasses import dataclass

from metering.currencies import CURRENCIES, Currency
from metering.errors import MeterError, RefusedError, UnknownCurrencyError

# Eight digits: what Stripe takes by every way to pay, in nearly every currency (cards alone may take more).
MAX_AMOUNT_MINOR = 99_999_999


def currency(code: object) -> Currency:
    """The currency of that code. Raises UnknownCurrencyError (also for upper case)."""
    found = CURRENCIES.get(code) if isinstance(code, str) else None
    if found is None:
        raise UnknownCurrencyError(code)
    return found


@dataclass(frozen=True, slots=True)
class Money:
    """`amount_minor` of `currency`; never negative (a direction belongs to a transfer)."""

    amount_minor: int
    currency: str

    def __post_init__(self) -> None:
        currency(self.currency)
        if self.amount_minor < 0:
            raise RefusedError("negative_amount", f"an amount below zero: {self.amount_minor}")

    def __add__(self, other: "Money") -> "Money":
        self._same_currency(other)
        return Money(self.amount_minor + other.amount_minor, self.currency)

    def __sub__(self, other: "Money") -> "Money":
        self._same_currency(other)
        return Money(self.amount_minor - other.amount_minor, self.currency)

    def to_json(self) -> dict[str, int | str]:
        return {"amount_minor": self.amount_minor, "currency": self.currency}

    def decimal(self) -> str:
        """The amount with its point and without a symbol: `12.50`, `500`, `5.120`."""
        digits = currency(self.currency).exponent
        if digits == 0:
            return str(self.amount_minor)
        whole, part = divmod(self.amount_minor, 10**digits)
        return f"{whole}.{part:0{digits}d}"

    def _same_currency(self, other: "Money") -> None:
        if other.currency != self.currency:
            raise MeterError(f"{self.currency} and {other.currency} do not add")


# --- rounding: each favours the payer ---------------------------------------------------------------------


def round_price_down(numerator: int, denominator: int, code: str) -> Money:
    """What the payer owes for `numerator / denominator` minor units: down to the currency's step."""
    step = currency(code).step_minor
    return Money(numerator // (denominator * step) * step, code)


def round_refund_up(numerator: int, denominator: int, code: str) -> Money:
    """What the payer gets back for `numerator / denominator` minor units: up to the currency's step."""
    step = currency(code).step_minor
    return Money(-(-numerator // (denominator * step)) * step, code)


def round_duration_up(numerator: int, denominator: int) -> int:
    """Whole units of time that an amount buys: a started unit is the payer's."""
    return -(-numerator // denominator)
