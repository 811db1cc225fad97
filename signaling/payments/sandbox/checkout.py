"""Checkout Sessions: from the request to open, complete or expired.

open ──pay──▶ complete (paid; unpaid while a hold or a debit is outstanding)
└──expire, or `expires_at`──▶ expired
"""

from dataclasses import dataclass, field
from urllib.parse import urlsplit

from . import methods, objects, payments
from .cards import Card
from .currencies import check_amount, read_currency
from .errors import StripeError
from .params import Json, Params
from .store import Transaction

EXPIRES_MIN_S = 30 * 60
EXPIRES_MAX_S = 24 * 3600
LINE_ITEMS_MAX = 100
SESSION_PLACEHOLDER = "{CHECKOUT_SESSION_ID}"
LOCALES = ("auto", "bg", "cs", "da", "de", "el", "en", "en-GB", "es", "es-419", "et", "fi", "fil", "fr", "fr-CA", "hi-IN",
           "hr", "hu", "id", "it", "ja", "ko", "lt", "lv", "ms", "mt", "nb", "nl", "pl", "pt", "pt-BR", "ro", "ru", "sk",
           "sl", "sv", "th", "tr", "vi", "zh", "zh-HK", "zh-TW")  # fmt: skip


@dataclass(frozen=True, slots=True)
class Line:
    name: str
    description: str | None
    currency: str
    unit_amount_minor: int
    quantity: int
    metadata: dict[str, str]


@dataclass(frozen=True, slots=True)
class CheckoutRequest:
    """A checked create request. `fields` go into the session as they are, `intent` into its PaymentIntent."""

    lines: tuple[Line, ...]
    ui_mode: str
    customer: str | None
    expires_at_s: int | None
    fields: Json = field(default_factory=dict)
    intent: Json = field(default_factory=dict)

    @property
    def total_minor(self) -> int:
        return sum(line.unit_amount_minor * line.quantity for line in self.lines)


def read_request(params: Params) -> CheckoutRequest:
    """Raises `StripeError` for anything missing, unknown, contradictory or not simulated."""
    mode = params.choice("mode", ("payment", "setup", "subscription"))
    if mode != "payment":
        raise StripeError("The sandbox simulates mode=payment only", param="mode")
    ui_mode = params.choice("ui_mode", ("hosted_page", "embedded_page")) or "hosted_page"
    request = CheckoutRequest(
        lines=_read_lines(params),
        ui_mode=ui_mode,
        customer=params.text("customer"),
        expires_at_s=params.integer("expires_at"),
        fields=_read_fields(params) | _read_ways_back(params, ui_mode),
        intent=_read_intent_data(params.group("payment_intent_data")),
    )
    params.finish()
    if request.customer and request.fields["customer_email"]:
        raise StripeError(
            "You may only specify one of these parameters: customer, customer_email.", param="customer"
        )
    check_amount(request.total_minor, request.lines[0].currency, param="line_items")
    return request


def _read_lines(params: Params) -> tuple[Line, ...]:
    lines = tuple(_read_line(group) for group in params.groups("line_items"))
    if not lines:
        raise params.missing("line_items")
    if len(lines) > LINE_ITEMS_MAX or len({line.currency for line in lines}) > 1:
        raise StripeError("At most 100 line items, all in one currency", param="line_items")
    return lines


def _read_line(params: Params) -> Line:
    data = params.group("price_data")
    if data is None:
        raise params.missing("price_data")
    product = data.group("product_data")
    if product is None:
        raise data.missing("product_data")
    line = Line(
        name=product.required_text("name", chars_max=250),
        description=product.text("description"),
        currency=read_currency(data),
        unit_amount_minor=data.required_integer("unit_amount", low=0),
        quantity=params.required_integer("quantity", low=1),
        metadata=product.metadata(),
    )
    data.choice("tax_behavior", ("exclusive", "inclusive", "unspecified"))
    product.texts("images")
    for group in (product, data, params):
        group.finish()
    return line


