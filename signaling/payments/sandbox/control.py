"""The operator's side of the sandbox (`/_control/…`): fault switches, refunds, disputes, books, a small dashboard.

Loopback only, whoever listens: requests from elsewhere, and those for another host name (a web page that
rebinds its name to 127.0.0.1), get 403.
"""

import ipaddress
from collections.abc import Callable
from pathlib import Path
from typing import Any

from aiohttp import web

from . import checkout, connect, refunds, subscriptions, tax
from .books import book_of, books
from .errors import StripeError, missing
from .faults import API_FAULTS, EVENT_FAULTS, SWITCHES_MAX, Faults, Switch
from .params import Json
from .serving import Answering, page_of, read_body, refusals
from .store import Page, Store, Transaction
from .webhooks import Deliverer

RECENT = 100
TIMES_MAX = 10_000
DELAY_MAX_S = 600.0


class Control:
    def __init__(self, store: Store, faults: Faults, deliverer: Deliverer, web_dir: Path) -> None:
        self._store = store
        self._faults = faults
        self._deliverer = deliverer
        self._dashboard = page_of(web_dir, "dashboard")

    def app(self) -> web.Application:
        app = web.Application(middlewares=[_local_only, refusals], client_max_size=16 * 1024)
        app.router.add_get("/", self._dashboard)
        app.router.add_get("/books", self._reading(books))
        app.router.add_get("/payments", self._reading(_payments))
        app.router.add_get("/events", self._reading(_events))
        app.router.add_post("/faults", self._set_fault)
        app.router.add_post("/reset", self._reset)
        app.router.add_post("/resend", self._resend)
        app.router.add_post("/refund", self._doing(_refund))
        app.router.add_post("/fail_refund", self._doing(_fail_refund))
        app.router.add_post("/dispute", self._doing(_dispute))
        app.router.add_post("/expire_session", self._doing(_expire))
        app.router.add_post("/settle", self._doing(_settle))
        app.router.add_post("/tax", self._doing(lambda tx, body: tax.set_rate(tx, body.get("percent"))))
        app.router.add_post("/account", self._doing(_set_account))
        app.router.add_post("/pay_out", self._doing(_pay_out))
        app.router.add_post("/make_available", self._doing(_make_available))
        app.router.add_post("/advance_subscription", self._doing(_advance))
        return app

    def _reading(self, read: Callable[[Transaction], Json]) -> Answering:
        async def handle(_request: web.Request) -> web.StreamResponse:
            return web.json_response(await self._store.write(read))

        return handle

    def _doing(self, act: Callable[[Transaction, Json], Json]) -> Answering:
        async def handle(request: web.Request) -> web.StreamResponse:
            body = await read_body(request)
            return web.json_response(await self._store.write(lambda tx: act(tx, body)))

        return handle

    async def _set_fault(self, request: web.Request) -> web.StreamResponse:
        body = await read_body(request)
        switch, switches = self._read_switch(body)
        if len(switches) >= SWITCHES_MAX:
            raise StripeError("Too many faults are set; reset first", status=429)
        switches.append(switch)
        return web.json_response({"api": len(self._faults.api), "events": len(self._faults.events)})

    def _read_switch(self, body: Json) -> tuple[Switch, list[Switch]]:
        of_events = "events" in body
        kind = body.get("events") if of_events else body.get("fault")
        target = body.get("type", "*") if of_events else body.get("operation", "*")
        if kind not in (EVENT_FAULTS if of_events else API_FAULTS) or not isinstance(target, str):
            raise StripeError(f"fault is one of {API_FAULTS}, events one of {EVENT_FAULTS}", param="fault")
        switch = Switch(
            target=target,
            kind=str(kind),
            times=int(_number(body, "times", 1, TIMES_MAX)),
            delay_s=_number(body, "delay_s", 1.0, DELAY_MAX_S),
            effect=body.get("effect", False) is True,
        )
        return switch, self._faults.events if of_events else self._faults.api

    async def _reset(self, request: web.Request) -> web.StreamResponse:
        await read_body(request)
        self._faults.reset()
        return web.json_response({"api": 0, "events": 0})

    async def _resend(self, request: web.Request) -> web.StreamResponse:
        event_id = _required(await read_body(request), "event")
        await self._deliverer.resend(event_id)
        return web.json_response({"event": event_id})


def _number(body: Json, key: str, default: float, high: float) -> float:
    value = body.get(key, default)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= high:
        raise StripeError(f"{key} must be over 0 and at most {high}", param=key)
    return float(value)


def _required(body: Json, key: str) -> str:
    value = body.get(key)
    if not isinstance(value, str) or not value:
        raise StripeError(f"{key} is needed", param=key)
    return value


