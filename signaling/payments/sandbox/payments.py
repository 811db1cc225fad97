"""PaymentIntents and their charges: what a card attempt does to them, capture, cancel.

Every function runs inside one transaction and emits the events Stripe would send, in Stripe's order.
"""

from dataclasses import dataclass
from urllib.parse import urlencode

from . import methods, objects
from .cards import CHALLENGE_FAILED, Card, Decline
from .errors import StripeError, unexpected_state
from .params import Json
from .store import Transaction

FEE_PER_MILLE = 15
FEE_FIXED_MINOR = 25
PENDING_S = 2 * 86400
CANCELABLE = (
    "requires_payment_method",
    "requires_capture",
    "requires_confirmation",
    "requires_action",
    "processing",
)
PAID = ("succeeded", "requires_capture", "processing")


@dataclass(frozen=True, slots=True)
class Redirect:
    """Where the payer answers the bank (our page, under `pages_url`) and where they go from there."""

    pages_url: str
    return_url: str

    def action(self, client_secret: str) -> Json:
        url = f"{self.pages_url}/sandbox/authenticate/{client_secret}"
        return {"type": "redirect_to_url", "redirect_to_url": {"url": url, "return_url": self.return_url}}


SDK_ACTION = {"type": "use_stripe_sdk", "use_stripe_sdk": {"type": "three_d_secure_redirect"}}


@dataclass(frozen=True, slots=True)
class Use:
    """One try with one payment method: whether the bank asks first, and why it would refuse."""

    card: Card
    method: Json
    challenge: bool
    decline: Decline | None
    redirect: Redirect | None = None


def attempt(tx: Transaction, intent: Json, card: Card, billing: Json) -> Json:
    """One try to pay `intent` with a card that was just entered.

    Returns the intent: succeeded, requires_capture, processing, requires_action (3-D Secure), or back at
    requires_payment_method with `last_payment_error` telling why.
    """
    method = methods.add(tx, card, billing)
    return _try(tx, intent, Use(card, method, card.challenge, card.decline))


def attempt_kept(
    tx: Transaction,
    intent: Json,
    method: Json,
    *,
    off_session: bool,
    redirect: Redirect | None = None,
    refused: Decline | None = None,
) -> Json:
    """One try with a card that was kept. `off_session`: the payer is not there to answer the bank. `refused`: why the
    bank says no whatever the card."""
    card = methods.card_of(tx, method)
    decline = refused or methods.later_decline(tx, method, card, off_session=off_session)
    asks = card.asks_again and not off_session
    return _try(tx, intent, Use(card, method, asks, decline, redirect))


def answer_challenge(tx: Transaction, intent: Json, *, approved: bool) -> Json:
    """The payer's answer to 3-D Secure."""
    if intent["status"] != "requires_action":
        raise StripeError("No 3-D Secure step is waiting", code="payment_intent_unexpected_state")
    method = tx.get("payment_method", tx.hidden(intent["id"])["challenge"]["method"])
    card = methods.card_of(tx, method)
    intent["next_action"] = None
    if not approved:
        return _fail(tx, intent, CHALLENGE_FAILED, charge_id=None, method=method)
    return _pay(tx, intent, Use(card, method, challenge=True, decline=card.decline))


def way_back(tx: Transaction, intent: Json) -> str | None:
    """Where the payer goes after the bank's page, with what Stripe adds to that address."""
    return_url = tx.hidden(intent["id"]).get("challenge", {}).get("return_url")
    if return_url is None:
        return None
    kind = intent["object"]
    added = {
        kind: intent["id"],
        f"{kind}_client_secret": intent["client_secret"],
        "redirect_status": "succeeded" if intent["status"] in PAID else "failed",
    }
    return f"{return_url}{'&' if '?' in return_url else '?'}{urlencode(added)}"


def _try(tx: Transaction, intent: Json, use: Use) -> Json:
    if use.challenge:
        return _challenge(tx, intent, use)
    return _pay(tx, intent, use)


def _pay(tx: Transaction, intent: Json, use: Use) -> Json:
    intent.update(next_action=None, payment_method=use.method["id"])
    methods.use(tx, use.method)
    if use.decline is not None:
        failed = _add_charge(tx, intent, use)
        tx.emit("charge.failed", failed)
        return _fail(tx, intent, use.decline, charge_id=failed["id"], method=use.method)
    if intent["setup_future_usage"] and intent["customer"]:
        methods.attach(tx, use.method, intent["customer"])
    if use.card.settles_later:
        return _wait(tx, intent)
    return _charge(tx, intent, use)


def _challenge(tx: Transaction, intent: Json, use: Use) -> Json:
    intent.update(
        status="requires_action",
        next_action=use.redirect.action(intent["client_secret"]) if use.redirect else SDK_ACTION,
        payment_method=use.method["id"],
        last_payment_error=None,
    )
    remember_challenge(tx, intent, use.method, use.redirect)
    tx.emit("payment_intent.requires_action", tx.update(intent))
    return intent


def remember_challenge(tx: Transaction, intent: Json, method: Json, redirect: Redirect | None) -> None:
    waiting = {"method": method["id"], "return_url": redirect.return_url if redirect else None}
    tx.set_hidden(intent["id"], tx.hidden(intent["id"]) | {"challenge": waiting})


