"""Every API operation the sandbox speaks: method, path, name, and how its parameters become a transaction. Those of
sessions, payments and refunds are here.

A handler reads all parameters first and refuses bad ones; what it returns runs later, inside the transaction.
"""

from . import checkout, methods, objects, payments, refunds
from .checkoutrequest import read_request
from .currencies import check_amount, read_currency
from .errors import StripeError
from .params import Json
from .resources_billing import BILLING_ROUTES
from .resources_cards import CARD_ROUTES, read_confirmation
from .resources_connect import CONNECT_ROUTES
from .resources_events import EVENT_ROUTES
from .routing import Call, Operation, Route, listing, read_page, retrieve
from .store import Transaction


def _create_session(call: Call) -> Operation:
    request = read_request(call.params)
    return lambda tx: checkout.create(tx, request, call.public_url)


def _expire_session(call: Call) -> Operation:
    call.params.finish()
    return lambda tx: checkout.expire(tx, tx.get("checkout.session", call.object_id))


def _session_lines(call: Call) -> Operation:
    read_page(call.params)
    call.params.finish()

    def operation(tx: Transaction) -> Json:
        tx.get("checkout.session", call.object_id)
        return checkout.line_items(tx, call.object_id)

    return operation


def _create_intent(call: Call) -> Operation:
    params = call.params
    amount_minor, currency = params.required_integer("amount", low=1), read_currency(params)
    check_amount(amount_minor, currency, param="amount")
    fields = {
        "capture_method": params.choice("capture_method", ("automatic", "automatic_async", "manual")),
        "customer": params.text("customer"),
        "description": params.text("description"),
        "metadata": params.metadata(),
        "receipt_email": params.text("receipt_email"),
        "payment_method_types": params.texts("payment_method_types") or None,
        "setup_future_usage": params.choice("setup_future_usage", ("off_session", "on_session")),
        "statement_descriptor_suffix": params.text("statement_descriptor_suffix", chars_max=22),
        "transfer_group": params.text("transfer_group"),
    }
    confirmed = params.flag("confirm") or False
    how = read_confirmation(call)
    params.finish()
    if how.off_session and not confirmed:
        raise StripeError("off_session may be passed only with confirm=true", param="off_session")

    def operation(tx: Transaction) -> Json:
        if fields["customer"]:
            tx.get("customer", str(fields["customer"]), param="customer", status=400)
        if how.method is not None and tx.find(how.method, "payment_method") is None:
            methods.named_card(how.method)
        intent = objects.payment_intent(
            tx.new_id("pi"),
            amount_minor=amount_minor,
            currency=currency,
            secret=tx.new_id("x")[2:],
            now_s=tx.now_s,
        )
        intent |= {name: value for name, value in fields.items() if value is not None}
        intent["status"] = "requires_confirmation" if how.method else "requires_payment_method"
        tx.emit("payment_intent.created", tx.insert(intent, hidden={"method": how.method}))
        return payments.confirm(tx, intent, how) if confirmed else intent

    return operation


def _confirm_intent(call: Call) -> Operation:
    how = read_confirmation(call)
    call.params.finish()
    return lambda tx: payments.confirm(tx, _own_intent(tx, call.object_id), how)


def _capture_intent(call: Call) -> Operation:
    amount_minor = call.params.integer("amount_to_capture", low=1)
    call.params.finish()

    def operation(tx: Transaction) -> Json:
        intent = payments.capture(tx, tx.get("payment_intent", call.object_id), amount_minor)
        checkout.captured(tx, intent["id"])
        return intent

    return operation


def _cancel_intent(call: Call) -> Operation:
    reasons = ("abandoned", "duplicate", "fraudulent", "requested_by_customer")
    reason = call.params.choice("cancellation_reason", reasons)
    call.params.finish()

    def operation(tx: Transaction) -> Json:
        intent = tx.get("payment_intent", call.object_id)
        if intent["status"] != "requires_capture":  # the hold of a completed session may be released
            intent = _own_intent(tx, call.object_id)
        return payments.cancel(tx, intent, reason)

    return operation


