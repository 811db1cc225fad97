"""Payment methods: what a payer paid with, and the cards a customer keeps."""

from datetime import UTC, datetime

from . import objects
from .cards import ALL, AUTHENTICATION_REQUIRED, DEBIT, EXPIRED, PAYMENT_METHODS, Card, Decline
from .errors import StripeError, missing
from .params import Json
from .store import Transaction


def add(tx: Transaction, card: Card, billing: Json) -> Json:
    method = objects.payment_method(tx.new_id("pm"), card, billing, now_s=tx.now_s)
    return tx.insert(method, hidden={"card": card.name})


def card_of(tx: Transaction, method: Json) -> Card:
    name = tx.hidden(method["id"]).get("card")
    if name is None:  # kept by an earlier version, which wrote no name
        last4 = method.get("card", {}).get("last4")
        return next((card for card in ALL.values() if card.last4 == last4), DEBIT)
    return ALL[name]


def named_card(name: str) -> Card:
    """Raises `resource_missing` for what is none of Stripe's named test methods."""
    card = PAYMENT_METHODS.get(name)
    if card is None:
        raise missing("PaymentMethod", name, param="payment_method", status=400)
    return card


def for_customer(tx: Transaction, name: str, customer_id: str | None) -> Json:
    """The method that a request names: a kept one, which only its own customer may use, or a test method.

    Raises `StripeError` for another's, a forgotten one, and one that was used without being kept.
    """
    method = tx.find(name, "payment_method")
    if method is None:
        return add(tx, named_card(name), {})
    if method["customer"] is None:
        if tx.hidden(name).get("used"):
            message = (
                "The provided PaymentMethod was previously used with a PaymentIntent without Customer attachment, "
                "or was detached from a Customer, and may not be used again."
            )
            raise StripeError(message, param="payment_method")
    elif method["customer"] != customer_id:
        message = f"The payment method {name} belongs to a customer; pass that one as `customer`."
        raise StripeError(message, param="payment_method")
    return method


def use(tx: Transaction, method: Json) -> None:
    """It was charged: unless kept, it serves no second time."""
    tx.set_hidden(method["id"], tx.hidden(method["id"]) | {"used": True})


def attach(tx: Transaction, method: Json, customer_id: str) -> Json:
    """Keep the card with that customer. Once more is the same; with another customer it is refused."""
    if method["customer"] == customer_id:
        return method
    if method["customer"] is not None or tx.hidden(method["id"]).get("detached"):
        message = "The payment method you provided has already been attached to a customer, or was detached."
        raise StripeError(message, param="payment_method")
    method.update(customer=customer_id, allow_redisplay="limited")
    tx.emit("payment_method.attached", tx.update(method))
    return method


def detach(tx: Transaction, method: Json) -> Json:
    if method["customer"] is None:
        message = "The payment method you provided is not attached to a customer so detachment is impossible."
        raise StripeError(message, param="payment_method")
    customer = tx.get("customer", method["customer"])
    if customer["invoice_settings"]["default_payment_method"] == method["id"]:
        customer["invoice_settings"]["default_payment_method"] = None
        tx.update(customer)
    method["customer"] = None
    tx.set_hidden(method["id"], tx.hidden(method["id"]) | {"used": True, "detached": True})
    tx.emit("payment_method.detached", tx.update(method))
    return method


def kept_by(tx: Transaction, customer_id: str) -> list[Json]:
    """A customer's cards, newest first."""
    return tx.find_by("payment_method", "customer", customer_id)


def later_decline(tx: Transaction, method: Json, card: Card, *, off_session: bool) -> Decline | None:
    """What a kept card meets when it is charged again, None when nothing stands in the way."""
    if card.decline is not None:
        return card.decline
    if card.later_decline is not None:
        return card.later_decline
    if "card" in method and _is_past(method["card"], tx.now_s):
        return EXPIRED
    return AUTHENTICATION_REQUIRED if card.asks_again and off_session else None


def _is_past(card: Json, now_s: int) -> bool:
    now = datetime.fromtimestamp(now_s, UTC)
    return (int(card["exp_year"]), int(card["exp_month"])) < (now.year, now.month)
