"""What a request for a Checkout Session says, checked, before anything is made of it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from .currencies import check_amount, read_currency
from .errors import StripeError
from .params import Json, Params

LINE_ITEMS_MAX = 100
TAXED: Json = {"enabled": True, "liability": {"type": "self"}, "provider": "stripe", "status": "complete"}
SESSION_PLACEHOLDER = "{CHECKOUT_SESSION_ID}"
LOCALES = ("auto", "bg", "cs", "da", "de", "el", "en", "en-GB", "es", "es-419", "et", "fi", "fil", "fr", "fr-CA", "hi-IN",
           "hr", "hu", "id", "it", "ja", "ko", "lt", "lv", "ms", "mt", "nb", "nl", "pl", "pt", "pt-BR", "ro", "ru", "sk",
           "sl", "sv", "th", "tr", "vi", "zh", "zh-HK", "zh-TW")  # fmt: skip


@dataclass(frozen=True, slots=True)
class Recurring:
    """How often a line of a subscription is billed: every `count` intervals (day, week, month or year)."""

    interval: str
    count: int


@dataclass(frozen=True, slots=True)
class Line:
    name: str
    description: str | None
    currency: str
    unit_amount_minor: int
    quantity: int
    metadata: dict[str, str]
    recurring: Recurring | None = None


@dataclass(frozen=True, slots=True)
class CheckoutRequest:
    """A checked create request. `fields` go into the session as they are, `intent` into its PaymentIntent (in mode setup
    its SetupIntent), `subscription` into its Subscription."""

    mode: str
    lines: tuple[Line, ...]
    ui_mode: str
    customer: str | None
    expires_at_s: int | None
    fields: Json = field(default_factory=dict)
    intent: Json = field(default_factory=dict)
    subscription: Json = field(default_factory=dict)
    currency: str | None = None

    @property
    def total_minor(self) -> int | None:
        """What is to be paid now: nothing before the end of a trial, and no amount at all where a card is only kept."""
        if self.mode == "setup":
            return None
        if self.subscription.get("trial_days"):
            return 0
        return sum(line.unit_amount_minor * line.quantity for line in self.lines)


def read_request(params: Params) -> CheckoutRequest:
    """Raises `StripeError` for anything missing, unknown, contradictory or not simulated."""
    mode = params.choice("mode", ("payment", "setup", "subscription"))
    if mode is None:
        raise params.missing("mode")
    ui_mode = params.choice("ui_mode", ("hosted_page", "embedded_page")) or "hosted_page"
    lines = () if mode == "setup" else _read_lines(params, mode)
    request = CheckoutRequest(
        mode=mode,
        lines=lines,
        ui_mode=ui_mode,
        customer=params.text("customer"),
        expires_at_s=params.integer("expires_at"),
        fields=_read_fields(params, mode) | _read_ways_back(params, ui_mode),
        intent=_READERS[mode](params),
        subscription=_read_subscription_data(params) if mode == "subscription" else {},
        currency=lines[0].currency if lines else _read_optional_currency(params),
    )
    params.finish()
    if request.customer and request.fields["customer_email"]:
        raise StripeError(
            "You may only specify one of these parameters: customer, customer_email.", param="customer"
        )
    if request.total_minor:
        check_amount(request.total_minor, lines[0].currency, param="line_items")
    elif mode == "payment":
        raise StripeError("The total amount must be over 0", code="amount_too_small", param="line_items")
    return request


def _read_optional_currency(params: Params) -> str | None:
    return read_currency(params) if params.has("currency") else None


def _read_lines(params: Params, mode: str) -> tuple[Line, ...]:
    lines = tuple(_read_line(group) for group in params.groups("line_items"))
    if not lines:
        raise params.missing("line_items")
    if len(lines) > LINE_ITEMS_MAX or len({line.currency for line in lines}) > 1:
        raise StripeError("At most 100 line items, all in one currency", param="line_items")
    rhythms = {line.recurring for line in lines}
    if mode == "payment" and rhythms != {None}:
        raise StripeError("You must use mode=subscription with recurring prices", param="line_items")
    if mode == "subscription" and (None in rhythms or len(rhythms) > 1):
        raise StripeError("The sandbox simulates recurring lines of one interval", param="line_items")
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
        recurring=_read_recurring(data.group("recurring")),
    )
    if data.choice("tax_behavior", ("exclusive", "inclusive", "unspecified")) == "exclusive":
        raise StripeError("The sandbox simulates prices with tax included", param=data.name("tax_behavior"))
    product.texts("images")
    for group in (product, data, params):
        group.finish()
    return line


def _read_recurring(params: Params | None) -> Recurring | None:
    if params is None:
        return None
    interval = params.choice("interval", ("day", "week", "month", "year"))
    if interval is None:
        raise params.missing("interval")
    count = params.integer("interval_count", low=1, high=365)
    params.choice("usage_type", ("licensed",))
    params.finish()
    return Recurring(interval, count or 1)


def _read_fields(params: Params, mode: str) -> Json:
    types = params.texts("payment_method_types") or ["card"]
    if not set(types) <= ({"card", "sepa_debit"} if mode == "payment" else {"card"}):
        raise StripeError(
            "The sandbox simulates card, and sepa_debit for payments", param="payment_method_types"
        )
    if mode == "subscription" and params.has("customer_creation"):
        message = "`customer_creation` can only be used in `payment` and `setup` mode."
        raise StripeError(message, param="customer_creation")
    return {
        "adaptive_pricing": {"enabled": _read_disabled(params, "adaptive_pricing")},
        "allow_promotion_codes": params.flag("allow_promotion_codes"),
        "automatic_tax": _read_tax(params, mode),
        "billing_address_collection": params.choice("billing_address_collection", ("auto", "required")),
        "client_reference_id": params.text("client_reference_id", chars_max=200),
        "customer_creation": params.choice("customer_creation", ("always", "if_required")) or "if_required",
        "customer_email": _read_email(params),
        "custom_text": _read_custom_text(params.group("custom_text")),
        "locale": params.choice("locale", LOCALES),
        "metadata": params.metadata(),
        "origin_context": params.choice("origin_context", ("mobile_app", "web")),
        "payment_method_collection": params.choice("payment_method_collection", ("always",)) or "always"
        if mode == "subscription"
        else "if_required",
        "payment_method_types": types,
        "phone_number_collection": {"enabled": _read_disabled(params, "phone_number_collection")},
        "submit_type": params.choice("submit_type", ("auto", "book", "donate", "pay", "subscribe")),
    }


def _read_tax(params: Params, mode: str) -> Json:
    off = {"enabled": False, "liability": None, "provider": None, "status": None}
    if mode != "payment":
        _read_disabled(params, "automatic_tax")
        return off
    group = params.group("automatic_tax")
    if group is None:
        return off
    enabled = group.flag("enabled")
    if enabled is None:
        raise group.missing("enabled")
    group.finish()
    return TAXED if enabled else off


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


def _read_setup_data(all_params: Params) -> Json:
    params = all_params.group("setup_intent_data")
    if params is None:
        return {}
    data = {"description": params.text("description", chars_max=1000), "metadata": params.metadata()}
    params.finish()
    return {name: value for name, value in data.items() if value}


def _read_subscription_data(all_params: Params) -> Json:
    params = all_params.group("subscription_data")
    if params is None:
        return {}
    data = {
        "description": params.text("description", chars_max=500),
        "metadata": params.metadata(),
        "trial_days": params.integer("trial_period_days", low=1, high=730),
    }
    params.finish()
    return data


def _read_intent_data(all_params: Params) -> Json:
    params = all_params.group("payment_intent_data")
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


_READERS: dict[str, Callable[[Params], Json]] = {
    "payment": _read_intent_data,
    "setup": _read_setup_data,
    "subscription": lambda _params: {},
}
