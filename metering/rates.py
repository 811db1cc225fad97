"""Rates and terms: figures set at four places, and which of them holds for one room.

The nearest place that says something wins, **each figure on its own**: the room, then its host (user), then the host's
role, then the default. A figure that is absent, blank or null says nothing and falls through; nought is a figure and is
said. A price that no place says is refused (`no_rate`): a room never becomes free because a field was left empty.

Amounts are in the currency of the place that says them (`currency`, needed there when it says an amount), and count only
in rooms of that currency. Figures that are no price have a product default (`DEFAULTS`).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal

from metering.errors import RefusedError
from metering.money import MAX_AMOUNT_MINOR, currency
from metering.tariff import MAX_FREE_S, MAX_PRESETS, MAX_SECONDS, MIN_SECONDS, WINDOW_S
from metering.wallet import parse_packages

Scope = Literal["room", "user", "role", "default"]
SCOPES: tuple[Scope, ...] = ("room", "user", "role", "default")  # nearest first

EARNINGS_DAYS_MAX = 90
GRACE_S_MAX = 30 * 24 * 3600
PERCENT_BP_MAX = 10_000
URL_CHARS_MAX = 500
VERSION_CHARS_MAX = 64
SUBJECT_CHARS_MAX = 64


@dataclass(frozen=True, slots=True)
class Fee:
    """The platform's part of a sale: hundredths of a percent and a fixed amount in the room's currency. `on_top`: the
    guest pays it beside the price; otherwise it comes out of the host's share."""

    percent_bp: int = 0
    fixed_minor: int = 0
    on_top: bool = False


# Figures that are amounts in the currency of their place.
AMOUNTS = frozenset({"rate_minor_per_min", "price_minor", "fee_fixed_minor", "balance_low_minor"})
# What a host may say about a room of theirs; everything else is the operator's.
HOST_FIGURES = frozenset(
    {"rate_minor_per_min", "presets_s", "currency", "price_minor", "window_s", "free_seconds", "grace_s"}
    | {"terms_url", "terms_version"}
)
DEFAULTS: Mapping[str, Any] = MappingProxyType(
    {
        "window_s": WINDOW_S,
        "minimum": "waive_first",
        "fee_percent_bp": 0,
        "fee_fixed_minor": 0,
        "fee_on_top": False,
        "earnings_days": 15,
        "free_seconds": 0,
        "grace_s": 3600,
        "refund_no_show": True,
        "refund_host_left": True,
        "refund_technical": True,
        "dispute_access": "end",
        "automatic_tax": False,
    }
)


def parse_figures(said: object) -> dict[str, Any]:
    """The figures of one place, blank and null ones left out. Raises RefusedError `bad_rates` (unknown names, wrong
    types, out of range, an amount without a currency), `unknown_currency`."""
    if not isinstance(said, Mapping):
        raise _bad("rates are an object")
    unknown = sorted(str(name)[:30] for name in set(said) - set(_PARSERS))
    if unknown:
        raise _bad(f"unknown figures: {', '.join(unknown[:5])}")
    figures = {name: _PARSERS[name](name, value) for name, value in said.items() if not is_blank(value)}
    if AMOUNTS & set(figures) and "currency" not in figures:
        raise _bad("amounts need a currency beside them")
    # A rate may be any: what it comes to is rounded down to the currency's step when it is charged.
    if "price_minor" in figures and figures["price_minor"] % currency(figures["currency"]).step_minor:
        raise _bad(f"{figures['price_minor']} is no amount that {figures['currency']} can pay")
    return figures


def is_blank(value: object) -> bool:
    """Whether it says nothing."""
    return value is None or value == "" or (isinstance(value, list) and not value)