def _own_intent(tx: Transaction, intent_id: str) -> Json:
    """Raises for the PaymentIntent of a Checkout Session, which only its page may move."""
    intent = tx.get("payment_intent", intent_id)
    if tx.hidden(intent_id).get("session"):
        message = (
            "This PaymentIntent belongs to a Checkout Session. To cancel it, expire the Checkout Session."
        )
        raise StripeError(message, code="payment_intent_unexpected_state")
    return intent


def _create_refund(call: Call) -> Operation:
    params = call.params
    charge_id, intent_id = params.text("charge"), params.text("payment_intent")
    amount_minor = params.integer("amount", low=1)
    reason, metadata = params.choice("reason", refunds.REASONS), params.metadata()
    params.finish()

    def operation(tx: Transaction) -> Json:
        charge = refunds.charge_to_refund(tx, charge_id, intent_id)
        return refunds.create(tx, charge, amount_minor=amount_minor, reason=reason, metadata=metadata)

    return operation


def _update_refund(call: Call) -> Operation:
    metadata = call.params.metadata()
    call.params.finish()
    return lambda tx: refunds.update(tx, tx.get("refund", call.object_id), metadata)


ROUTES: tuple[Route, ...] = (
    Route("POST", "/v1/checkout/sessions", "checkout.sessions.create", _create_session),
    Route(
        "GET",
        "/v1/checkout/sessions",
        "checkout.sessions.list",
        listing("checkout.session", "/v1/checkout/sessions", "customer", "payment_intent", "status"),
    ),
    Route("GET", "/v1/checkout/sessions/{id}", "checkout.sessions.retrieve", retrieve("checkout.session")),
    Route("POST", "/v1/checkout/sessions/{id}/expire", "checkout.sessions.expire", _expire_session),
    Route("GET", "/v1/checkout/sessions/{id}/line_items", "checkout.sessions.line_items", _session_lines),
    Route("POST", "/v1/payment_intents", "payment_intents.create", _create_intent),
    Route(
        "GET",
        "/v1/payment_intents",
        "payment_intents.list",
        listing("payment_intent", "/v1/payment_intents", "customer"),
    ),
    Route("GET", "/v1/payment_intents/{id}", "payment_intents.retrieve", retrieve("payment_intent")),
    Route("POST", "/v1/payment_intents/{id}/confirm", "payment_intents.confirm", _confirm_intent),
    Route("POST", "/v1/payment_intents/{id}/capture", "payment_intents.capture", _capture_intent),
    Route("POST", "/v1/payment_intents/{id}/cancel", "payment_intents.cancel", _cancel_intent),
    Route("POST", "/v1/refunds", "refunds.create", _create_refund),
    Route("GET", "/v1/refunds", "refunds.list", listing("refund", "/v1/refunds", "charge", "payment_intent")),
    Route("GET", "/v1/refunds/{id}", "refunds.retrieve", retrieve("refund")),
    Route("POST", "/v1/refunds/{id}", "refunds.update", _update_refund),
    Route(
        "GET", "/v1/charges", "charges.list", listing("charge", "/v1/charges", "customer", "payment_intent")
    ),
    Route("GET", "/v1/charges/{id}", "charges.retrieve", retrieve("charge")),
    Route(
        "GET",
        "/v1/balance_transactions",
        "balance_transactions.list",
        listing("balance_transaction", "/v1/balance_transactions", "source", "type", "currency"),
    ),
    Route(
        "GET",
        "/v1/balance_transactions/{id}",
        "balance_transactions.retrieve",
        retrieve("balance_transaction"),
    ),
    Route(
        "GET", "/v1/disputes", "disputes.list", listing("dispute", "/v1/disputes", "charge", "payment_intent")
    ),
    Route("GET", "/v1/disputes/{id}", "disputes.retrieve", retrieve("dispute")),
    *CARD_ROUTES,
    *EVENT_ROUTES,
    *BILLING_ROUTES,
    *CONNECT_ROUTES,
)
