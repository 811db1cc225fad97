"""The billing portal: a page where a customer sees their subscriptions, ends or resumes them and changes the card."""

from . import methods, objects_billing, setups, subscriptions
from .cards import CARDS, SAVED_CARDS, Card
from .errors import StripeError
from .params import Json
from .store import Transaction

LASTS_S = 3600
# Cards that ask nothing when they are entered: the portal rehearses no 3-D Secure.
OFFERED = [card for card in (*CARDS.values(), *SAVED_CARDS.values()) if not card.challenge]


def create(
    tx: Transaction, customer_id: str, *, return_url: str | None, locale: str | None, public_url: str
) -> Json:
    session = objects_billing.portal_session(
        tx.new_id("bps"),
        customer_id=customer_id,
        return_url=return_url,
        public_url=public_url,
        now_s=tx.now_s,
    )
    return tx.insert(session | {"locale": locale})


def opened(tx: Transaction, session_id: str) -> Json:
    """Raises when there is no such session, or it was made an hour ago."""
    session = tx.find(session_id, "billing_portal.session")
    if session is None or session["created"] + LASTS_S < tx.now_s:
        raise StripeError("This link is not valid any more.", status=404, code="resource_missing")
    return session


def view(tx: Transaction, session: Json) -> Json:
    where = "json_extract(body, '$.customer') = ?"
    found = tx.page("subscription", subscriptions.ALL, "", where=where, values=(session["customer"],))
    return {
        "email": tx.get("customer", session["customer"])["email"],
        "return_url": session["return_url"],
        "subscriptions": [_shown(tx, one) for one in found["data"]],
        "cards": [
            {"name": card.name, "label": card.label, "hint": card.hint, "last4": card.last4}
            for card in OFFERED
        ],
    }


def _shown(tx: Transaction, subscription: Json) -> Json:
    items = subscription["items"]["data"]
    price = items[0]["price"]
    method = tx.find(subscription["default_payment_method"] or "", "payment_method")
    return {
        "id": subscription["id"],
        "name": tx.get("product", price["product"])["name"],
        "status": subscription["status"],
        "amount_minor": sum(item["price"]["unit_amount"] * item["quantity"] for item in items),
        "currency": subscription["currency"],
        "interval": price["recurring"]["interval"],
        "interval_count": price["recurring"]["interval_count"],
        "current_period_end": subscriptions.period_of(subscription)[1],
        "cancel_at_period_end": subscription["cancel_at_period_end"],
        "last4": method["card"]["last4"] if method is not None and method["customer"] else None,
    }


def own(tx: Transaction, session: Json, subscription_id: object) -> Json:
    """A subscription of the customer whose portal this is."""
    found = tx.find(subscription_id, "subscription") if isinstance(subscription_id, str) else None
    if found is None or found["customer"] != session["customer"]:
        raise StripeError("There is no such subscription.", status=404, code="resource_missing")
    return found


def set_cancel(tx: Transaction, subscription: Json, *, cancels: bool) -> None:
    changes = {"cancel_at_period_end": cancels, "metadata": {}, "default_payment_method": None}
    subscriptions.update(tx, subscription, changes)


def chosen(name: object) -> Card:
    for card in OFFERED:
        if card.name == name:
            return card
    raise StripeError("Pick one of the test cards", param="card")


def change_card(tx: Transaction, subscription: Json, card: Card) -> None:
    """Keep another card for it; an invoice that is open is tried with it at once. Raises when the card is refused."""
    if subscription["status"] in subscriptions.OVER:
        raise StripeError("This subscription is over.")
    customer = tx.get("customer", subscription["customer"])
    setup = setups.create(tx, {"customer": customer["id"]}, hidden={"method": None})
    billing = {"email": customer["email"], "name": customer["name"]}
    method = methods.add(tx, card, billing)
    setup = setups.attempt_with(tx, setup, method)
    error = setup["last_setup_error"]
    if error is not None:
        raise StripeError(error["message"], status=402, kind="card_error", code=error["code"])
    changes = {"cancel_at_period_end": None, "metadata": {}, "default_payment_method": method["id"]}
    subscription = subscriptions.update(tx, subscription, changes)
    if subscription["status"] == "past_due":
        subscriptions.collect(tx, subscription)
