"""What a room costs: parsed from JSON once, then the price of a duration and the duration for an amount.

    {"kind": "entrance", "price_minor": 500, "currency": "eur", "seconds": 1800}        (seconds null: unlimited)
    {"kind": "per_minute", "rate_minor_per_min": 100, "currency": "eur",
     "presets_s": [900, 1800, 3600], "max_seconds": 3600}                               (max_seconds optional)
    {"kind": "metered", "rate_minor_per_min": 100, "currency": "eur", "window_s": 900, "max_seconds": 3600}
    {"kind": "wallet", "rate_minor_per_min": 100, "currency": "eur", "max_seconds": 3600}
    {"kind": "subscription", "price_minor": 900, "currency": "eur", "interval": "month", "trial_days": 7}
    {"kind": "free", "currency": "eur", "seconds": 1800}                                (seconds null: unlimited)

Tariffs that sell time may carry `free_seconds`: free minutes before paying. Codes of refusal: `bad_tariff`,
`unknown_kind`, `unknown_currency`, `below_minimum`, and for a choice that the tariff does not offer `bad_seconds`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

from metering.errors import BadTariffError, BelowMinimumError, MeterError, RefusedError
from metering.money import MAX_AMOUNT_MINOR, Money, currency, round_duration_up, round_price_down

MIN_SECONDS = 60
# A week: longer stays are sold as unlimited.
MAX_SECONDS = 7 * 24 * 3600
MAX_PRESETS = 12
WINDOW_S = 900
# One hold of a wallet: at most so long.
WALLET_WINDOW_S = 120
MAX_FREE_S = 3600
MAX_TRIAL_DAYS = 90

Interval = Literal["month", "year"]
Minimum = Literal["waive_first", "charge"]


@dataclass(frozen=True, slots=True)
class Entrance:
    """One price to come in, for `seconds` (None: without limit, pay once and come back for ever)."""

    price_minor: int
    currency: str
    seconds: int | None
    free_seconds: int = 0
    kind: Literal["entrance"] = "entrance"

    def to_json(self) -> dict[str, Any]:
        return {
            "kind": self.kind,
            "price_minor": self.price_minor,
            "currency": self.currency,
            "seconds": self.seconds,
        } | _given(free_seconds=self.free_seconds)


@dataclass(frozen=True, slots=True)
class PerMinute:
    """A rate, and the lengths that the page offers. `max_seconds`: the longest a payer can buy at once."""

    rate_minor_per_min: int
    currency: str
    presets_s: tuple[int, ...]
    max_seconds: int | None = None
    free_seconds: int = 0
    kind: Literal["per_minute"] = "per_minute"

    def to_json(self) -> dict[str, Any]:
        return {
            "kind": self.kind,
            "rate_minor_per_min": self.rate_minor_per_min,
            "currency": self.currency,
            "presets_s": list(self.presets_s),
        } | _given(max_seconds=self.max_seconds, free_seconds=self.free_seconds)


@dataclass(frozen=True, slots=True)
class Metered:
    """Pay what was used: the card is asked to hold the price of `window_s` at a time, and charged once at the end.
    `max_seconds`: the longest one call can get. `minimum`: what becomes of a call below the smallest charge (`charge`:
    it costs that much; `waive_first`: nothing, once a day for each card)."""

    rate_minor_per_min: int
    currency: str
    window_s: int = WINDOW_S
    max_seconds: int | None = None
    free_seconds: int = 0
    minimum: Minimum = "waive_first"
    kind: Literal["metered"] = "metered"

    def to_json(self) -> dict[str, Any]:
        return {
            "kind": self.kind,
            "rate_minor_per_min": self.rate_minor_per_min,
            "currency": self.currency,
            "window_s": self.window_s,
            **_given(max_seconds=self.max_seconds, free_seconds=self.free_seconds),
        } | ({} if self.minimum == "waive_first" else {"minimum": self.minimum})


@dataclass(frozen=True, slots=True)
class Wallet:
    """A rate, taken from the payer's credits while the call runs. `max_seconds`: the longest one call can get."""

    rate_minor_per_min: int
    currency: str
    max_seconds: int | None = None
    free_seconds: int = 0
    kind: Literal["wallet"] = "wallet"

    @property
    def window_s(self) -> int:
        return WALLET_WINDOW_S

    def to_json(self) -> dict[str, Any]:
        return {
            "kind": self.kind,
            "rate_minor_per_min": self.rate_minor_per_min,
            "currency": self.currency,
        } | _given(max_seconds=self.max_seconds, free_seconds=self.free_seconds)


