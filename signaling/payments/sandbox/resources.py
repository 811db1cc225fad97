"""Every API operation the sandbox speaks: method, path, name, and how its parameters become a transaction.

A handler reads all parameters first and refuses bad ones; what it returns runs later, inside the transaction.
"""

from . import checkout, methods, objects, payments, refunds, setups, subscriptions
from .checkoutrequest import read_request
from .currencies import check_amount, read_currency
from .errors import StripeError
from .params import Json
from .resources_billing import BILLING_ROUTES
from .resources_connect import CONNECT_ROUTES
from .routing import Call, Operation, Route, envelope_v2, equals, listing, read_page, read_page_v2, retrieve
from .store import Page, Transaction

EVENTS_KEPT_S = 30 * 86400
EVENT_TYPES_MAX = 20
EXPAND_DEPTH_MAX = 4

# What a bare id in each field stands for, for `expand`.
EXPANDABLE = {
    "balance_transaction": "balance_transaction",
    "charge": "charge",
    "customer": "customer",
    "default_payment_method": "payment_method",
    "failure_balance_transaction": "balance_transaction",
    "invoice": "invoice",
    "latest_charge": "charge",
    "latest_invoice": "invoice",
    "payment_intent": "payment_intent",
    "payment_method": "payment_method",
    "product": "product",
    "setup_intent": "setup_intent",
    "source": None,
    "source_transaction": "charge",
    "subscription": "subscription",
    "transfer": "transfer",
}


def expand(tx: Transaction, answer: Json, paths: list[str]) -> Json:
    """Replace ids by the objects they name, along each dotted path (`payment_intent.latest_charge`)."""
    for path in paths:
        steps = path.split(".")
        if len(steps) > EXPAND_DEPTH_MAX:
            raise StripeError("You cannot expand more than 4 levels of a property.", param="expand")
        _expand_step(tx, answer, steps, path)
    return answer


def _expand_step(tx: Transaction, node: Json, steps: list[str], path: str) -> None:
    if not steps:
        return
    step, rest = steps[0], steps[1:]
    value = _value_to_expand(tx, node, step, path)
    node[step] = value
    for child in value if isinstance(value, list) else [value]:
        if isinstance(child, dict):
            _expand_step(tx, child, rest, path)


def _value_to_expand(tx: Transaction, node: Json, step: str, path: str) -> object:
    if (node.get("object"), step) == ("checkout.session", "line_items"):
        return checkout.line_items(tx, node["id"])
    if (node.get("object"), step) == ("invoice", "payments"):
        return subscriptions.payments_of(tx, node["id"])
    if (node.get("object"), step) == ("charge", "refunds"):
        return _refunds_of(tx, node["id"])
    if step not in node or (step not in EXPANDABLE and not isinstance(node[step], dict | list)):
        raise StripeError(f"This property cannot be expanded ({path}).", param="expand")
    value = node[step]
    return tx.find(value, EXPANDABLE[step]) if isinstance(value, str) and value else value


def _refunds_of(tx: Transaction, charge_id: str) -> Json:
    where, values = equals(charge=charge_id)
    return tx.page("refund", Page(), f"/v1/charges/{charge_id}/refunds", where=where, values=values)


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
    how = _read_confirmation(call)
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


def _read_confirmation(call: Call) -> payments.Confirmation:
    return_url = call.params.text("return_url")
    return payments.Confirmation(
        method=call.params.text("payment_method"),
        off_session=call.params.flag("off_session") or False,
        redirect=payments.Redirect(call.public_url, return_url) if return_url else None,
    )


def _confirm_intent(call: Call) -> Operation:
    how = _read_confirmation(call)
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


def _create_customer(call: Call) -> Operation:
    params = call.params
    fields = {name: params.text(name, chars_max=800) for name in ("email", "name", "phone", "description")}
    metadata = params.metadata()
    params.finish()

    def operation(tx: Transaction) -> Json:
        customer = objects.customer(tx.new_id("cus"), now_s=tx.now_s) | fields | {"metadata": metadata}
        tx.emit("customer.created", tx.insert(customer))
        return customer

    return operation


def _cards_of_customer(call: Call) -> Operation:
    page = read_page(call.params)
    kind = call.params.text("type")
    call.params.finish()
    where, values = equals(customer=call.object_id, type=kind)
    url = f"/v1/customers/{call.object_id}/payment_methods"

    def operation(tx: Transaction) -> Json:
        tx.get("customer", call.object_id)
        return tx.page("payment_method", page, url, where=where, values=values)

    return operation


def _attach(call: Call) -> Operation:
    customer_id = call.params.required_text("customer")
    call.params.finish()

    def operation(tx: Transaction) -> Json:
        tx.get("customer", customer_id, param="customer", status=400)
        method = methods.for_customer(tx, call.object_id, customer_id)
        return methods.attach(tx, method, customer_id)

    return operation


def _detach(call: Call) -> Operation:
    call.params.finish()
    return lambda tx: methods.detach(tx, tx.get("payment_method", call.object_id))


