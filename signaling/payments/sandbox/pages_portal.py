"""The billing portal's page and the JSON calls behind it. Whoever holds a session's link may act for its customer."""

from collections.abc import Callable
from pathlib import Path

from aiohttp import web

from . import portal
from .due import run_due
from .params import Json
from .serving import Answering, page_of, read_body
from .store import Store, Transaction


class PortalPages:
    def __init__(self, store: Store, web_dir: Path) -> None:
        self._store = store
        self._page = page_of(web_dir, "portal")

    def add_routes(self, app: web.Application) -> None:
        app.router.add_get("/portal/{key}", self._page)
        base = "/api/portal/{key}"
        app.router.add_get(base, self._doing(lambda _tx, _session, _body: None))
        app.router.add_post(f"{base}/cancel", self._doing(_cancel))
        app.router.add_post(f"{base}/resume", self._doing(_resume))
        app.router.add_post(f"{base}/card", self._doing(_card))

    def _doing(self, act: Callable[[Transaction, Json, Json], None]) -> Answering:
        async def handle(request: web.Request) -> web.StreamResponse:
            body = await read_body(request) if request.method == "POST" else {}

            def work(tx: Transaction) -> Json:
                run_due(tx)
                session = portal.opened(tx, request.match_info["key"])
                act(tx, session, body)
                return portal.view(tx, session)

            return web.json_response(await self._store.write(work))

        return handle


def _cancel(tx: Transaction, session: Json, body: Json) -> None:
    portal.set_cancel(tx, portal.own(tx, session, body.get("subscription")), cancels=True)


def _resume(tx: Transaction, session: Json, body: Json) -> None:
    portal.set_cancel(tx, portal.own(tx, session, body.get("subscription")), cancels=False)


def _card(tx: Transaction, session: Json, body: Json) -> None:
    subscription = portal.own(tx, session, body.get("subscription"))
    portal.change_card(tx, subscription, portal.chosen(body.get("card")))
