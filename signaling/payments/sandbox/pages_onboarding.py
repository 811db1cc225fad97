"""The page on which an expert tells who they are, rehearsed: what Stripe makes of it is picked from a list."""

from pathlib import Path

from aiohttp import web

from . import connect
from .due import run_due
from .errors import StripeError
from .params import Json
from .serving import page_of, read_body
from .store import Store, Transaction

# What the page's buttons stand for; None: left unfinished.
OUTCOMES = {"finish": "active", "check": "pending", "restrict": "restricted", "leave": None}


class OnboardingPages:
    def __init__(self, store: Store, web_dir: Path) -> None:
        self._store = store
        self._page = page_of(web_dir, "onboarding")

    def add_routes(self, app: web.Application) -> None:
        app.router.add_get("/onboarding/{key}", self._page)
        app.router.add_get("/api/onboarding/{key}", self._state)
        app.router.add_post("/api/onboarding/{key}", self._leave)

    async def _state(self, request: web.Request) -> web.StreamResponse:
        def view(tx: Transaction) -> Json:
            run_due(tx)
            link = connect.opened_link(tx, request.match_info["key"])
            account = connect.find_account(tx, link["account"])
            return {
                "usable": connect.is_usable(tx, link),
                "name": account["display_name"],
                "email": account["contact_email"],
                "country": account["identity"]["country"],
                "refresh_url": link["use_case"][link["use_case"]["type"]]["refresh_url"],
            }

        return web.json_response(await self._store.write(view))

    async def _leave(self, request: web.Request) -> web.StreamResponse:
        outcome = (await read_body(request)).get("outcome")
        if not isinstance(outcome, str) or outcome not in OUTCOMES:
            raise StripeError(f"outcome is one of {', '.join(OUTCOMES)}", param="outcome")

        def leave(tx: Transaction) -> Json:
            link = connect.opened_link(tx, request.match_info["key"])
            return {"return_url": connect.leave(tx, link, OUTCOMES[outcome])}

        return web.json_response(await self._store.write(leave))
