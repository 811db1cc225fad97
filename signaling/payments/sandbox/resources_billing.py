"""The operations of subscriptions, invoices and the portal. As `resources.py`."""

from . import portal, subscriptions
from .checkoutrequest import LOCALES
from .errors import StripeError
from .params import Json
from .routing import Call, Operation, Route, equals, listing, read_page, retrieve
from .store import Transaction

STATUSES = ("active", "all", "canceled", "ended", "past_due", "trialing")
INVOICE_STATUSES = ("draft", "open", "paid", "uncollectible", "void")


def _update_subscription(call: Call) -> Operation:
    params = call.params
    changes = {
        "cancel_at_period_end": params.flag("cancel_at_period_end"),
        "default_payment_method": params.text("default_payment_method"),
        "metadata": params.metadata(),
    }
    params.choice("proration_behavior", ("none",))
    params.finish()
    return lambda tx: subscriptions.update(tx, tx.get("subscription", call.object_id), changes)


def _cancel_subscription(call: Call) -> Operation:
    for name in ("prorate", "invoice_now"):
        if call.params.flag(name):
            raise StripeError(f"The sandbox does not simulate {name}", param=name)
    call.params.finish()
    return lambda tx: subscriptions.end(tx, tx.get("subscription", call.object_id), "cancellation_requested")


def _list_subscriptions(call: Call) -> Operation:
    page = read_page(call.params)
    status = call.params.choice("status", STATUSES)
    where, values = equals(customer=call.params.text("customer"))
    call.params.finish()
    if status is None:
        where += " AND json_extract(body, '$.status') NOT IN ('canceled', 'incomplete_expired')"
    elif status == "ended":
        where += " AND json_extract(body, '$.status') IN ('canceled', 'incomplete_expired')"
    elif status != "all":
        where, values = f"{where} AND json_extract(body, '$.status') = ?", (*values, status)
    return lambda tx: tx.page("subscription", page, "/v1/subscriptions", where=where, values=values)


def _list_invoices(call: Call) -> Operation:
    page = read_page(call.params)
    subscription = call.params.text("subscription")
    where, values = equals(
        customer=call.params.text("customer"), status=call.params.choice("status", INVOICE_STATUSES)
    )
    call.params.finish()
    if subscription is not None:
        where += " AND json_extract(body, '$.parent.subscription_details.subscription') = ?"
        values = (*values, subscription)
    return lambda tx: tx.page("invoice", page, "/v1/invoices", where=where, values=values)


def _create_portal(call: Call) -> Operation:
    params = call.params
    customer_id = params.required_text("customer")
    return_url = params.text("return_url")
    params.text("configuration")
    locale = params.choice("locale", LOCALES)
    params.finish()

    def operation(tx: Transaction) -> Json:
        tx.get("customer", customer_id, param="customer", status=400)
        return portal.create(
            tx, customer_id, return_url=return_url, locale=locale, public_url=call.public_url
        )

    return operation


BILLING_ROUTES: tuple[Route, ...] = (
    Route("GET", "/v1/subscriptions", "subscriptions.list", _list_subscriptions),
    Route("GET", "/v1/subscriptions/{id}", "subscriptions.retrieve", retrieve("subscription")),
    Route("POST", "/v1/subscriptions/{id}", "subscriptions.update", _update_subscription),
    Route("DELETE", "/v1/subscriptions/{id}", "subscriptions.cancel", _cancel_subscription),
    Route("GET", "/v1/invoices", "invoices.list", _list_invoices),
    Route("GET", "/v1/invoices/{id}", "invoices.retrieve", retrieve("invoice")),
    Route("GET", "/v1/prices/{id}", "prices.retrieve", retrieve("price")),
    Route("GET", "/v1/products/{id}", "products.retrieve", retrieve("product")),
    Route("GET", "/v1/products", "products.list", listing("product", "/v1/products")),
    Route("POST", "/v1/billing_portal/sessions", "billing_portal.sessions.create", _create_portal),
)