def _optional_amount(body: Json) -> int | None:
    value = body.get("amount_minor")
    if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value <= 0):
        raise StripeError("amount_minor must be a positive integer", param="amount_minor")
    return value


def _charge_of(tx: Transaction, body: Json) -> Json:
    """The charge that `charge`, `payment_intent` or `session` names."""
    if "charge" in body:
        return tx.get("charge", _required(body, "charge"))
    intent_id = body.get("payment_intent")
    if intent_id is None:
        intent_id = tx.get("checkout.session", _required(body, "session"))["payment_intent"]
    return refunds.charge_to_refund(tx, None, str(intent_id))


def _refund(tx: Transaction, body: Json) -> Json:
    charge = _charge_of(tx, body)
    return refunds.create(tx, charge, amount_minor=_optional_amount(body), reason=None, metadata={})


def _fail_refund(tx: Transaction, body: Json) -> Json:
    return refunds.fail(tx, tx.get("refund", _required(body, "refund")))


def _dispute(tx: Transaction, body: Json) -> Json:
    action = body.get("action", "open")
    if action == "open":
        reason = body.get("reason", "fraudulent")
        return refunds.open_dispute(
            tx, _charge_of(tx, body), amount_minor=_optional_amount(body), reason=str(reason)
        )
    if action == "reinstated":
        status = "won" if body.get("won", False) is True else "lost"
        found = _dispute_named(tx, body, "lost")
        return refunds.reinstate(tx, found, amount_minor=_optional_amount(body), status=status)
    if action not in ("won", "lost"):
        raise StripeError("action is open, won, lost or reinstated", param="action")
    found = _dispute_named(tx, body, "needs_response")
    return refunds.close_dispute(tx, found, won=action == "won", returned_minor=_optional_amount(body))


def _dispute_named(tx: Transaction, body: Json, status: str) -> Json:
    if "dispute" in body:
        return tx.get("dispute", _required(body, "dispute"))
    charge = _charge_of(tx, body)
    found = tx.find_by("dispute", "charge", charge["id"])
    if not found:
        raise missing("dispute", charge["id"])
    return next((one for one in found if one["status"] == status), found[0])


def _expire(tx: Transaction, body: Json) -> Json:
    return checkout.expire(tx, tx.get("checkout.session", _required(body, "session")))


def _settle(tx: Transaction, body: Json) -> Json:
    succeeds = body.get("outcome", "succeeded") == "succeeded"
    return checkout.settle(tx, tx.get("checkout.session", _required(body, "session")), succeeds=succeeds)


def _set_account(tx: Transaction, body: Json) -> Json:
    account = connect.find_account(tx, _required(body, "account"))
    return connect.set_status(tx, account, _required(body, "status"))


def _pay_out(tx: Transaction, body: Json) -> Json:
    return connect.pay_out(tx, connect.find_account(tx, _required(body, "account")))


def _make_available(tx: Transaction, _body: Json) -> Json:
    return {"made_available": connect.make_available(tx)}


def _advance(tx: Transaction, body: Json) -> Json:
    subscription = tx.get("subscription", _required(body, "subscription"))
    return subscriptions.advance(tx, subscription, fails=body.get("fails", False) is True)


def _payments(tx: Transaction) -> Json:
    sessions = tx.page("checkout.session", Page(limit=RECENT), "")["data"]
    return {"payments": [book_of(tx, session) | {"created": session["created"]} for session in sessions]}


def _events(tx: Transaction) -> Json:
    rows = tx.db.execute(
        "SELECT event_id, state, attempts, last_outcome FROM deliveries ORDER BY seq DESC LIMIT ?", (RECENT,)
    ).fetchall()
    return {"events": [_event_row(tx, *row) for row in rows]}


def _event_row(tx: Transaction, event_id: str, state: str, attempts: int, outcome: str | None) -> Json:
    event = tx.event(event_id)
    subject = event.get("related_object") or event["data"].get("object") or {"id": ""}
    return {
        "id": event_id,
        "type": event["type"],
        "created": tx.created_s(event_id),
        "subject": subject["id"],
        "state": state,
        "attempts": attempts,
        "last_outcome": outcome,
    }


@web.middleware
async def _local_only(request: web.Request, handler: Answering) -> web.StreamResponse:
    if not _is_loopback(request.remote or "") or not _is_loopback(_host_name(request.host)):
        raise web.HTTPForbidden(text="Only from this machine")
    return await handler(request)


def _host_name(host: str) -> str:
    name = host.rsplit("]", 1)[0].lstrip("[") if host.startswith("[") else host.rsplit(":", 1)[0]
    return "127.0.0.1" if name == "localhost" else name


def _is_loopback(address: Any) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False