def _fail(tx: Transaction, intent: Json, decline: Decline, *, charge_id: str | None, method: Json) -> Json:
    intent.update(
        status="requires_payment_method",
        payment_method=None,
        last_payment_error=objects.payment_error(decline, charge_id=charge_id, method=method),
    )
    tx.emit("payment_intent.payment_failed", tx.update(intent))
    return intent


def _wait(tx: Transaction, intent: Json) -> Json:
    intent.update(status="processing", last_payment_error=None)
    tx.emit("payment_intent.processing", tx.update(intent))
    return intent


def _charge(tx: Transaction, intent: Json, use: Use) -> Json:
    held = intent["capture_method"] == "manual"
    charge = _add_charge(tx, intent, use)
    if held:
        tx.set_due(charge["id"], tx.now_s + objects.HOLD_S)
    else:
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


def _add_charge(tx: Transaction, intent: Json, use: Use) -> Json:
    charge = objects.charge(
        tx.new_id("ch"),
        intent,
        use.method,
        decline=use.decline,
        captured=use.decline is None and intent["capture_method"] != "manual",
        challenged=use.challenge,
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
    tx: Transaction,
    kind: str,
    category: str,
    source: Json,
    amount_minor: int,
    *,
    fee_minor: int = 0,
    available_on_s: int | None = None,
) -> Json:
    """Add a balance transaction; `amount_minor` is negative for money that leaves, which it does at once. What comes in
    is available after two days, or `available_on_s`."""
    if available_on_s is None:
        available_on_s = tx.now_s + (PENDING_S if amount_minor > 0 else 0)
    entry = objects.balance_transaction(
        tx.new_id("txn"),
        kind=kind,
        category=category,
        source=source["id"],
        amount_minor=amount_minor,
        fee_minor=fee_minor,
        currency=source["currency"],
        now_s=tx.now_s,
        available_on_s=available_on_s,
    )
    return tx.insert(entry, due_s=available_on_s)


def settle(tx: Transaction, intent: Json, *, succeeds: bool) -> Json:
    """The bank's late answer to a debit that was `processing`."""
    method = tx.get("payment_method", intent["payment_method"])
    card = methods.card_of(tx, method)
    if succeeds:
        return _charge(tx, intent, Use(card, method, challenge=False, decline=None))
    decline = Decline(
        "payment_intent_payment_attempt_failed", "generic_decline", "The bank refused the debit."
    )
    failed = _add_charge(tx, intent, Use(card, method, challenge=False, decline=decline))
    tx.emit("charge.failed", failed)
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
    tx.set_due(charge["id"], None)
    _book_charge(tx, charge)
    tx.emit("charge.captured", charge)
    intent.update(status="succeeded", amount_capturable=0, amount_received=taken_minor)
    tx.emit("payment_intent.succeeded", tx.update(intent))
    return intent


def cancel(tx: Transaction, intent: Json, reason: str | None) -> Json:
    """A held amount is released whole. Neither a Refund nor `amount_refunded` tells of it (Stripe since 2025-03-31)."""
    if intent["status"] not in CANCELABLE:
        message = f"You cannot cancel this PaymentIntent because it has a status of {intent['status']}."
        raise unexpected_state(message, "payment_intent_unexpected_state", payment_intent=intent)
    if intent["latest_charge"]:
        tx.set_due(intent["latest_charge"], None)
    intent.update(
        status="canceled",
        canceled_at=tx.now_s,
        cancellation_reason=reason,
        amount_capturable=0,
        next_action=None,
    )
    tx.emit("payment_intent.canceled", tx.update(intent))
    return intent


def expire_holds(tx: Transaction) -> int:
    """Release every held amount whose seven days are over; how many there were."""
    due = tx.due("charge")
    for charge in due:
        tx.emit("charge.expired", charge)
        cancel(tx, tx.get("payment_intent", charge["payment_intent"]), "expired")
    return len(due)


@dataclass(frozen=True, slots=True)
class Confirmation:
    """How a PaymentIntent is to be confirmed through the API. `method`: a kept card or one of Stripe's named test
    methods (`pm_card_visa`, …); None: the one it was created with."""

    method: str | None
    off_session: bool = False
    redirect: Redirect | None = None


def confirm(tx: Transaction, intent: Json, how: Confirmation) -> Json:
    """Raises a `card_error` (402) when the card is declined; the failed charge stays."""
    if intent["status"] not in ("requires_payment_method", "requires_confirmation", "requires_action"):
        message = f"You cannot confirm this PaymentIntent because it has a status of {intent['status']}."
        raise unexpected_state(message, "payment_intent_unexpected_state", payment_intent=intent)
    name = how.method or tx.hidden(intent["id"]).get("method")
    if name is None:
        raise StripeError(
            "A payment method is needed to confirm", code="parameter_missing", param="payment_method"
        )
    method = methods.for_customer(tx, name, intent["customer"])
    if method["customer"] is None:
        card = methods.card_of(tx, method)
        intent = _try(tx, intent, Use(card, method, card.challenge, card.decline, how.redirect))
    else:
        intent = attempt_kept(tx, intent, method, off_session=how.off_session, redirect=how.redirect)
    raise_declined(intent)
    return intent


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
        payment_method=error.get("payment_method"),
        keeps_effects=True,
    )
