"""Tax that is included in prices, where a session asks for it: one rate for everything, none until it is set."""

from .errors import StripeError
from .params import Json
from .store import Transaction

SETTINGS = "sandbox_tax"
PERCENT_MAX = 100


def set_rate(tx: Transaction, percent: object) -> Json:
    """In whole percent, for sessions that are made from now on."""
    if not isinstance(percent, int) or isinstance(percent, bool) or not 0 <= percent <= PERCENT_MAX:
        raise StripeError(f"percent is a whole number up to {PERCENT_MAX}", param="percent")
    row = {"id": SETTINGS, "object": "sandbox.settings", "percent": percent}
    if tx.find(SETTINGS) is None:
        tx.insert(row)
    else:
        tx.update(row)
    return {"percent": percent}


def within(tx: Transaction, amount_minor: int) -> int:
    """The part of an amount that is tax, rounded to the nearest unit, halves up."""
    found = tx.find(SETTINGS)
    percent = 0 if found is None else int(found["percent"])
    parts = 100 + percent
    return (2 * amount_minor * percent + parts) // (2 * parts)
