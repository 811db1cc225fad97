"""PaymentIntents and their charges: what a card attempt does to them, capture, cancel.

Every function runs inside one transaction and emits the events Stripe would send, in Stripe's order.
"""

from . import objects
from .cards import CARDS, CHALLENGE_FAILED, PAYMENT_METHODS, Card, Decline
from .errors import StripeError, missing, unexpected_state
from .params import Json
from .store import Transaction

FEE_PER_MILLE = 15
FEE_FIXED_MINOR = 25
CANCELABLE = (
    "requires_payment_method",
    "requires_capture",
    "requires_confirmation",
    "requires_action",
    "processing",
)


def attempt(
    tx: Transaction, intent: Json, card: Card, billing: Json, *, approved: bool | None = None
) -> Json:
    """One try to pay `intent` with `card`. `approved` is the payer's answer to 3-D Secure, None before it.

    Returns the intent: succeeded, requires_capture, processing, requires_action (3-D Secure), or back at
    requires_payment_method with `last_payment_error` telling why.
    """
    method = tx.insert(objects.payment_method(tx.new_id("pm"), card, billing, now_s=tx.now_s))
    if card.challenge and approved is None:
        return _challenge(tx, intent, card, billing, method)
    intent["next_action"] = None
    if card.challenge and not approved:
        return _fail(tx, intent, CHALLENGE_FAILED, charge_id=None, method=method)
    intent["payment_method"] = method["id"]
    if card.decline is not None:
        failed = _add_charge(tx, intent, card, billing, decline=card.decline)
        tx.emit("charge.failed", failed)
        return _fail(tx, intent, card.decline, charge_id=failed["id"], method=method)
    if card.settles_later:
        return _wait(tx, intent, card, billing)
    return _charge(tx, intent, card, billing)


def _challenge(tx: Transaction, intent: Json, card: Card, billing: Json, method: Json) -> Json:
    intent.update(
        status="requires_action",
        next_action={"type": "use_stripe_sdk", "use_stripe_sdk": {"type": "three_d_secure_redirect"}},
        payment_method=method["id"],
        last_payment_error=None,
    )
    tx.set_hidden(intent["id"], tx.hidden(intent["id"]) | {"challenge": card.name, "billing": billing})
    tx.emit("payment_intent.requires_action", tx.update(intent))
    return intent


def _fail(tx: Transaction, intent: Json, decline: Decline, *, charge_id: str | None, method: Json) -> Json:
    intent.update(
        status="requires_payment_method",
        payment_method=None,
        last_payment_error=objects.payment_error(decline, charge_id=charge_id, method=method),
    )
    tx.emit("payment_intent.payment_failed", tx.update(intent))
    return intent


def _wait(tx: Transaction, intent: Json, card: Card, billing: Json) -> Json:
    intent.update(status="processing", last_payment_error=None)
    tx.set_hidden(intent["id"], tx.hidden(intent["id"]) | {"settling": card.name, "billing": billing})
    tx.emit("payment_intent.processing", tx.update(intent))
    return intent


def _charge(tx: Transaction, intent: Json, card: Card, billing: Json) -> Json:
    held = intent["capture_method"] == "manual"
    charge = _add_charge(tx, intent, card, billing, decline=None)
    if not held:
        _book_charge(tx, charge)
    tx.emit("charge.succeeded", charge)
    intent["last_payment_error"] = None
    if held:
        intent.update(status="requires_capture", amount_capturable=intent["amount"])
        tx.emit("payment_intent.amount_capturable_updated", tx.update(intent))
    else:
        intent.update(status="succeeded", amount_received=intent["amount"])
        tx.emit("payment_intent.succeeded", tx.update(intent))
    return intent


def _add_charge(tx: Transaction, intent: Json, card: Card, billing: Json, *, decline: Decline | None) -> Json:
    charge = objects.charge(
        tx.new_id("ch"),
        intent,
        card,
        billing=billing,
        method_id=intent["payment_method"],
        decline=decline,
        captured=decline is None and intent["capture_method"] != "manual",
        challenged=card.challenge,
        now_s=tx.now_s,
    )
    intent["latest_charge"] = charge["id"]
    return tx.insert(charge)


