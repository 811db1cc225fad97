"""The operations of events, of either kind. As `resources.py`."""

from .errors import StripeError
from .params import Json
from .routing import Call, Operation, Route, envelope_v2, read_page, read_page_v2, retrieve
from .store import Page, Transaction

EVENTS_KEPT_S = 30 * 86400
EVENT_TYPES_MAX = 20


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


EVENT_ROUTES: tuple[Route, ...] = (
    Route("GET", "/v1/events", "events.list", _list_events),
    Route("GET", "/v1/events/{id}", "events.retrieve", retrieve("event")),
    Route("GET", "/v2/core/events", "v2.core.events.list", _list_thin_events),
    Route("GET", "/v2/core/events/{id}", "v2.core.events.retrieve", retrieve("v2.core.event")),
)