@dataclass(frozen=True, slots=True)
class Place:
    """What one place says. `subject`: a room's id, a user's id, a role, or '' of the default."""

    scope: Scope
    subject: str
    figures: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Figures:
    """What holds for one room, and which place said it (`origins`; a product default has none)."""

    said: Mapping[str, Any]
    origins: Mapping[str, Scope]

    def get(self, name: str) -> Any:
        """The figure, else its product default, else None."""
        return self.said.get(name, DEFAULTS.get(name))

    def require(self, name: str) -> Any:
        """The figure. Raises RefusedError `no_rate` when no place says it."""
        value = self.get(name)
        if value is None:
            raise RefusedError(
                "no_rate", f"no {name} is set for this room, its host, their role, or by default"
            )
        return value

    @property
    def fee(self) -> Fee:
        return Fee(self.get("fee_percent_bp"), self.get("fee_fixed_minor"), self.get("fee_on_top"))


def resolve(places: Sequence[Place], code: str | None = None) -> Figures:
    """What holds, of places in any order. `code`: the room's currency when it is fixed; else the nearest that is
    said."""
    nearest_first = sorted(places, key=lambda place: SCOPES.index(place.scope))
    if code is None:
        code = next(
            (place.figures["currency"] for place in nearest_first if "currency" in place.figures), None
        )
    said: dict[str, Any] = {}
    origins: dict[str, Scope] = {}
    for place in nearest_first:
        for name, value in place.figures.items():
            is_foreign = name in AMOUNTS and place.figures.get("currency") != code
            if name in said or name == "currency" or is_blank(value) or is_foreign:
                continue
            said[name] = value
            origins[name] = place.scope
    return Figures(said if code is None else said | {"currency": code}, origins)


# What a kind of tariff takes from the rates when it does not say it itself.
_FILLED: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "entrance": ("price_minor",),
        "per_minute": ("rate_minor_per_min", "presets_s"),
        "metered": ("rate_minor_per_min", "window_s"),
        "wallet": ("rate_minor_per_min",),
        "subscription": ("price_minor",),
        "free": (),
    }
)
_MAY_BE_FREE = frozenset({"entrance", "per_minute"})  # where time is bought afterwards


def complete_tariff(said: Mapping[str, Any], figures: Figures) -> dict[str, Any]:
    """The tariff with what it leaves open taken from the rates, for `parse_tariff` to judge. Raises RefusedError
    `no_rate`. A tariff that says everything comes back as it is, whatever the rates say."""
    # Blank is not said; only an entrance says something with null (`seconds`: without limit).
    tariff = {name: value for name, value in said.items() if name == "seconds" or not is_blank(value)}
    kind = str(tariff.get("kind"))
    if kind not in _FILLED:
        return tariff  # its parser names the fault
    open_names = [name for name in ("currency", *_FILLED[kind]) if name not in tariff]
    filled = {name: figures.require(name) for name in open_names}
    tariff |= _shortened(filled, tariff.get("max_seconds"))
    free_seconds = figures.said.get("free_seconds")
    is_endless = "seconds" in tariff and tariff["seconds"] is None
    if kind in _MAY_BE_FREE and not is_endless and "free_seconds" not in tariff and free_seconds:
        tariff["free_seconds"] = free_seconds
    minimum = figures.get("minimum")
    if kind == "metered" and "minimum" not in tariff and minimum != DEFAULTS["minimum"]:
        tariff["minimum"] = minimum
    return tariff


_BY_THE_MINUTE = ("per_minute", "metered", "wallet")


def bounded(tariff: Mapping[str, Any], longest_s: int | None) -> dict[str, Any]:
    """The tariff with nothing in it longer than `longest_s` (a room's `max_seconds`): longer presets are left out. What is
    no tariff stays as it is, for its parser to refuse."""
    if longest_s is None or tariff.get("kind") not in _BY_THE_MINUTE:
        return dict(tariff)
    said = tariff.get("max_seconds")
    longest = min(longest_s, said) if isinstance(said, int) else said if said is not None else longest_s
    return {**_shortened(tariff, longest_s), "max_seconds": longest}


