"""What the tables of operations share: a call, a route, lists and single objects.

A handler reads all parameters first and refuses bad ones; what it returns runs later, inside the transaction.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import parse_qsl, urlencode

from .errors import StripeError
from .params import Json, Params
from .store import Page, Transaction

Operation = Callable[[Transaction], Json]


@dataclass(frozen=True, slots=True)
class Call:
    """One request: the id in its path (empty when there is none), its parameters, where pages are, its query as it was sent."""

    object_id: str
    params: Params
    public_url: str
    query: str = ""


Handler = Callable[[Call], Operation]


@dataclass(frozen=True, slots=True)
class Route:
    method: str
    path: str
    name: str
    handler: Handler


def equals(**fields: str | None) -> tuple[str, tuple[str, ...]]:
    """A condition on fields of the body. Their names come from the route table, the values are bound."""
    chosen = {name: value for name, value in fields.items() if value is not None}
    where = " AND ".join(f"json_extract(body, '$.{name}') = ?" for name in chosen) or "1"
    return where, tuple(chosen.values())


def read_page(params: Params) -> Page:
    return Page(
        limit=params.integer("limit", low=1, high=100) or 10,
        starting_after=params.text("starting_after"),
        ending_before=params.text("ending_before"),
        created=_read_created(params),
    )


def _read_created(params: Params) -> tuple[tuple[str, int], ...]:
    try:
        group = params.group("created")
    except StripeError:  # `created=1700000000`: exactly then
        raise StripeError("Pass created as a range, such as created[gte]", param="created") from None
    if group is None:
        return ()
    limits = [(name, group.integer(name)) for name in ("gt", "gte", "lt", "lte")]
    group.finish()
    return tuple((name, value) for name, value in limits if value is not None)


def retrieve(kind: str) -> Handler:
    def handler(call: Call) -> Operation:
        call.params.finish()
        return lambda tx: tx.get(kind, call.object_id)

    return handler


def listing(kind: str, url: str, *filters: str) -> Handler:
    def handler(call: Call) -> Operation:
        page = read_page(call.params)
        where, values = equals(**{name: call.params.text(name) for name in filters})
        call.params.finish()
        return lambda tx: tx.page(kind, page, url, where=where, values=values)

    return handler


def read_page_v2(params: Params) -> Page:
    """Lists of `/v2`: pages follow each other by address, times are texts."""
    group = params.group("created")
    created: list[tuple[str, int]] = []
    if group is not None:
        for name in ("gt", "gte", "lt", "lte"):
            text = group.text(name)
            if text is not None:
                created.append((name, _unix_s(text)))
        group.finish()
    return Page(
        limit=params.integer("limit", low=1, high=100) or 20,
        starting_after=params.text("page"),
        created=tuple(created),
    )


def _unix_s(text: str) -> int:
    try:
        return int(datetime.fromisoformat(text).timestamp())
    except ValueError:
        raise StripeError(f"Invalid timestamp: {text[:40]}", param="created") from None


def envelope_v2(found: Json, url: str) -> Json:
    """The list envelope of `/v2` for one of `/v1`; `url`: what was asked for, without its `page`."""
    following = None
    if found["has_more"]:
        path, _, query = url.partition("?")
        asked = [pair for pair in parse_qsl(query) if pair[0] != "page"]
        following = f"{path}?{urlencode([*asked, ('page', found['data'][-1]['id'])])}"
    return {"data": found["data"], "next_page_url": following, "previous_page_url": None}
