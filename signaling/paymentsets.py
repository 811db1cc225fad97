"""The payments of a server with one set of keys or two: who serves a request.

Each set is a `Payments` of its own, with its worker, sweeps and reconciliation, and each has its own instances of the
routes' handlers. A request is served by the set in whose books the row that it names is; one that names none says which
by `?mode=`, and means the main set without it. So nothing behind a route ever meets the other set's rows.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Literal

from aiohttp import web
from aiohttp.typedefs import Handler

from signaling.errors import ApiError
from signaling.payments.service import Payments
from signaling.stores.database import Transaction
from signaling.stores.schema import cards, orders, rooms, subscriptions
from signaling.stores.shelf import Books, books_of

WEBHOOK = "/stripe/webhook"
# Where a path names a row: its beginning, the name in it, and whose column that is.
ROWS: tuple[tuple[str, str, Any, str], ...] = (
    ("/api/rooms/{slug}/", "slug", rooms, "slug"),
    ("/api/host/rooms/{id}/", "id", rooms, "id"),
    ("/api/orders/{id}/", "id", orders, "id"),
    ("/api/admin/orders/{id}/", "id", orders, "id"),
    ("/api/me/subscriptions/{id}/", "id", subscriptions, "id"),
    ("/api/me/cards/{id}/", "id", cards, "payment_method_id"),
)


class PaymentSets:
    """The main set first. `routes` makes each set's handlers and puts the choice before them."""

    def __init__(self, sets: Sequence[Payments]) -> None:
        self.all = tuple(sets)
        self.main = self.all[0]

    @property
    def modes(self) -> list[str]:
        return [one.settings.mode for one in self.all]

    async def start(self) -> None:
        for one in self.all:
            await one.start()

    async def close(self) -> None:
        for one in self.all:
            await one.close()

    def of_books(self, books: Books | None) -> Payments:
        """Whoever keeps these; the main set for what nobody does."""
        for one in self.all:
            if (one.settings.mode, one.settings.account) == books:
                return one
        return self.main

    def of_mode(self, mode: str | None) -> Payments:
        """None: the main set. Raises ApiError 422 for a mode that this server has no keys for."""
        for one in self.all:
            if mode in {None, one.settings.mode}:
                return one
        raise ApiError(422, "invalid", "this server has no keys of that mode", field="mode")

    async def of_request(self, request: web.Request) -> Payments:
        """Whose request it is. Raises ApiError 422 `invalid`."""
        if len(self.all) == 1:
            return self.main
        row = _row_of(request)
        if row is None:
            return self.of_mode(request.query.get("mode"))
        async with self.main.ctx.db.read() as tx:
            return self.of_books(await _books(tx, request, row))

    async def mode_of_page(self, what: Literal["room", "order"], row_id: str) -> str | None:
        """Of a room or an order, for what its page says of money."""
        async with self.main.ctx.db.read() as tx:
            found = await books_of(tx, rooms if what == "room" else orders, "id", row_id)
        return None if found is None else found[0]

    def routes(self, make: Callable[[Payments], list[web.RouteDef]]) -> list[web.RouteDef]:
        """`make`: the routes of one set. The other sets' webhooks have addresses of their own."""
        made = [make(one) for one in self.all]
        if len(made) == 1:
            return made[0]
        found: list[web.RouteDef] = []
        for same in zip(*made, strict=True):
            if same[0].path == WEBHOOK:
                found += [same[0], *self._other_webhooks(same)]
            else:
                found.append(web.RouteDef(same[0].method, same[0].path, self._chosen(same), {}))
        return found

    def _other_webhooks(self, same: Sequence[web.RouteDef]) -> list[web.RouteDef]:
        pairs = zip(self.all[1:], same[1:], strict=True)
        return [web.post(f"{WEBHOOK}/{one.settings.mode}", route.handler) for one, route in pairs]

    def _chosen(self, same: Sequence[web.RouteDef]) -> Handler:
        handlers: dict[int, Any] = {id(one): route.handler for one, route in zip(self.all, same, strict=True)}

        async def choose(request: web.Request) -> web.StreamResponse:
            handler: Callable[[web.Request], Awaitable[web.StreamResponse]] = handlers[
                id(await self.of_request(request))
            ]
            return await handler(request)

        return choose


def row_of_path(path: str) -> tuple[str, Any, str] | None:
    """Which name in the path of a route names a row, and whose column it is; None: no row has books there."""
    for beginning, name, table, column in ROWS:
        if f"{path}/".startswith(beginning):
            return name, table, column
    return None


def _row_of(request: web.Request) -> tuple[str, Any, str] | None:
    resource = request.match_info.route.resource
    return None if resource is None else row_of_path(resource.canonical)


async def _books(tx: Transaction, request: web.Request, row: tuple[str, Any, str]) -> Books | None:
    name, table, column = row
    return await books_of(tx, table, column, request.match_info[name])
