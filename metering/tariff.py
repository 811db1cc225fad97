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

from metering.errors import BadTariffError, BelowMinimumError, MeterError, RefusedError
from metering.money import MAX_AMOUNT_MINOR, Money, currency, round_duration_up, round_price_down

MIN_SECONDS = 60
# A week: longer stays are sold as unlimited.
MAX_SECONDS = 7 * 24 * 3600
MAX_PRESETS = 12


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
    if not isinstance(obj, dict):
        raise BadTariffError("a tariff is an object")
    kind = obj.get("kind")
    if kind == "entrance":
        return _parse_entrance(obj)
    if kind == "per_minute":
        return _parse_per_minute(obj)
    raise BadTariffError(f"unknown kind of tariff: {str(kind)[:20]!r}", code="unknown_kind")


def _parse_entrance(obj: dict[str, Any]) -> Entrance:
    _only(obj, {"kind", "price_minor", "currency", "seconds"})
    if "seconds" not in obj:
        raise BadTariffError("seconds is missing; null means unlimited")
    seconds = None if obj["seconds"] is None else _seconds(obj["seconds"], "seconds")
    price = Money(_amount(obj, "price_minor"), currency(obj.get("currency")).code)
    _check_chargeable(price)
    return Entrance(price.amount_minor, price.currency, seconds)


def _parse_per_minute(obj: dict[str, Any]) -> PerMinute:
    _only(obj, {"kind", "rate_minor_per_min", "currency", "presets_s", "max_seconds"})
    code = currency(obj.get("currency")).code
    longest = obj.get("max_seconds")
    tariff = PerMinute(
        _amount(obj, "rate_minor_per_min"),
        code,
        _presets(obj.get("presets_s")),
        None if longest is None else _seconds(longest, "max_seconds"),
    )
    if tariff.max_seconds is not None and tariff.presets_s[-1] > tariff.max_seconds:
        raise BadTariffError("a preset is longer than max_seconds")
    choices(tariff)  # refuses what cannot be charged
    return tariff


def _presets(value: object) -> tuple[int, ...]:
    if not isinstance(value, list) or not 1 <= len(value) <= MAX_PRESETS:
        raise BadTariffError(f"presets_s is a list of 1 to {MAX_PRESETS} lengths")
    presets = tuple(_seconds(item, "presets_s") for item in value)
    if len(set(presets)) != len(presets):
        raise BadTariffError("presets_s names a length twice")
    return tuple(sorted(presets))


def _only(obj: dict[str, Any], known: set[str]) -> None:
    unknown = sorted(str(name)[:20] for name in set(obj) - known)
    if unknown:
        raise BadTariffError(f"unknown fields: {', '.join(unknown[:5])}")


def _integer(value: object, name: str) -> int:
    # bool is an int in Python, and not in JSON.
    if not isinstance(value, int) or isinstance(value, bool):
        raise BadTariffError(f"{name} is an integer")
    return value


def _amount(obj: dict[str, Any], name: str) -> int:
    amount_minor = _integer(obj.get(name), name)
    if not 0 < amount_minor <= MAX_AMOUNT_MINOR:
        raise BadTariffError(f"{name} is between 1 and {MAX_AMOUNT_MINOR}")
    return amount_minor


def _seconds(value: object, name: str) -> int:
    seconds = _integer(value, name)
    if not MIN_SECONDS <= seconds <= MAX_SECONDS:
        raise BadTariffError(f"{name} is between {MIN_SECONDS} and {MAX_SECONDS}")
    return seconds


def _check_chargeable(price: Money) -> None:
    money = currency(price.currency)
    if price.amount_minor < money.minimum_minor:
        raise BelowMinimumError(f"{price.decimal()} {price.currency} is below the minimum of one payment")
    if price.amount_minor > MAX_AMOUNT_MINOR:
        raise BadTariffError(f"one payment would be above {MAX_AMOUNT_MINOR}")
    if price.amount_minor % money.step_minor:
        raise BadTariffError(f"amounts in {price.currency} are multiples of {money.step_minor}")


def price_of(tariff: Tariff, seconds: int | None) -> Money:
    """What `seconds` cost (rounded down). Raises RefusedError `bad_seconds` when the tariff does not sell that
    length, BelowMinimumError or BadTariffError when that amount cannot be charged.
    """
    if isinstance(tariff, Entrance):
        if seconds != tariff.seconds:
            raise RefusedError("bad_seconds", "the entrance buys its own length only")
        return Money(tariff.price_minor, tariff.currency)
    if seconds is None or not MIN_SECONDS <= seconds <= (tariff.max_seconds or MAX_SECONDS):
        raise RefusedError("bad_seconds", "a length that this room does not sell")
    price = round_price_down(tariff.rate_minor_per_min * seconds, 60, tariff.currency)
    _check_chargeable(price)
    return price


def seconds_for(tariff: Tariff, amount: Money) -> int | None:
    """How many seconds `amount` buys (None: unlimited); 0 when it buys nothing. A started second is the payer's.
    Raises MeterError when the currency is another.
    """
    if amount.currency != tariff.currency:
        raise MeterError(f"{amount.currency} for a tariff in {tariff.currency}")
    if isinstance(tariff, Entrance):
        return tariff.seconds if amount.amount_minor >= tariff.price_minor else 0
    seconds = round_duration_up(amount.amount_minor * 60, tariff.rate_minor_per_min)
    return min(seconds, tariff.max_seconds or MAX_SECONDS)


def choices(tariff: Tariff) -> tuple[Choice, ...]:
    """What the page offers, shortest first."""
    if isinstance(tariff, Entrance):
        return (Choice(tariff.seconds, Money(tariff.price_minor, tariff.currency)),)
    return tuple(Choice(seconds, price_of(tariff, seconds)) for seconds in tariff.presets_s)
