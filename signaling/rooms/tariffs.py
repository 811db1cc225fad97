"""What a host says that a room costs, read together with the rates that hold there."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from metering.errors import RefusedError
from metering.rates import Figures, bounded, complete_tariff, is_blank
from metering.tariff import Entrance, Free, PerMinute, Subscription, Tariff, Wallet, choices, parse_tariff
from signaling.errors import ApiError

REFUSALS = {"below_minimum", "unknown_currency", "no_rate"}


@dataclass(frozen=True, slots=True)
class Said:
    """`tariff`: as it is sold now. `stored`: what the host said; what is left open there is taken from the rates with
    each order."""

    tariff: Tariff
    stored: dict[str, Any]


def read_tariff(said: Mapping[str, Any], max_seconds: int | None, figures: Figures) -> Said:
    """The tariff bounded by `max_seconds`. Raises ApiError 422 `bad_tariff`, `below_minimum`, `unknown_currency`,
    `no_rate`, `invalid`."""
    try:
        tariff = parse_tariff(bounded(complete_tariff(said, figures), max_seconds))
        choices(tariff)
    except RefusedError as error:
        code = error.code if error.code in REFUSALS else "bad_tariff"
        raise ApiError(422, code, str(error), field="tariff") from None
    if getattr(tariff, "free_seconds", 0) and not isinstance(tariff, Entrance | PerMinute):
        raise ApiError(422, "bad_tariff", "free minutes come before time that is bought", field="tariff")
    if max_seconds is not None and _sold_s(tariff) > max_seconds:
        raise ApiError(422, "invalid", "the length is over the longest that may be sold", field="max_seconds")
    return Said(tariff, _stored(said, tariff))


def require_sign_in(tariff: Tariff, *, can_sign_in: bool) -> None:
    """Raises ApiError 422 `mail_off` for a room that only people who are signed in can pay for, where nobody can sign in."""
    if isinstance(tariff, Wallet | Subscription) and not can_sign_in:
        message = "this server sends no mail, so nobody can sign in to pay in this way: its operator has to set SMTP_URL"
        raise ApiError(422, "mail_off", message, field="tariff")


def _stored(said: Mapping[str, Any], tariff: Tariff) -> dict[str, Any]:
    """What was said alone, as it was read; blank is not said, nought and "without limit" (`seconds` null) are."""
    read = tariff.to_json()
    kept = {name: value for name, value in said.items() if name == "seconds" or not is_blank(value)}
    return {name: read.get(name, value) for name, value in kept.items()}


def _sold_s(tariff: Tariff) -> int:
    """The length that is sold as a whole; 0 where it is chosen, bounded already, or without limit."""
    return tariff.seconds or 0 if isinstance(tariff, Entrance | Free) else 0
