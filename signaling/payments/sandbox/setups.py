"""SetupIntents: a card is checked and kept, and nothing is charged."""

from . import methods, objects, objects_billing
from .cards import SETUP_CHALLENGE_FAILED, Card, Decline
from .errors import StripeError, unexpected_state
from .params import Json
from .payments import SDK_ACTION, Redirect, remember_challenge
from .store import Transaction

OPEN = ("requires_payment_method", "requires_confirmation", "requires_action")


def create(tx: Transaction, fields: Json, *, hidden: Json | None = None) -> Json:
    setup = objects_billing.setup_intent(tx.new_id("seti"), secret=tx.new_id("x")[2:], now_s=tx.now_s)
    setup |= fields
    tx.emit("setup_intent.created", tx.insert(setup, hidden=hidden))
    return setup


def attempt(tx: Transaction, setup: Json, card: Card, billing: Json) -> Json:
    """One try to keep a card that was just entered: succeeded, requires_action, or back at requires_payment_method."""
    return attempt_with(tx, setup, methods.add(tx, card, billing))


def attempt_with(tx: Transaction, setup: Json, method: Json, *, redirect: Redirect | None = None) -> Json:
    card = methods.card_of(tx, method)
    if card.challenge:
        setup.update(
            status="requires_action",
            next_action=redirect.action(setup["client_secret"]) if redirect else SDK_ACTION,
            payment_method=method["id"],
            last_setup_error=None,
        )
        remember_challenge(tx, setup, method, redirect)
        tx.emit("setup_intent.requires_action", tx.update(setup))
        return setup
    return _conclude(tx, setup, method, card.decline)


def answer_challenge(tx: Transaction, setup: Json, *, approved: bool) -> Json:
    if setup["status"] != "requires_action":
        raise StripeError("No 3-D Secure step is waiting", code="setup_intent_unexpected_state")
    method = tx.get("payment_method", tx.hidden(setup["id"])["challenge"]["method"])
    decline = methods.card_of(tx, method).decline if approved else SETUP_CHALLENGE_FAILED
    return _conclude(tx, setup, method, decline)


def _conclude(tx: Transaction, setup: Json, method: Json, decline: Decline | None) -> Json:
    setup["next_action"] = None
    if decline is not None:
        setup.update(
            status="requires_payment_method",
            payment_method=None,
            last_setup_error=objects.payment_error(decline, charge_id=None, method=method),
        )
        tx.emit("setup_intent.setup_failed", tx.update(setup))
        return setup
    if setup["customer"]:
        methods.attach(tx, method, setup["customer"])
    setup.update(status="succeeded", payment_method=method["id"], last_setup_error=None)
    tx.emit("setup_intent.succeeded", tx.update(setup))
    return setup


def confirm(tx: Transaction, setup: Json, method_name: str | None, redirect: Redirect | None) -> Json:
    """Through the API. Raises a `card_error` (402) when the card is refused."""
    if setup["status"] not in OPEN:
        message = f"You cannot confirm this SetupIntent because it has a status of {setup['status']}."
        raise unexpected_state(message, "setup_intent_unexpected_state", setup_intent=setup)
    name = method_name or tx.hidden(setup["id"]).get("method")
    if name is None:
        raise StripeError(
            "A payment method is needed to confirm", code="parameter_missing", param="payment_method"
        )
    method = methods.for_customer(tx, name, setup["customer"])
    setup = attempt_with(tx, setup, method, redirect=redirect)
    error = setup["last_setup_error"]
    if error is not None:
        raise StripeError(
            error["message"],
            status=402,
            kind="card_error",
            code=error["code"],
            decline_code=error.get("decline_code"),
            setup_intent=setup,
            keeps_effects=True,
        )
    return setup


def cancel(tx: Transaction, setup: Json, reason: str | None) -> Json:
    if setup["status"] not in OPEN:
        message = f"You cannot cancel this SetupIntent because it has a status of {setup['status']}."
        raise unexpected_state(message, "setup_intent_unexpected_state", setup_intent=setup)
    setup.update(status="canceled", cancellation_reason=reason, next_action=None)
    tx.emit("setup_intent.canceled", tx.update(setup))
    return setup
