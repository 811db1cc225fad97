"""What a room costs: parsed from JSON once, then the price of a duration and the duration for an amount.

    {"kind": "entrance", "price_minor": 500, "currency": "eur", "seconds": 1800}        (seconds null: unlimited)
    {"kind": "per_minute", "rate_minor_per_min": 100, "currency": "eur",
     "presets_s": [900, 1800, 3600], "max_seconds": 3600}                               (max_seconds optional)

Later kinds (metered, wallet, subscription, free) come in the same field; until then they are refused as
`unknown_kind`. Codes of refusal: `bad_tariff`, `unknown_kind`, `unknown_currency`, `below_minimum`, and for a choice
that the tariff does not offer `bad_seconds`.
"""

from dataclasses import dataclass
from typing import Any, Literal

from metering.money import Money


@dataclass(frozen=True, slots=True)
class Entrance:
    """One price to come in, for `seconds` (None: without limit, pay once and come back for ever)."""

    price_minor: int
    currency: str
    seconds: int | None
    kind: Literal["entrance"] = "entrance"

    def to_json(self) -> dict[str, Any]:
        return {
            "kind": self.kind,
            "price_minor": self.price_minor,
            "currency": self.currency,
            "seconds": self.seconds,
        }


@dataclass(frozen=True, slots=True)
class PerMinute:
    """A rate, and the lengths that the page offers. `max_seconds`: the longest a payer can buy at once."""

    rate_minor_per_min: int
    currency: str
    presets_s: tuple[int, ...]
    max_seconds: int | None = None
    kind: Literal["per_minute"] = "per_minute"

    def to_json(self) -> dict[str, Any]:
        made: dict[str, Any] = {
            "kind": self.kind,
            "rate_minor_per_min": self.rate_minor_per_min,
            "currency": self.currency,
            "presets_s": list(self.presets_s),
        }
        return made if self.max_seconds is None else made | {"max_seconds": self.max_seconds}


Tariff = Entrance | PerMinute


@dataclass(frozen=True, slots=True)
class Choice:
    """One thing the payer can buy: `seconds` (None: unlimited) for `price`."""

    seconds: int | None
    price: Money


def parse_tariff(obj: object) -> Tariff:
    """The tariff in a decoded JSON value. Raises BadTariffError, BelowMinimumError, UnknownCurrencyError."""
    raise NotImplementedError


def price_of(tariff: Tariff, seconds: int | None) -> Money:
    """What `seconds` cost (rounded down). Raises RefusedError `bad_seconds` when the tariff does not sell that
    length, BelowMinimumError when it cannot be charged."""
    raise NotImplementedError


def seconds_for(tariff: Tariff, amount: Money) -> int | None:
    """How many seconds `amount` buys (None: unlimited); 0 when it buys nothing."""
    raise NotImplementedError


def choices(tariff: Tariff) -> tuple[Choice, ...]:
    """What the page offers, shortest first."""
    raise NotImplementedError