def _create_setup(call: Call) -> Operation:
    params = call.params
    fields = {
        "customer": params.text("customer"),
        "description": params.text("description"),
        "metadata": params.metadata(),
        "payment_method_types": params.texts("payment_method_types") or ["card"],
        "usage": params.choice("usage", ("off_session", "on_session")) or "off_session",
    }
    confirmed = params.flag("confirm") or False
    how = _read_confirmation(call)
    params.finish()

    def operation(tx: Transaction) -> Json:
        if fields["customer"]:
            tx.get("customer", str(fields["customer"]), param="customer", status=400)
        setup = setups.create(tx, fields, hidden={"method": how.method})
        return setups.confirm(tx, setup, how.method, how.redirect) if confirmed else setup

    return operation


def _confirm_setup(call: Call) -> Operation:
    how = _read_confirmation(call)
    call.params.finish()
    return lambda tx: setups.confirm(tx, _own_setup(tx, call.object_id), how.method, how.redirect)


def _cancel_setup(call: Call) -> Operation:
    reason = call.params.choice("cancellation_reason", ("abandoned", "duplicate", "requested_by_customer"))
    call.params.finish()
    return lambda tx: setups.cancel(tx, _own_setup(tx, call.object_id), reason)


def _own_setup(tx: Transaction, setup_id: str) -> Json:
    """Raises for the SetupIntent of a Checkout Session, which only its page may move."""
    setup = tx.get("setup_intent", setup_id)
    if tx.hidden(setup_id).get("session"):
        message = "This SetupIntent belongs to a Checkout Session. To cancel it, expire the Checkout Session."
        raise StripeError(message, code="setup_intent_unexpected_state")
    return setup


def _list_events(call: Call) -> Operation:
    page = read_page(call.params)
    kind, kinds = call.params.text("type"), call.params.texts("types")
    delivered = call.params.flag("delivery_success")
    call.params.finish()
    if kind and kinds:
        raise StripeError("You may pass either type or types, not both", param="types")
    if len(kinds) > EVENT_TYPES_MAX:
        raise StripeError(f"At most {EVENT_TYPES_MAX} types", param="types")
    return lambda tx: _events_page(tx, page, [kind] if kind else kinds, delivered)


_UNDELIVERED = "id IN (SELECT event_id FROM deliveries WHERE state IN ('pending', 'failed'))"
_DELIVERED = _UNDELIVERED.replace("IN", "NOT IN", 1)


def _events_page(tx: Transaction, page: Page, kinds: list[str], delivered: bool | None) -> Json:
    where: list[str] = ["created_s >= ?"]
    values: list[str | int] = [tx.now_s - EVENTS_KEPT_S]
    if kinds:
        where.append(f"json_extract(body, '$.type') IN ({', '.join('?' for _ in kinds)})")
        values += kinds
    if delivered is not None:
        where.append(_DELIVERED if delivered else _UNDELIVERED)
    return tx.page("event", page, "/v1/events", where=" AND ".join(where), values=tuple(values))


def _list_thin_events(call: Call) -> Operation:
    page = read_page_v2(call.params)
    kinds = call.params.texts("types")
    about = call.params.text("object_id")
    call.params.finish()
    if len(kinds) > EVENT_TYPES_MAX:
        raise StripeError(f"At most {EVENT_TYPES_MAX} types", param="types")
    where = ["created_s >= ?"]
    values: list[str] = []
    if kinds:
        where.append(f"json_extract(body, '$.type') IN ({', '.join('?' for _ in kinds)})")
        values += kinds
    if about is not None:
        where.append("json_extract(body, '$.related_object.id') = ?")
        values.append(about)

    def operation(tx: Transaction) -> Json:
        bound = (tx.now_s - EVENTS_KEPT_S, *values)
        found = tx.page("v2.core.event", page, "", where=" AND ".join(where), values=bound)
        return envelope_v2(found, f"/v2/core/events?{call.query}")

    return operation


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
    Route("POST", "/v1/customers", "customers.create", _create_customer),
    Route("GET", "/v1/customers/{id}", "customers.retrieve", retrieve("customer")),
    Route("GET", "/v1/customers/{id}/payment_methods", "customers.payment_methods.list", _cards_of_customer),
    Route(
        "GET",
        "/v1/payment_methods",
        "payment_methods.list",
        listing("payment_method", "/v1/payment_methods", "customer", "type"),
    ),
    Route("GET", "/v1/payment_methods/{id}", "payment_methods.retrieve", retrieve("payment_method")),
    Route("POST", "/v1/payment_methods/{id}/attach", "payment_methods.attach", _attach),
    Route("POST", "/v1/payment_methods/{id}/detach", "payment_methods.detach", _detach),
    Route("POST", "/v1/setup_intents", "setup_intents.create", _create_setup),
    Route("GET", "/v1/setup_intents/{id}", "setup_intents.retrieve", retrieve("setup_intent")),
    Route("POST", "/v1/setup_intents/{id}/confirm", "setup_intents.confirm", _confirm_setup),
    Route("POST", "/v1/setup_intents/{id}/cancel", "setup_intents.cancel", _cancel_setup),
    Route("GET", "/v1/events", "events.list", _list_events),
    Route("GET", "/v1/events/{id}", "events.retrieve", retrieve("event")),
    Route("GET", "/v2/core/events", "v2.core.events.list", _list_thin_events),
    Route("GET", "/v2/core/events/{id}", "v2.core.events.retrieve", retrieve("v2.core.event")),
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
    *BILLING_ROUTES,
    *CONNECT_ROUTES,
)