@dataclass(frozen=True, slots=True)
class Subscription:
    """One price each `interval`, without limit while it is paid; the first `trial_days` cost nothing."""

    price_minor: int
    currency: str
    interval: Interval
    trial_days: int = 0
    kind: Literal["subscription"] = "subscription"

    def to_json(self) -> dict[str, Any]:
        return {
            "kind": self.kind,
            "price_minor": self.price_minor,
            "currency": self.currency,
            "interval": self.interval,
            "trial_days": self.trial_days,
        }


@dataclass(frozen=True, slots=True)
class Free:
    """Nothing to pay, for `seconds` (None: without limit)."""

    currency: str
    seconds: int | None
    kind: Literal["free"] = "free"

    def to_json(self) -> dict[str, Any]:
        return {"kind": self.kind, "currency": self.currency, "seconds": self.seconds}


Tariff = Entrance | PerMinute | Metered | Wallet | Subscription | Free
# Time that is backed by holds, window by window (`metering.funding`).
Windowed = Metered | Wallet


def _given(**optional: int | None) -> dict[str, int]:
    """What is set: absent and zero mean the same."""
    return {name: value for name, value in optional.items() if value}


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
    parser = _PARSERS.get(kind) if isinstance(kind, str) else None
    if parser is None:
        raise BadTariffError(f"unknown kind of tariff: {str(kind)[:20]!r}", code="unknown_kind")
    return parser(obj)


def _parse_entrance(obj: dict[str, Any]) -> Entrance:
    _only(obj, {"kind", "price_minor", "currency", "seconds", "free_seconds"})
    seconds = _length(obj)
    price = Money(_amount(obj, "price_minor"), currency(obj.get("currency")).code)
    _check_chargeable(price)
    free_seconds = _free_seconds(obj)
    if free_seconds and seconds is None:
        raise BadTariffError("free_seconds come before time that is bought, not before an unlimited entrance")
    return Entrance(price.amount_minor, price.currency, seconds, free_seconds)


def _parse_per_minute(obj: dict[str, Any]) -> PerMinute:
    _only(obj, {"kind", "rate_minor_per_min", "currency", "presets_s", "max_seconds", "free_seconds"})
    code = currency(obj.get("currency")).code
    tariff = PerMinute(
        _amount(obj, "rate_minor_per_min"),
        code,
        _presets(obj.get("presets_s")),
        _longest(obj),
        _free_seconds(obj),
    )
    if tariff.max_seconds is not None and tariff.presets_s[-1] > tariff.max_seconds:
        raise BadTariffError("a preset is longer than max_seconds")
    choices(tariff)  # refuses what cannot be charged
    return tariff


def _parse_metered(obj: dict[str, Any]) -> Metered:
    known = {"kind", "rate_minor_per_min", "currency", "window_s", "max_seconds", "free_seconds", "minimum"}
    _only(obj, known)
    code = currency(obj.get("currency")).code
    longest = _longest(obj)
    window_s = _seconds(obj.get("window_s", min(WINDOW_S, longest or WINDOW_S)), "window_s")
    if longest is not None and window_s > longest:
        raise BadTariffError("window_s is longer than max_seconds")
    minimum = next((word for word in get_args(Minimum) if word == obj.get("minimum", "waive_first")), None)
    if minimum is None:
        raise BadTariffError(f"minimum is {' or '.join(get_args(Minimum))}")
    tariff = Metered(_amount(obj, "rate_minor_per_min"), code, window_s, longest, _free_seconds(obj), minimum)
    choices(tariff)  # refuses a window that cannot be held
    rest_s = (longest or 0) % window_s
    if rest_s:  # the last window of a long call is a hold of its own
        _check_chargeable(_price(tariff, rest_s))
    return tariff


def _parse_wallet(obj: dict[str, Any]) -> Wallet:
    _only(obj, {"kind", "rate_minor_per_min", "currency", "max_seconds", "free_seconds"})
    code = currency(obj.get("currency")).code
    tariff = Wallet(_amount(obj, "rate_minor_per_min"), code, _longest(obj), _free_seconds(obj))
    if _price(tariff, MIN_SECONDS).amount_minor == 0:
        raise BelowMinimumError("a minute costs less than the smallest amount of that currency")
    return tariff


def _parse_subscription(obj: dict[str, Any]) -> Subscription:
    _only(obj, {"kind", "price_minor", "currency", "interval", "trial_days"})
    price = Money(_amount(obj, "price_minor"), currency(obj.get("currency")).code)
    _check_chargeable(price)
    interval = next((each for each in get_args(Interval) if each == obj.get("interval")), None)
    if interval is None:
        raise BadTariffError("interval is month or year")
    trial_days = _integer(obj.get("trial_days", 0), "trial_days")
    if not 0 <= trial_days <= MAX_TRIAL_DAYS:
        raise BadTariffError(f"trial_days is between 0 and {MAX_TRIAL_DAYS}")
    return Subscription(price.amount_minor, price.currency, interval, trial_days)