def _book_charge(tx: Transaction, charge: Json) -> None:
    amount_minor = charge["amount_captured"]
    fee_minor = min(amount_minor, amount_minor * FEE_PER_MILLE // 1000 + FEE_FIXED_MINOR)
    booked = book(tx, "charge", "charge", charge, amount_minor, fee_minor=fee_minor)
    charge["balance_transaction"] = booked["id"]
    tx.update(charge)


def book(
    tx: Transaction, kind: str, category: str, source: Json, amount_minor: int, *, fee_minor: int = 0
) -> Json:
    """Add a balance transaction; `amount_minor` is negative for money that leaves."""
    entry = objects.balance_transaction(
        tx.new_id("txn"),
        kind=kind,
        category=category,
        source=source["id"],
        amount_minor=amount_minor,
        fee_minor=fee_minor,
        currency=source["currency"],
        now_s=tx.now_s,
    )
    return tx.insert(entry)


def settle(tx: Transaction, intent: Json, card: Card, *, succeeds: bool) -> Json:
    """The bank's late answer to a debit that was `processing`."""
    billing = tx.hidden(intent["id"]).get("billing", {})
    if succeeds:
        return _charge(tx, intent, card, billing)
    decline = Decline(
        "payment_intent_payment_attempt_failed", "generic_decline", "The bank refused the debit."
    )
    failed = _add_charge(tx, intent, card, billing, decline=decline)
    tx.emit("charge.failed", failed)
    method = tx.get("payment_method", intent["payment_method"])
    return _fail(tx, intent, decline, charge_id=failed["id"], method=method)


def capture(tx: Transaction, intent: Json, amount_minor: int | None) -> Json:
    """Take all or part of a held amount; the rest is released. No Refund arises (Stripe since 2025-03-31)."""
    if intent["status"] != "requires_capture":
        message = f"This PaymentIntent could not be captured because it has a status of {intent['status']}."
        raise unexpected_state(message, "payment_intent_unexpected_state", payment_intent=intent)
    taken_minor = intent["amount_capturable"] if amount_minor is None else amount_minor
    if taken_minor > intent["amount_capturable"]:
        message = f"The amount to capture ({taken_minor}) is greater than the capturable {intent['amount_capturable']}"
        raise StripeError(message, code="amount_too_large", param="amount_to_capture")
    charge = tx.get("charge", intent["latest_charge"])
    charge.update(captured=True, amount_captured=taken_minor)
    _book_charge(tx, charge)
    tx.emit("charge.captured", charge)
    intent.update(status="succeeded", amount_capturable=0, amount_received=taken_minor)
    tx.emit("payment_intent.succeeded", tx.update(intent))
    return intent


def cancel(tx: Transaction, intent: Json, reason: str | None) -> Json:
    if intent["status"] not in CANCELABLE:
        message = f"You cannot cancel this PaymentIntent because it has a status of {intent['status']}."
        raise unexpected_state(message, "payment_intent_unexpected_state", payment_intent=intent)
    if intent["latest_charge"] and intent["status"] == "requires_capture":
        charge = tx.get("charge", intent["latest_charge"])
        charge.update(refunded=True, amount_refunded=charge["amount"])
        tx.update(charge)
    intent.update(
        status="canceled",
        canceled_at=tx.now_s,
        cancellation_reason=reason,
        amount_capturable=0,
        next_action=None,
    )
    tx.emit("payment_intent.canceled", tx.update(intent))
    return intent


def confirm(tx: Transaction, intent: Json, method_name: str | None) -> Json:
    """Confirm through the API with one of Stripe's named test methods (`pm_card_visa`, …).

    Raises a `card_error` (402) when the card is declined; the failed charge stays.
    """
    if intent["status"] not in ("requires_payment_method", "requires_confirmation"):
        message = f"You cannot confirm this PaymentIntent because it has a status of {intent['status']}."
        raise unexpected_state(message, "payment_intent_unexpected_state", payment_intent=intent)
    name = method_name or tx.hidden(intent["id"]).get("method")
    if name is None:
        raise StripeError(
            "A payment method is needed to confirm", code="parameter_missing", param="payment_method"
        )
    intent = attempt(tx, intent, named_card(tx, name), {})
    raise_declined(intent)
    return intent


def named_card(tx: Transaction, name: str) -> Card:
    """A named test method, or the card of one that a payer used here before."""
    kept = tx.find(name, "payment_method")
    if kept is not None:
        return next(card for card in CARDS.values() if card.last4 == kept["card"]["last4"])
    card = PAYMENT_METHODS.get(name)
    if card is None:
        raise missing("PaymentMethod", name, param="payment_method", status=400)
    return card


def raise_declined(intent: Json) -> None:
    error = intent["last_payment_error"]
    if error is None:
        return
    raise StripeError(
        error["message"],
        status=402,
        kind="card_error",
        code=error["code"],
        decline_code=error.get("decline_code"),
        charge=error.get("charge"),
        payment_intent=intent,
        keeps_effects=True,
    )
