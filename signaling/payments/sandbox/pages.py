"""The pages a payer sees (`/sandbox/…`) and the JSON calls behind them.

Whoever holds a session's link may act on that session and no other: hosted sessions by their id (128 random
bits), embedded ones by their client secret only.
"""

from pathlib import Path
from typing import Literal

from aiohttp import web

from . import checkout, payments, setups
from .cards import Card, offered
from .checkoutrequest import SESSION_PLACEHOLDER
from .due import run_due
from .errors import StripeError
from .pages_onboarding import OnboardingPages
from .pages_portal import PortalPages
from .params import Json
from .serving import Answering, page_of, read_body, refusals
from .store import Store, Transaction

TEXT_CHARS_MAX = 200


class Pages:
    """Where one pays: routes relative to the place they are mounted at (`/sandbox`)."""

    def __init__(self, store: Store, web_dir: Path) -> None:
        self._store = store
        self._web_dir = web_dir
        self._portal = PortalPages(store, web_dir)
        self._onboarding = OnboardingPages(store, web_dir)

    def app(self) -> web.Application:
        app = web.Application(middlewares=[_private, refusals], client_max_size=16 * 1024)
        self._portal.add_routes(app)
        self._onboarding.add_routes(app)
        app.router.add_get("/checkout/{key}", page_of(self._web_dir, "checkout"))
        framed = page_of(self._web_dir, "checkout", "'self'")
        app.router.add_get("/embedded/{key}", framed)
        app.router.add_get("/authenticate/{key}", framed)
        app.router.add_get("/api/authenticate/{key}", self._bank_state)
        app.router.add_post("/api/authenticate/{key}/challenge", self._bank_answer)
        for place in ("checkout", "embedded"):
            base = f"/api/{place}/{{key}}"
            app.router.add_get(base, self._state)
            app.router.add_post(f"{base}/pay", self._pay)
            app.router.add_post(f"{base}/challenge", self._challenge)
        return app

    async def _state(self, request: web.Request) -> web.StreamResponse:
        return web.json_response(await self._store.write(lambda tx: _view(tx, _session(tx, request))))

    async def _pay(self, request: web.Request) -> web.StreamResponse:
        body = await read_body(request)
        email, name = _text(body, "email"), _text(body, "name")

        def pay(tx: Transaction) -> Json:
            session = _open_session(tx, request)
            card = _chosen(tx, session, body.get("card"))
            return _outcome(session, checkout.pay(tx, session, card, email=email, name=name))

        return web.json_response(await self._store.write(pay))

    async def _bank_state(self, request: web.Request) -> web.StreamResponse:
        view = await self._store.write(lambda tx: _bank_view(tx, _waiting(tx, request)))
        return web.json_response(view)

    async def _bank_answer(self, request: web.Request) -> web.StreamResponse:
        """The payer's answer to 3-D Secure for a card that was kept."""
        approved = _approved(await read_body(request))

        def answer(tx: Transaction) -> Json:
            thing = _waiting(tx, request)
            if thing["object"] == "setup_intent":
                return _bank_view(tx, setups.answer_challenge(tx, thing, approved=approved))
            return _bank_view(tx, payments.answer_challenge(tx, thing, approved=approved))

        return web.json_response(await self._store.write(answer))

    async def _challenge(self, request: web.Request) -> web.StreamResponse:
        approved = _approved(await read_body(request))

        def answer(tx: Transaction) -> Json:
            session = _open_session(tx, request)
            return _outcome(session, checkout.answer_challenge(tx, session, approved=approved))

        return web.json_response(await self._store.write(answer))


def _approved(body: Json) -> bool:
    approved = body.get("approved")
    if not isinstance(approved, bool):
        raise StripeError("approved must be true or false", param="approved")
    return approved


def _waiting(tx: Transaction, request: web.Request) -> Json:
    """The PaymentIntent or SetupIntent whose secret the payer holds; those of Checkout Sessions are answered on their own
    page."""
    run_due(tx)
    kind: Literal["payment_intent", "setup_intent"] = (
        "setup_intent" if request.match_info["key"].startswith("seti_") else "payment_intent"
    )
    found = tx.find_by(kind, "client_secret", request.match_info["key"])
    if not found or tx.hidden(found[0]["id"]).get("session"):
        raise StripeError("There is no such payment.", status=404, code="resource_missing")
    return found[0]


