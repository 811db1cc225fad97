"""The operations of customers, the cards they keep, and SetupIntents. As `resources.py`."""

from . import methods, objects, payments, setups
from .errors import StripeError
from .params import Json
from .routing import Call, Operation, Route, equals, listing, read_page, retrieve
from .store import Transaction


def read_confirmation(call: Call) -> payments.Confirmation:
    return_url = call.params.text("return_url")
    if call.params.flag("use_stripe_sdk"):  # the bank asks through Stripe's script, and leads nowhere
        return_url = None
    return payments.Confirmation(
        method=call.params.text("payment_method"),
        off_session=call.params.flag("off_session") or False,
        redirect=payments.Redirect(call.public_url, return_url) if return_url else None,
    )


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
    how = read_confirmation(call)
    params.finish()

    def operation(tx: Transaction) -> Json:
        if fields["customer"]:
            tx.get("customer", str(fields["customer"]), param="customer", status=400)
        setup = setups.create(tx, fields, hidden={"method": how.method})
        return setups.confirm(tx, setup, how.method, how.redirect) if confirmed else setup

    return operation


def _confirm_setup(call: Call) -> Operation:
    how = read_confirmation(call)
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


CARD_ROUTES: tuple[Route, ...] = (
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
)