def _parse_free(obj: dict[str, Any]) -> Free:
    _only(obj, {"kind", "currency", "seconds"})
    return Free(currency(obj.get("currency")).code, _length(obj))


_PARSERS: Mapping[str, Callable[[dict[str, Any]], Tariff]] = {
    "entrance": _parse_entrance,
    "per_minute": _parse_per_minute,
    "metered": _parse_metered,
    "wallet": _parse_wallet,
    "subscription": _parse_subscription,
    "free": _parse_free,
}


def _length(obj: dict[str, Any]) -> int | None:
    if "seconds" not in obj:
        raise BadTariffError("seconds is missing; null means unlimited")
    return None if obj["seconds"] is None else _seconds(obj["seconds"], "seconds")


def _longest(obj: dict[str, Any]) -> int | None:
    longest = obj.get("max_seconds")
    return None if longest is None else _seconds(longest, "max_seconds")


def _free_seconds(obj: dict[str, Any]) -> int:
    free_seconds = _integer(obj.get("free_seconds", 0), "free_seconds")
    if free_seconds != 0 and not MIN_SECONDS <= free_seconds <= MAX_FREE_S:
        raise BadTariffError(f"free_seconds is 0, or between {MIN_SECONDS} and {MAX_FREE_S}")
    return free_seconds


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
    """What `seconds` cost (rounded down); with a metered tariff, what is held for them. Raises RefusedError
    `bad_seconds` when the tariff does not sell that length, BelowMinimumError or BadTariffError when that amount
    cannot be charged.
    """
    if isinstance(tariff, PerMinute):
        if seconds is None or not MIN_SECONDS <= seconds <= (tariff.max_seconds or MAX_SECONDS):
            raise RefusedError("bad_seconds", "a length that this room does not sell")
        price = _price(tariff, seconds)
        _check_chargeable(price)
        return price
    if seconds != length_of(tariff):
        raise RefusedError("bad_seconds", "this room sells its own length only")
    if isinstance(tariff, Metered):
        held = _price(tariff, tariff.window_s)
        _check_chargeable(held)
        return held
    if isinstance(tariff, Wallet | Free):
        return Money(0, tariff.currency)
    return Money(tariff.price_minor, tariff.currency)


def length_of(tariff: Tariff) -> int | None:
    """The seconds that an order buys where there is nothing to choose: of windows the first one; None: unlimited.
    Raises MeterError for a tariff of which the payer chooses the length."""
    if isinstance(tariff, PerMinute):
        raise MeterError("the payer chooses how long")
    if isinstance(tariff, Subscription):
        return None
    if isinstance(tariff, Metered | Wallet):
        return min(tariff.window_s, tariff.max_seconds or tariff.window_s)
    return tariff.seconds


def _price(tariff: PerMinute | Windowed, seconds: int) -> Money:
    return round_price_down(tariff.rate_minor_per_min * seconds, 60, tariff.currency)


def seconds_for(tariff: Tariff, amount: Money) -> int | None:
    """How many seconds `amount` buys (None: unlimited); 0 when it buys nothing. A started second is the payer's.
    Raises MeterError when the currency is another.
    """
    if amount.currency != tariff.currency:
        raise MeterError(f"{amount.currency} for a tariff in {tariff.currency}")
    if isinstance(tariff, Free):
        return tariff.seconds
    if isinstance(tariff, Subscription):
        return None if amount.amount_minor >= tariff.price_minor else 0
    if isinstance(tariff, Entrance):
        return tariff.seconds if amount.amount_minor >= tariff.price_minor else 0
    seconds = round_duration_up(amount.amount_minor * 60, tariff.rate_minor_per_min)
    return min(seconds, tariff.max_seconds or MAX_SECONDS)


def choices(tariff: Tariff) -> tuple[Choice, ...]:
    """What the page offers, shortest first. Of a metered tariff, the first hold; of a wallet tariff nothing: its price
    is a rate, taken as the time goes by."""
    if isinstance(tariff, PerMinute):
        return tuple(Choice(seconds, price_of(tariff, seconds)) for seconds in tariff.presets_s)
    if isinstance(tariff, Wallet):
        return ()
    seconds = length_of(tariff)
    return (Choice(seconds, price_of(tariff, seconds)),)
