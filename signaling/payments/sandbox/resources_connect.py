"""The operations of accounts, their links, transfers and reversals. As `resources.py`."""

from . import connect, objects_connect
from .currencies import read_currency
from .errors import StripeError
from .params import Json, Params
from .routing import Call, Operation, Route, equals, listing, read_page, retrieve
from .store import Transaction

INCLUDABLE = (
    "configuration.customer",
    "configuration.merchant",
    "configuration.recipient",
    "defaults",
    "future_requirements",
    "identity",
    "requirements",
)
FEES_COLLECTORS = ("application", "application_custom", "application_express", "stripe")


def _read_include(params: Params) -> list[str]:
    include = params.texts("include")
    if not set(include) <= set(INCLUDABLE):
        raise StripeError(f"include is among {', '.join(INCLUDABLE)}", param="include")
    return include


def _create_account(call: Call) -> Operation:
    params = call.params
    include = _read_include(params)
    requested = _read_recipient(params)
    identity, defaults = params.group("identity"), params.group("defaults")
    duties = None if defaults is None else defaults.group("responsibilities")
    fields = {
        "contact_email": params.text("contact_email", chars_max=800),
        "display_name": params.text("display_name", chars_max=800),
        "dashboard": params.choice("dashboard", ("express", "full", "none")),
        "metadata": params.metadata(),
        "country": identity and identity.text("country", chars_max=2),
        "entity_type": identity and identity.choice("entity_type", ("company", "individual")),
        "currency": defaults and defaults.text("currency"),
        "fees_collector": duties and duties.choice("fees_collector", FEES_COLLECTORS),
        "losses_collector": duties and duties.choice("losses_collector", ("application", "stripe")),
    }
    for group in (identity, defaults, duties, params):
        if group is not None:
            group.finish()
    if fields["contact_email"] is None:
        raise params.missing("contact_email")
    return lambda tx: objects_connect.shown(connect.create_account(tx, fields, requested=requested), include)


def _read_recipient(params: Params) -> bool:
    """Whether transfers are asked for: the one capability that the sandbox simulates."""
    path = ("configuration", "recipient", "capabilities", "stripe_balance", "stripe_transfers")
    groups = [params]
    for step in path:
        group = groups[-1].group(step)
        if group is None:
            raise groups[-1].missing(step)
        groups.append(group)
    requested = groups[-1].flag("requested")
    for group in groups[1:]:
        group.finish()
    return requested is True


def _retrieve_account(call: Call) -> Operation:
    include = _read_include(call.params)
    call.params.finish()
    return lambda tx: objects_connect.shown(connect.find_account(tx, call.object_id), include)


def _create_link(call: Call) -> Operation:
    params = call.params
    account_id = params.required_text("account")
    case = params.group("use_case")
    if case is None:
        raise params.missing("use_case")
    kind = case.choice("type", ("account_onboarding", "account_update"))
    if kind is None:
        raise case.missing("type")
    details = case.group(kind)
    if details is None:
        raise case.missing(kind)
    use_case = {
        "type": kind,
        kind: {
            "collection_options": None,
            "refresh_url": details.required_text("refresh_url"),
            "return_url": details.text("return_url"),
        },
    }
    for group in (details, case, params):
        group.finish()
    return lambda tx: connect.create_link(tx, account_id, use_case, call.public_url)


def _create_transfer(call: Call) -> Operation:
    params = call.params
    fields = {
        "amount": params.required_integer("amount", low=1),
        "currency": read_currency(params),
        "description": params.text("description"),
        "destination": params.required_text("destination"),
        "metadata": params.metadata(),
        "source_transaction": params.text("source_transaction"),
        "transfer_group": params.text("transfer_group"),
    }
    params.choice("source_type", ("card",))
    params.finish()
    return lambda tx: connect.transfer(tx, fields)


def _create_reversal(call: Call) -> Operation:
    amount_minor = call.params.integer("amount", low=1)
    metadata = call.params.metadata()
    call.params.text("description")
    call.params.finish()
    return lambda tx: connect.reverse(
        tx, tx.get("transfer", call.object_id), amount_minor=amount_minor, metadata=metadata
    )


def _list_reversals(call: Call) -> Operation:
    page = read_page(call.params)
    call.params.finish()
    where, values = equals(transfer=call.object_id)
    url = f"/v1/transfers/{call.object_id}/reversals"

    def operation(tx: Transaction) -> Json:
        tx.get("transfer", call.object_id)
        return tx.page("transfer_reversal", page, url, where=where, values=values)

    return operation


CONNECT_ROUTES: tuple[Route, ...] = (
    Route("POST", "/v2/core/accounts", "v2.core.accounts.create", _create_account),
    Route("GET", "/v2/core/accounts/{id}", "v2.core.accounts.retrieve", _retrieve_account),
    Route("POST", "/v2/core/account_links", "v2.core.account_links.create", _create_link),
    Route("POST", "/v1/transfers", "transfers.create", _create_transfer),
    Route(
        "GET",
        "/v1/transfers",
        "transfers.list",
        listing("transfer", "/v1/transfers", "destination", "transfer_group"),
    ),
    Route("GET", "/v1/transfers/{id}", "transfers.retrieve", retrieve("transfer")),
    Route("POST", "/v1/transfers/{id}/reversals", "transfers.reversals.create", _create_reversal),
    Route("GET", "/v1/transfers/{id}/reversals", "transfers.reversals.list", _list_reversals),
)