def _bank_view(tx: Transaction, intent: Json) -> Json:
    return {
        "id": intent["id"],
        "status": intent["status"],
        "amount_minor": intent.get("amount"),
        "currency": intent.get("currency"),
        "hold": intent.get("capture_method") == "manual",
        "return_url": payments.way_back(tx, intent),
    }


def _session(tx: Transaction, request: web.Request) -> Json:
    run_due(tx)
    key = request.match_info["key"]
    if "/embedded/" not in request.path:
        session = tx.find(key, "checkout.session")
        found = [session] if session is not None and session["ui_mode"] == "hosted_page" else []
    else:
        found = tx.find_by("checkout.session", "client_secret", key)
    if not found:
        raise StripeError("There is no such payment.", status=404, code="resource_missing")
    return found[0]


def _open_session(tx: Transaction, request: web.Request) -> Json:
    session = _session(tx, request)
    if session["status"] != "open":
        raise StripeError(
            f"This payment is {session['status']} already.", status=409, code=f"session_{session['status']}"
        )
    return session


def _offered(tx: Transaction, session: Json) -> list[Card]:
    saves = session["mode"] != "payment" or bool(tx.hidden(session["id"])["intent"].get("setup_future_usage"))
    return offered(session["payment_method_types"], saves=saves)


def _chosen(tx: Transaction, session: Json, name: object) -> Card:
    for card in _offered(tx, session):
        if card.name == name:
            return card
    raise StripeError("Pick one of the test cards", param="card")


def _view(tx: Transaction, session: Json) -> Json:
    thing = checkout.confirming(tx, session)
    lines = [
        {
            "name": line["description"],
            "description": tx.get("product", line["price"]["product"])["description"],
            "quantity": line["quantity"],
            "amount_minor": line["amount_total"],
            "interval": (line["price"]["recurring"] or {}).get("interval"),
            "interval_count": (line["price"]["recurring"] or {}).get("interval_count"),
        }
        for line in tx.hidden(session["id"])["lines"]
    ]
    cards = [
        {"name": card.name, "label": card.label, "hint": card.hint, "last4": card.last4}
        for card in _offered(tx, session)
    ]
    return {
        "id": session["id"],
        "mode": session["mode"],
        "trial_days": tx.hidden(session["id"]).get("subscription", {}).get("trial_days"),
        "status": session["status"],
        "payment_status": session["payment_status"],
        "challenge": thing is not None and thing["status"] == "requires_action",
        "amount_minor": session["amount_total"],
        "hold": tx.hidden(session["id"])["intent"].get("capture_method") == "manual",
        "currency": session["currency"],
        "lines": lines,
        "cards": cards,
        "email": session["customer_email"],
        "expires_at": session["expires_at"],
        "note": (session["custom_text"]["submit"] or {}).get("message"),
        "embedded": session["ui_mode"] == "embedded_page",
        "cancel_url": _with_id(session["cancel_url"], session),
        "return_url": _way_on(session) if session["status"] == "complete" else None,
    }


def _outcome(session: Json, intent: Json) -> Json:
    error = intent["last_setup_error" if intent["object"] == "setup_intent" else "last_payment_error"]
    if session["status"] == "complete":
        return {"state": "complete", "session_id": session["id"], "return_url": _way_on(session)}
    if intent["status"] == "requires_action":
        return {"state": "challenge"}
    return {
        "state": "declined",
        "code": error.get("decline_code") or error["code"],
        "message": error["message"],
    }


def _way_on(session: Json) -> str | None:
    """Where the payer goes after success; None for an embedded session that stays where it is."""
    if session["ui_mode"] == "hosted_page":
        return _with_id(session["success_url"], session)
    # No card of the sandbox needs a redirect, so `if_required` never does.
    return _with_id(session["return_url"], session) if session["redirect_on_completion"] == "always" else None


def _with_id(url: str | None, session: Json) -> str | None:
    return url.replace(SESSION_PLACEHOLDER, session["id"]) if url else None


def _text(body: Json, key: str) -> str | None:
    value = body.get(key)
    if value is None or value == "":
        return None
    if not isinstance(value, str) or len(value) > TEXT_CHARS_MAX:
        raise StripeError(f"{key} must be a short text", param=key)
    return value


@web.middleware
async def _private(request: web.Request, handler: Answering) -> web.StreamResponse:
    response = await handler(request)
    response.headers.setdefault("Cache-Control", "no-store")
    response.headers.setdefault("Referrer-Policy", "no-referrer")
    response.headers.setdefault("X-Content-Type-Options", "nosniff")
    return response
