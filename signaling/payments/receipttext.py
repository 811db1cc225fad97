"""A receipt in plain words, for a letter: what was bought, what it cost and why, the time, and what went back."""

from typing import Any

from metering.money import Money
from signaling.payments.wording import length

Json = dict[str, Any]

_REASONS = {
    "host_absent": "the host did not come",
    "host_left": "the host left early",
    "technical": "a technical failure",
    "kicked": "removed by the host",
    "host_ended": "the host ended the room",
    "unserved": "it could not be used",
    "goodwill": "a gesture of goodwill",
    "duplicate": "paid twice",
    "requested": "asked for",
    "dashboard": "by the operator",
}
_STATES = {"asked": "on its way", "succeeded": "sent", "failed": "being looked at by the operator"}


def subject(receipt: Json) -> str:
    title = receipt["room"]["title"]
    return f"Refund: {title}" if receipt["refunds"] else f"Receipt: {title}"


def lines(receipt: Json) -> list[str]:
    """Paragraphs; `receipt` as `views.receipt_view` makes it."""
    room = receipt["room"]
    host = f", with {room['host_name']}" if room["host_name"] else ""
    said = [f"{room['title']}{host}"]
    if room["description"]:
        said.append(room["description"])
    if receipt["mode"] != "live":
        said.append("This was a test payment: no real money moved.")
    said += _price(receipt)
    if receipt["pass"] is not None:
        said.append(_time(receipt))
    said += [_refund(one, receipt["funding"]) for one in receipt["refunds"]]
    if receipt["lost"]["amount_minor"]:
        said.append(f"Your bank has taken back {_money(receipt['lost'])}.")
    said.append(f"Total: {_money(receipt['total'])}")
    said.append(_details(receipt))
    return said


def _price(receipt: Json) -> list[str]:
    if receipt["use"] is not None:
        return [_use(receipt), _extras(receipt)] if _extras(receipt) else [_use(receipt)]
    if receipt["invoices"]:
        return [f"Subscription, {one['created_at'][:10]}: {_money(one)}" for one in receipt["invoices"]]
    rate = receipt["computation"].get("rate_minor_per_min")
    seconds = receipt["seconds"]
    of = receipt["list"] or receipt["price"]
    currency = receipt["price"]["currency"]
    if receipt["purpose"] == "topup":
        what = "Credits"
    elif rate is not None and seconds is not None:
        what = f"{length(seconds)} at {_money({'amount_minor': rate, 'currency': currency})} a minute"
    else:
        what = "Entrance, without a time limit" if seconds is None else f"Entrance, up to {length(seconds)}"
    first = f"{what}: {_money(of)}"
    extras = _extras(receipt)
    return [first, f"{extras}. Paid: {_money(receipt['price'])}"] if extras else [first]


def _extras(receipt: Json) -> str:
    """Discount, fee on top and tax, as far as there are any."""
    parts = []
    if receipt["discount"]["amount_minor"]:
        parts.append(f"Discount: -{_money(receipt['discount'])}")
    if receipt["fee_on_top"]["amount_minor"]:
        parts.append(f"Service fee: {_money(receipt['fee_on_top'])}")
    if receipt["tax"]["amount_minor"]:
        parts.append(f"Tax included: {_money(receipt['tax'])}")
    return ". ".join(parts)


def _use(receipt: Json) -> str:
    use, currency = receipt["use"], receipt["price"]["currency"]

    def money(amount_minor: int) -> str:
        return _money({"amount_minor": amount_minor, "currency": currency})

    rate = receipt["computation"].get("rate_minor_per_min")
    used = f"You used {length(use['used_ms'] // 1000)}"
    price = "" if rate is None else f" at {money(rate)} a minute"
    if receipt["funding"] == "wallet":
        return f"{used}{price}: {money(use['charged_minor'] or 0)} were taken from your credits."
    return (
        f"Your bank was asked to hold {money(use['held_minor'])}. {used}{price}: "
        f"{money(use['charged_minor'] or 0)} were charged, {money(use['released_minor'] or 0)} were released."
    )


def _time(receipt: Json) -> str:
    used_s = receipt["pass"]["used_ms"] // 1000
    paused_s = sum(stay["pauses_ms"] for stay in receipt["stays"]) // 1000
    paused = f"; pauses of {length(paused_s)} were not counted" if paused_s else ""
    return f"Connected: {length(used_s)}{paused}."


def _refund(one: Json, funding: str) -> str:
    where = "in your credits" if funding == "wallet" else _STATES.get(one["state"], one["state"])
    words = ", ".join(filter(None, (_REASONS.get(one["reason"]), where)))
    return f"Refunded: {_money(one)} ({words})"


def _details(receipt: Json) -> str:
    named = {
        "Payer": receipt["name"],
        "Paid at": receipt["paid_at"] and receipt["paid_at"][:16].replace("T", " ") + " UTC",
        "Payment reference": receipt["payment_reference"],
        "Order": receipt["order_id"],
    }
    return "\n".join(f"{name}: {value}" for name, value in named.items() if value)


def _money(money: Json) -> str:
    return f"{Money(money['amount_minor'], money['currency']).decimal()} {money['currency'].upper()}"
