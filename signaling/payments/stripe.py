"""Stripe through its SDK: the only importer of `stripe`. Answers are parsed here once, into plain data.

An exception from the SDK says nothing about what happened at Stripe (a lost answer, a proxy's 502, a saved 500), so
all of them mean "outcome unknown" save Stripe's own clear refusals. The SDK's retries stay off: reconciliation
decides what to repeat.
"""

import json
from collections.abc import AsyncIterator, Awaitable
from typing import Any, TypeVar, cast

import aiohttp
import stripe
from stripe import AIOHTTPClient, StripeClient, WebhookSignature

from metering.orders import Dispute, Mode, PaymentFact
from signaling.payments.port import (
    BadWebhookError,
    Checkout,
    OutcomeUnknownError,
    RefundFact,
    RefusedByServiceError,
    ServiceEvent,
)

API_VERSION = "2026-10-28.endive"
TIMEOUT_S = 20.0
WEBHOOK_AGE_MAX_S = 300
PAGE = 100
LIST_MAX = 2000  # sessions or events looked through in one listing
EXPAND = ["payment_intent.latest_charge"]
# What we act on; at most 20 may be named in a listing.
EVENT_TYPES = (
    "checkout.session.completed",
    "checkout.session.expired",
    "checkout.session.async_payment_succeeded",
    "checkout.session.async_payment_failed",
    "payment_intent.succeeded",
    "payment_intent.payment_failed",
    "payment_intent.canceled",
    "charge.refunded",
    "charge.dispute.created",
    "charge.dispute.updated",
    "charge.dispute.closed",
    "charge.dispute.funds_reinstated",
    "charge.dispute.funds_withdrawn",
    "refund.created",
    "refund.updated",
    "refund.failed",
)
# An inquiry (`warning_*`) takes no money; the rest does until it is won.
_DISPUTES: dict[str, Dispute] = {
    "needs_response": "open",
    "under_review": "open",
    "lost": "lost",
    "won": "won",
}
_DISPUTE_ORDER: tuple[Dispute, ...] = ("lost", "open", "won")

T = TypeVar("T")