def _read_fields(params: Params) -> Json:
    types = params.texts("payment_method_types") or ["card"]
    if not set(types) <= {"card", "sepa_debit"}:
        raise StripeError("The sandbox simulates card and sepa_debit", param="payment_method_types")
    return {
        "adaptive_pricing": {"enabled": _read_disabled(params, "adaptive_pricing")},
        "allow_promotion_codes": params.flag("allow_promotion_codes"),
        "automatic_tax": {
            "enabled": _read_disabled(params, "automatic_tax"),
            "liability": None,
            "provider": None,
            "status": None,
        },
        "billing_address_collection": params.choice("billing_address_collection", ("auto", "required")),
        "client_reference_id": params.text("client_reference_id", chars_max=200),
        "customer_creation": params.choice("customer_creation", ("always", "if_required")) or "if_required",
        "customer_email": _read_email(params),
        "custom_text": _read_custom_text(params.group("custom_text")),
        "locale": params.choice("locale", LOCALES),
        "metadata": params.metadata(),
        "origin_context": params.choice("origin_context", ("mobile_app", "web")),
        "payment_method_types": types,
        "phone_number_collection": {"enabled": _read_disabled(params, "phone_number_collection")},
        "submit_type": params.choice("submit_type", ("auto", "book", "donate", "pay")),
    }


def _read_disabled(params: Params, key: str) -> bool:
    """A switch that may be passed, but only as off: what it turns on is not simulated."""
    group = params.group(key)
    if group is None:
        return False
    if group.flag("enabled"):
        raise StripeError(f"The sandbox does not simulate {key}", param=f"{key}[enabled]")
    group.finish()
    return False


def _read_email(params: Params) -> str | None:
    email = params.text("customer_email", chars_max=800)
    if email is not None and ("@" not in email[1:-1] or " " in email):
        raise StripeError(
            f"Invalid email address: {email[:80]}", code="email_invalid", param="customer_email"
        )
    return email


def _read_custom_text(params: Params | None) -> Json:
    keys = ("after_submit", "shipping_address", "submit", "terms_of_service_acceptance")
    text: Json = dict.fromkeys(keys)
    if params is None:
        return text
    for key in keys:
        group = params.group(key)
        if group is not None:
            text[key] = {"message": group.required_text("message", chars_max=1200)}
            group.finish()
    params.finish()
    return text


def _read_ways_back(params: Params, ui_mode: str) -> Json:
    success_url, cancel_url = _read_url(params, "success_url"), _read_url(params, "cancel_url")
    return_url = _read_url(params, "return_url")
    redirect = params.choice("redirect_on_completion", ("always", "if_required", "never"))
    if ui_mode == "hosted_page":
        _refuse_set("ui_mode=hosted_page", return_url=return_url, redirect_on_completion=redirect)
        if success_url is None:
            raise params.missing("success_url")
        return {"success_url": success_url, "cancel_url": cancel_url}
    _refuse_set("ui_mode=embedded_page", success_url=success_url, cancel_url=cancel_url)
    if redirect == "never":
        _refuse_set("redirect_on_completion=never", return_url=return_url)
    elif return_url is None:
        raise params.missing("return_url")
    return {"return_url": return_url, "redirect_on_completion": redirect or "always"}


def _refuse_set(beside: str, **values: str | None) -> None:
    for name, value in values.items():
        if value is not None:
            raise StripeError(f"`{name}` cannot be used with `{beside}`", param=name)


def _read_url(params: Params, key: str) -> str | None:
    url = params.text(key, chars_max=5000)
    if url is None:
        return None
    parts = urlsplit(url.replace(SESSION_PLACEHOLDER, "x"))
    if parts.scheme not in ("http", "https") or not parts.netloc:
        raise StripeError("Not a valid URL", code="url_invalid", param=key)
    return url


