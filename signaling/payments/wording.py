"""What a payer reads at the till about a hold, before the card is asked."""

from metering.money import Money, currency
from metering.tariff import Metered, parse_tariff
from signaling.stores.orders import Order


def _money(amount_minor: int, code: str) -> str:
    return f"{Money(amount_minor, code).decimal()} {code.upper()}"


def length(seconds: int) -> str:
    minutes, rest = divmod(seconds, 60)
    return f"{minutes} min" if not rest else f"{minutes} min {rest} s" if minutes else f"{rest} s"


def of_use(order: Order) -> str:
    """How a metered order is charged, with the rule of the smallest charge. Empty for one that is paid in advance."""
    if order.funding != "metered":
        return ""
    tariff = parse_tariff(order.tariff)
    assert isinstance(tariff, Metered), "orders of this funding have such a tariff"
    code = order.currency
    least = _money(currency(code).minimum_minor, code)
    rate, held = _money(tariff.rate_minor_per_min, code), _money(order.amount_minor, code)
    said = [
        f"{rate} per minute: you pay what you use.",
        f"Your bank is asked to hold {held} for up to {length(order.seconds or 0)}.",
        "What you do not use is released when you leave.",
        f"A call below {least} costs {least}."
        if tariff.minimum == "charge"
        else f"A call below {least} is free, once a day with the same card; after that it costs {least}.",
    ]
    if order.goes_on:
        said.append("You agreed to further holds of this kind while the call goes on.")
    return " ".join(said)