class StripePayments:
    """`PaymentService` over the SDK. `mode` and `account` say whose key this is; the session stays the caller's."""

    def __init__(
        self,
        secret_key: str,
        *,
        http: aiohttp.ClientSession,
        mode: Mode,
        account: str,
        webhook_secret: str,
        api_base: str | None = None,
        timeout_s: float = TIMEOUT_S,
    ) -> None:
        self._mode: Mode = mode
        self._account = account
        self._webhook_secret = webhook_secret
        self._client = StripeClient(
            secret_key,
            stripe_version=API_VERSION,
            max_network_retries=0,
            http_client=AIOHTTPClient(session=http, timeout=timeout_s),
            base_addresses={"api": api_base} if api_base else None,
        )

    # --- Checkout Sessions --------------------------------------------------------------------------------

    async def create_checkout(self, params: dict[str, Any], idempotency_key: str) -> Checkout:
        call = self._client.v1.checkout.sessions.create_async(
            cast("Any", params), {"idempotency_key": idempotency_key}
        )
        return self._checkout(_plain(await _answer(call)))

    async def fetch_checkout(self, checkout_session_id: str) -> Checkout:
        call = self._client.v1.checkout.sessions.retrieve_async(checkout_session_id, {"expand": EXPAND})
        session = _plain(await _answer(call))
        charge = _charge(session)
        dispute: Dispute = "none"
        refunds: tuple[RefundFact, ...] = ()
        if charge is not None and charge.get("disputed"):
            dispute = await self._dispute(_intent_id(session))
        if charge is not None and (charge.get("amount_refunded") or charge.get("refunded")):
            refunds = await self._refunds(_intent_id(session))
        return self._checkout(session, dispute, refunds)

    async def expire_checkout(self, checkout_session_id: str) -> None:
        await _answer(self._client.v1.checkout.sessions.expire_async(checkout_session_id))

    async def find_checkouts(self, order_id: str, created_from_s: int) -> list[Checkout]:
        found: list[Checkout] = []
        after: str | None = None
        for _ in range(LIST_MAX // PAGE):
            params: Any = {"limit": PAGE, "created": {"gte": created_from_s}}
            if after is not None:
                params["starting_after"] = after
            page = _plain(await _answer(self._client.v1.checkout.sessions.list_async(params)))
            sessions = page["data"]
            found += [self._checkout(one) for one in sessions if one["client_reference_id"] == order_id]
            if not page["has_more"]:
                return found
            after = sessions[-1]["id"]
        raise OutcomeUnknownError("more Checkout Sessions than one listing looks through")

    # --- refunds and disputes -----------------------------------------------------------------------------

    async def refund(self, params: dict[str, Any], idempotency_key: str) -> RefundFact:
        call = self._client.v1.refunds.create_async(cast("Any", params), {"idempotency_key": idempotency_key})
        return _refund(_plain(await _answer(call)))

    async def find_refund(self, payment_intent_id: str, reference: str) -> RefundFact | None:
        refunds = await self._refunds(payment_intent_id)
        return next((refund for refund in refunds if refund.reference == reference), None)

    async def _refunds(self, payment_intent_id: str) -> tuple[RefundFact, ...]:
        call = self._client.v1.refunds.list_async({"payment_intent": payment_intent_id, "limit": PAGE})
        return tuple(_refund(one) for one in _plain(await _answer(call))["data"])

    async def _dispute(self, payment_intent_id: str) -> Dispute:
        call = self._client.v1.disputes.list_async({"payment_intent": payment_intent_id, "limit": PAGE})
        states = {_DISPUTES.get(one["status"], "none") for one in _plain(await _answer(call))["data"]}
        return next((state for state in _DISPUTE_ORDER if state in states), "none")

    # --- events -------------------------------------------------------------------------------------------

    async def events_since(self, created_from_s: int) -> AsyncIterator[ServiceEvent]:
        after: str | None = None
        for _ in range(LIST_MAX // PAGE):
            params: Any = {"limit": PAGE, "created": {"gte": created_from_s}, "types": list(EVENT_TYPES)}
            if after is not None:
                params["starting_after"] = after
            page = _plain(await _answer(self._client.v1.events.list_async(params)))
            for one in page["data"]:
                yield _event(one)
            if not page["has_more"]:
                return
            after = page["data"][-1]["id"]

    def verify_webhook(self, body: bytes, signature: str | None, now_s: float) -> ServiceEvent:
        try:
            # Without a tolerance: the SDK reads the machine's clock, ours is handed in.
            WebhookSignature.verify_header(body, signature, self._webhook_secret)
        except (stripe.SignatureVerificationError, UnicodeDecodeError):
            raise BadWebhookError("bad_signature", "the signature does not match") from None
        if abs(now_s - _signed_at_s(signature or "")) > WEBHOOK_AGE_MAX_S:
            raise BadWebhookError("bad_signature", "signed too long ago, or in the future")
        try:
            return _event(json.loads(body))
        except (ValueError, KeyError, TypeError):
            raise BadWebhookError("bad_event", "not an event") from None

    # --- parsing ------------------------------------------------------------------------------------------

    def _checkout(
        self, session: dict[str, Any], dispute: Dispute = "none", refunds: tuple[RefundFact, ...] = ()
    ) -> Checkout:
        try:
            fact = self._fact(session, dispute)
        except (KeyError, TypeError) as error:
            raise OutcomeUnknownError(f"a Checkout Session that we cannot read: {error!r}") from None
        return Checkout(
            fact=fact,
            url=session.get("url"),
            client_secret=session.get("client_secret"),
            failure=_failure(session),
            refunds=refunds,
        )

    def _fact(self, session: dict[str, Any], dispute: Dispute) -> PaymentFact:
        intent, charge = _intent(session), _charge(session)
        return PaymentFact(
            reference=session["client_reference_id"],
            checkout_session_id=session["id"],
            amount_minor=_amount_minor(session),
            currency=session["currency"],
            mode=self._mode_of(livemode=session["livemode"]),
            account=self._account,
            session_status=session["status"],
            payment_status=session["payment_status"],
            intent_status=None if intent is None else intent["status"],
            refunded_minor=0 if charge is None else charge["amount_refunded"],
            dispute=dispute,
            payment_intent_id=_intent_id(session) or None,
        )

    def _mode_of(self, *, livemode: bool) -> Mode:
        if livemode:
            return "live"
        return "test" if self._mode == "live" else self._mode


async def _answer(call: Awaitable[T]) -> T:
    try:
        return await call
    except (stripe.InvalidRequestError, stripe.CardError) as error:
        raise RefusedByServiceError(_code(error), str(error.user_message or error)[:300]) from error
    except stripe.StripeError as error:
        answered = (error.http_status or 0) >= 500  # noqa: PLR2004 - HTTP server errors
        raise OutcomeUnknownError(f"{type(error).__name__}: {error}"[:300], answered=answered) from error
    except Exception as error:
        # aiohttp's own errors escape the SDK: a body cut off, a connection reset, a time-out.
        raise OutcomeUnknownError(f"{type(error).__name__}: {error}"[:300]) from error


def _code(error: stripe.StripeError) -> str:
    return str(error.code or getattr(error, "param", None) or "refused")


def _plain(answer: Any) -> dict[str, Any]:
    return cast("dict[str, Any]", answer.to_dict())  # a StripeObject is no dict


def _intent(session: dict[str, Any]) -> dict[str, Any] | None:
    intent = session.get("payment_intent")
    return intent if isinstance(intent, dict) else None


def _intent_id(session: dict[str, Any]) -> str:
    intent = session.get("payment_intent")
    return str(intent["id"] if isinstance(intent, dict) else intent or "")


def _charge(session: dict[str, Any]) -> dict[str, Any] | None:
    charge = (_intent(session) or {}).get("latest_charge")
    return charge if isinstance(charge, dict) else None


def _amount_minor(session: dict[str, Any]) -> int:
    """What was asked for, or what really came in once something did."""
    intent = _intent(session)
    if intent is not None and intent["status"] == "succeeded":
        return int(intent["amount_received"])
    return int(session["amount_total"])


def _failure(session: dict[str, Any]) -> str | None:
    error = (_intent(session) or {}).get("last_payment_error")
    if not isinstance(error, dict):
        return None
    return str(error.get("decline_code") or error.get("code") or "declined")[:64]


def _refund(refund: dict[str, Any]) -> RefundFact:
    return RefundFact(
        refund_id=refund["id"],
        amount_minor=refund["amount"],
        currency=refund["currency"],
        status=refund["status"] or "pending",
        created_s=refund["created"],
        reference=(refund.get("metadata") or {}).get("refund_id"),
    )


def _event(event: dict[str, Any]) -> ServiceEvent:
    inner = event["data"]["object"]
    if event["object"] != "event" or not isinstance(inner, dict) or not isinstance(event["id"], str):
        raise ValueError("not an event")
    return ServiceEvent(
        event_id=event["id"],
        type=str(event["type"]),
        created_s=int(event["created"]),
        livemode=bool(event["livemode"]),
        account=event.get("account"),
        object=inner,
    )


def _signed_at_s(signature: str) -> int:
    stamps = [part[2:] for part in signature.split(",") if part.startswith("t=")]
    return int(stamps[0])