def _read_intent_data(params: Params | None) -> Json:
    if params is None:
        return {}
    data = {
        "capture_method": params.choice("capture_method", ("automatic", "automatic_async", "manual")),
        "description": params.text("description", chars_max=1000),
        "metadata": params.metadata(),
        "receipt_email": params.text("receipt_email", chars_max=800),
        "setup_future_usage": params.choice("setup_future_usage", ("off_session", "on_session")),
        "statement_descriptor": params.text("statement_descriptor", chars_max=22),
        "statement_descriptor_suffix": params.text("statement_descriptor_suffix", chars_max=22),
        "transfer_group": params.text("transfer_group", chars_max=500),
    }
    params.finish()
    return {name: value for name, value in data.items() if value is not None}


def create(tx: Transaction, request: CheckoutRequest, public_url: str) -> Json:
    session = objects.checkout_session(tx.new_id("cs_sandbox"), now_s=tx.now_s) | request.fields
    expires_at_s = _expiry(tx.now_s, request.expires_at_s)
    if request.customer is not None:
        tx.get("customer", request.customer, param="customer", status=400)
    session.update(
        amount_subtotal=request.total_minor,
        amount_total=request.total_minor,
        currency=request.lines[0].currency,
        customer=request.customer,
        customer_creation=None if request.customer else session["customer_creation"],
        expires_at=expires_at_s,
        ui_mode=request.ui_mode,
    )
    if request.ui_mode == "embedded_page":
        session["client_secret"] = tx.new_id(f"{session['id']}_secret")
    else:
        session["url"] = f"{public_url}/sandbox/checkout/{session['id']}"
    lines = [_add_line(tx, line) for line in request.lines]
    return tx.insert(session, hidden={"lines": lines, "intent": request.intent}, due_s=expires_at_s)


def _expiry(now_s: int, expires_at_s: int | None) -> int:
    if expires_at_s is None:
        return now_s + EXPIRES_MAX_S
    if not now_s + EXPIRES_MIN_S <= expires_at_s <= now_s + EXPIRES_MAX_S:
        message = "The `expires_at` timestamp must be 30 minutes to 24 hours after Checkout Session creation."
        raise StripeError(message, param="expires_at")
    return expires_at_s


def _add_line(tx: Transaction, line: Line) -> Json:
    product = objects.product(
        tx.new_id("prod"),
        name=line.name,
        description=line.description,
        metadata=line.metadata,
        now_s=tx.now_s,
    )
    price = objects.price(
        tx.new_id("price"),
        product_id=tx.insert(product)["id"],
        currency=line.currency,
        unit_amount_minor=line.unit_amount_minor,
        now_s=tx.now_s,
    )
    return objects.line_item(tx.new_id("li"), tx.insert(price), name=line.name, quantity=line.quantity)


def line_items(tx: Transaction, session_id: str) -> Json:
    lines = tx.hidden(session_id)["lines"]
    url = f"/v1/checkout/sessions/{session_id}/line_items"
    return {"object": "list", "data": lines, "has_more": False, "url": url}


def expire(tx: Transaction, session: Json) -> Json:
    """Close an open session for good, and cancel the PaymentIntent that an attempt may have left."""
    if session["status"] != "open":
        message = f'Only Checkout Sessions with a status in ["open"] can be expired. This one is {session["status"]}.'
        raise StripeError(message)
    if session["payment_intent"]:
        payments.cancel(tx, tx.get("payment_intent", session["payment_intent"]), "automatic")
    _close(tx, session, "expired")
    tx.emit("checkout.session.expired", session)
    return session


def expire_due(tx: Transaction) -> int:
    """Expire every open session whose time has come; how many there were."""
    due = tx.due("checkout.session")
    for session in due:
        expire(tx, session)
    return len(due)


def _close(tx: Transaction, session: Json, status: str) -> None:
    session.update(status=status, url=None)  # a link is answered only while it works
    tx.set_due(session["id"], None)
    tx.update(session)