def _shortened(said: Mapping[str, Any], longest_s: object) -> dict[str, Any]:
    """The lengths that are named there, none longer than that."""
    short = dict(said)
    if not isinstance(longest_s, int):
        return short
    if isinstance(window_s := said.get("window_s"), int):
        short["window_s"] = min(longest_s, window_s)
    if isinstance(presets := said.get("presets_s"), list):
        short["presets_s"] = [one for one in presets if not isinstance(one, int) or one <= longest_s]
    return short


# --- parsing ----------------------------------------------------------------------------------------------

_Parser = Callable[[str, object], Any]


def _bad(message: str) -> RefusedError:
    return RefusedError("bad_rates", message)


def _integer(least: int, most: int) -> _Parser:
    def parse(name: str, value: object) -> int:
        # bool is an int in Python, and not in JSON.
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
            raise _bad(f"{name} is a whole number between {least} and {most}")
        return value

    return parse


def _switch(name: str, value: object) -> bool:
    if not isinstance(value, bool):
        raise _bad(f"{name} is true or false")
    return value


def _word(*words: str) -> _Parser:
    def parse(name: str, value: object) -> str:
        if value not in words:
            raise _bad(f"{name} is one of: {', '.join(words)}")
        return str(value)

    return parse


def _currency(_name: str, value: object) -> str:
    return currency(value).code


def _presets(name: str, value: object) -> list[int]:
    if not isinstance(value, list) or len(value) > MAX_PRESETS:
        raise _bad(f"{name} is a list of up to {MAX_PRESETS} lengths")
    lengths = [_integer(MIN_SECONDS, MAX_SECONDS)(name, item) for item in value]
    if len(set(lengths)) != len(lengths):
        raise _bad(f"{name} names a length twice")
    return sorted(lengths)


def _url(name: str, value: object) -> str:
    is_url = isinstance(value, str) and value.startswith(("https://", "http://"))
    if not is_url or len(str(value)) > URL_CHARS_MAX or any(letter in ' "<>\n\t' for letter in str(value)):
        raise _bad(f"{name} is a web address of up to {URL_CHARS_MAX} characters")
    return str(value)


def _version(name: str, value: object) -> str:
    if not isinstance(value, str) or len(value) > VERSION_CHARS_MAX or not value.isprintable():
        raise _bad(f"{name} is a text of up to {VERSION_CHARS_MAX} characters")
    return value


def _packages(_name: str, value: object) -> list[dict[str, Any]]:
    return [package.to_json() for package in parse_packages(value)]


def _free_seconds(name: str, value: object) -> int:
    return 0 if value == 0 and value is not False else _integer(MIN_SECONDS, MAX_FREE_S)(name, value)


_PARSERS: Mapping[str, _Parser] = MappingProxyType(
    {
        "currency": _currency,
        "rate_minor_per_min": _integer(1, MAX_AMOUNT_MINOR),
        "presets_s": _presets,
        "price_minor": _integer(1, MAX_AMOUNT_MINOR),
        "window_s": _integer(MIN_SECONDS, MAX_SECONDS),
        "free_seconds": _free_seconds,
        "minimum": _word("waive_first", "charge"),
        "fee_percent_bp": _integer(0, PERCENT_BP_MAX),
        "fee_fixed_minor": _integer(0, MAX_AMOUNT_MINOR),
        "fee_on_top": _switch,
        "earnings_days": _integer(0, EARNINGS_DAYS_MAX),
        "terms_url": _url,
        "terms_version": _version,
        "packages": _packages,
        "balance_low_minor": _integer(0, MAX_AMOUNT_MINOR),
        "grace_s": _integer(0, GRACE_S_MAX),
        "refund_no_show": _switch,
        "refund_host_left": _switch,
        "refund_technical": _switch,
        "dispute_access": _word("end", "keep"),
        "automatic_tax": _switch,
    }
)
FIGURES = tuple(_PARSERS)