def pay(tx: Transaction, session: Json, card: Card, *, email: str | None, name: str | None) -> Json:
    """The payer pressed Pay. Returns the PaymentIntent after the attempt (see `payments.attempt`)."""
    intent = _intent_of(tx, session)
    if intent["status"] != "requires_payment_method":
        intent.update(
            status="requires_payment_method", next_action=None
        )  # a challenge that was walked away from
    billing = {"email": session["customer_email"] or email, "name": name}
    tx.set_hidden(intent["id"], tx.hidden(intent["id"]) | {"billing": billing})
    intent = payments.attempt(tx, intent, card, billing)
    return _conclude(tx, session, intent, billing)


def answer_challenge(tx: Transaction, session: Json, *, approved: bool) -> Json:
    intent = _intent_of(tx, session)
    billing = tx.hidden(intent["id"]).get("billing", {})
    intent = payments.answer_challenge(tx, intent, approved=approved)
    return _conclude(tx, session, intent, billing)


def _intent_of(tx: Transaction, session: Json) -> Json:
    if session["payment_intent"]:
        return tx.get("payment_intent", session["payment_intent"])
    intent = objects.payment_intent(
        tx.new_id("pi"),
        amount_minor=session["amount_total"],
        currency=session["currency"],
        secret=tx.new_id("x")[2:],
        now_s=tx.now_s,
    )
    intent |= tx.hidden(session["id"])["intent"]
    intent.update(customer=session["customer"], payment_method_types=session["payment_method_types"])
    tx.insert(intent, hidden={"session": session["id"]})
    session["payment_intent"] = intent["id"]
    tx.update(session)
    tx.emit("payment_intent.created", intent)
    return intent


def _conclude(tx: Transaction, session: Json, intent: Json, billing: Json) -> Json:
    if intent["status"] not in ("succeeded", "requires_capture", "processing"):
        return intent
    session["customer_details"] = objects.customer_details(
        email=billing.get("email"), name=billing.get("name")
    )
    session["payment_status"] = "paid" if intent["status"] == "succeeded" else "unpaid"
    if session["customer_creation"] == "always" and session["customer"] is None:
        session["customer"] = _add_customer(tx, intent, billing)
    _close(tx, session, "complete")
    tx.emit("checkout.session.completed", session)
    return intent


def _add_customer(tx: Transaction, intent: Json, billing: Json) -> str:
    customer = objects.customer(tx.new_id("cus"), now_s=tx.now_s)
    customer.update(email=billing.get("email"), name=billing.get("name"))
    tx.emit("customer.created", tx.insert(customer))
    intent["customer"] = customer["id"]
    tx.update(intent)
    charge = tx.find(intent["latest_charge"] or "", "charge")
    if charge is not None:
        tx.update(charge | {"customer": customer["id"]})
    if intent["setup_future_usage"]:
        methods.attach(tx, tx.get("payment_method", intent["payment_method"]), customer["id"])
    return str(customer["id"])


def settle(tx: Transaction, session: Json, *, succeeds: bool) -> Json:
    """The late answer to a bank debit: `async_payment_succeeded` or `async_payment_failed`."""
    if session["status"] != "complete" or session["payment_status"] != "unpaid":
        raise StripeError("This session waits for no bank")
    intent = tx.get("payment_intent", session["payment_intent"])
    if intent["status"] != "processing":
        raise StripeError("This session waits for no bank")
    payments.settle(tx, intent, succeeds=succeeds)
    session["payment_status"] = "paid" if succeeds else "unpaid"
    tx.update(session)
    tx.emit("checkout.session.async_payment_" + ("succeeded" if succeeds else "failed"), session)
    return session


def captured(tx: Transaction, intent_id: str) -> None:
    """After a hold was captured, its session counts as paid."""
    for session in tx.find_by("checkout.session", "payment_intent", intent_id):
        session["payment_status"] = "paid"
        tx.update(session)
