"""Stripe through its SDK: the only importer of `stripe`. `stripeparse.py` reads the answers, into plain data.

An exception from the SDK says nothing about what happened at Stripe (a lost answer, a proxy's 502, a saved 500), so
all of them mean "outcome unknown" save Stripe's own clear refusals. The SDK's retries stay off: reconciliation
decides what to repeat.
"""

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from typing import Any, TypeVar, cast

import aiohttp
import stripe
from stripe import AIOHTTPClient, StripeClient, WebhookSignature

from metering.disputes import SeenDispute
from metering.orders import Mode
from signaling.payments import stripeparse as parse
from signaling.payments.eventtypes import ACCOUNT_EVENTS, EVENT_LISTINGS
from signaling.payments.port import (
    BadWebhookError,
    BalanceEntry,
    CardFact,
    ChargeFact,
    Checkout,
    ConnectedAccount,
    IntentFact,
    InvoiceFact,
    OutcomeUnknownError,
    RefundFact,
    RefusedByServiceError,
    ReversalFact,
    ServiceEvent,
    SetupFact,
    SubscriptionFact,
    TransferFact,
)

API_VERSION = "2026-10-28.endive"
TIMEOUT_S = 20.0
WEBHOOK_AGE_MAX_S = 300
PAGE = 100
LIST_MAX = 2000  # objects or events looked through in one listing
BALANCE_MAX = 200_000
EXPAND = ["payment_intent.latest_charge.balance_transaction", "setup_intent.payment_method"]
EXPAND_INTENT = ["latest_charge.balance_transaction"]
EXPAND_INTENTS = ["data.latest_charge.balance_transaction"]
INCLUDE = ["configuration.recipient", "identity", "requirements"]
_REFUSALS = (
    stripe.InvalidRequestError,
    stripe.CardError,
    # What the newer half of the interface refuses by name.
    stripe.BlockedByStripeError,
    stripe.CannotProceedError,
    stripe.CapabilityNotEnabledError,
    stripe.FeatureNotEnabledError,
)

T = TypeVar("T")
Json = dict[str, Any]


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
        self._read = parse.Reader(mode, account)
        # Stripe gives every destination of events its own: one for snapshots, one for those of the newer kind.
        self._webhook_secrets = [secret.strip() for secret in webhook_secret.split(",")]
        self._client = StripeClient(
            secret_key,
            stripe_version=API_VERSION,
            max_network_retries=0,
            http_client=AIOHTTPClient(session=http, timeout=timeout_s),
            base_addresses={"api": api_base} if api_base else None,
        )

    # --- Checkout Sessions --------------------------------------------------------------------------------

    async def create_checkout(self, params: dict[str, Any], idempotency_key: str) -> Checkout:
        call = self._client.v1.checkout.sessions.create_async(cast("Any", params), _key(idempotency_key))
        return _parsed(self._read.checkout, await _answer(call))

    async def fetch_checkout(self, checkout_session_id: str) -> Checkout:
        call = self._client.v1.checkout.sessions.retrieve_async(checkout_session_id, {"expand": EXPAND})
        session = _plain(await _answer(call))
        intent_id = parse.id_of(session.get("payment_intent")) or ""
        disputes, refunds = await self._taken_back(parse.charge_of(session), intent_id)
        return _read(lambda: self._read.checkout(session, disputes, refunds))

    async def expire_checkout(self, checkout_session_id: str) -> None:
        await _answer(self._client.v1.checkout.sessions.expire_async(checkout_session_id))

    async def find_checkouts(self, order_id: str, created_from_s: int) -> list[Checkout]:
        listing = _pages(self._client.v1.checkout.sessions.list_async, {"created": {"gte": created_from_s}})
        found = [one async for one in listing if one["client_reference_id"] == order_id]
        return [_parsed(self._read.checkout, one) for one in found]

    # --- customers and their cards ------------------------------------------------------------------------

    async def create_customer(self, params: dict[str, Any], idempotency_key: str) -> str:
        call = self._client.v1.customers.create_async(cast("Any", params), _key(idempotency_key))
        return _parsed(lambda customer: str(customer["id"]), await _answer(call))

    async def list_cards(self, customer_id: str) -> tuple[CardFact, ...]:
        params: Any = {"type": "card", "limit": PAGE}
        call = self._client.v1.customers.payment_methods.list_async(customer_id, params)
        return _parsed(lambda page: tuple(parse.card(one) for one in page["data"]), await _answer(call))

    async def detach_card(self, payment_method_id: str) -> None:
        await _answer(self._client.v1.payment_methods.detach_async(payment_method_id))

    async def fetch_setup(self, setup_intent_id: str) -> SetupFact:
        call = self._client.v1.setup_intents.retrieve_async(setup_intent_id, {"expand": ["payment_method"]})
        return _parsed(parse.setup_intent, await _answer(call))

    # --- PaymentIntents -----------------------------------------------------------------------------------

    async def create_intent(self, params: dict[str, Any], idempotency_key: str) -> IntentFact:
        expanded: Any = {**params, "expand": EXPAND_INTENT}
        call = self._client.v1.payment_intents.create_async(expanded, _key(idempotency_key))
        return _parsed(self._read.intent, await _answer(call))

    async def fetch_intent(self, payment_intent_id: str) -> IntentFact:
        call = self._client.v1.payment_intents.retrieve_async(payment_intent_id, {"expand": EXPAND_INTENT})
        intent = _plain(await _answer(call))
        disputes, refunds = await self._taken_back(parse.inner(intent, "latest_charge"), payment_intent_id)
        return _read(lambda: self._read.intent(intent, disputes, refunds))

    async def fetch_payment(self, payment_intent_id: str) -> Checkout:
        call = self._client.v1.payment_intents.retrieve_async(payment_intent_id, {"expand": EXPAND_INTENT})
        intent = _plain(await _answer(call))
        disputes, refunds = await self._taken_back(parse.inner(intent, "latest_charge"), payment_intent_id)
        return _read(lambda: self._read.payment(intent, disputes, refunds))

    async def confirm_intent(
        self, payment_intent_id: str, params: dict[str, Any], idempotency_key: str
    ) -> IntentFact:
        expanded: Any = {**params, "expand": EXPAND_INTENT}
        intents = self._client.v1.payment_intents
        call = intents.confirm_async(payment_intent_id, expanded, _key(idempotency_key))
        return _parsed(self._read.intent, await _answer(call))

    async def capture_intent(
        self, payment_intent_id: str, params: dict[str, Any], idempotency_key: str
    ) -> IntentFact:
        expanded: Any = {**params, "expand": EXPAND_INTENT}
        intents = self._client.v1.payment_intents
        call = intents.capture_async(payment_intent_id, expanded, _key(idempotency_key))
        return _parsed(self._read.intent, await _answer(call))

    async def cancel_intent(self, payment_intent_id: str, idempotency_key: str) -> IntentFact:
        intents = self._client.v1.payment_intents
        call = intents.cancel_async(payment_intent_id, {"expand": EXPAND_INTENT}, _key(idempotency_key))
        return _parsed(self._read.intent, await _answer(call))

    async def find_intents(self, reference: str, created_from_s: int) -> list[IntentFact]:
        params = {"created": {"gte": created_from_s}, "expand": EXPAND_INTENTS}
        listing = _pages(self._client.v1.payment_intents.list_async, params)
        found = [_parsed(self._read.intent, one) async for one in listing]
        return [intent for intent in found if intent.reference == reference]

    async def fetch_charge(self, charge_id: str) -> ChargeFact:
        call = self._client.v1.charges.retrieve_async(charge_id, {"expand": ["balance_transaction"]})
        return _parsed(parse.charge, await _answer(call))

    # --- refunds and disputes -----------------------------------------------------------------------------

    async def refund(self, params: dict[str, Any], idempotency_key: str) -> RefundFact:
        call = self._client.v1.refunds.create_async(cast("Any", params), _key(idempotency_key))
        return _parsed(parse.refund, await _answer(call))

    async def find_refund(self, payment_intent_id: str, reference: str) -> RefundFact | None:
        refunds = await self.list_refunds(payment_intent_id)
        return next((refund for refund in refunds if refund.reference == reference), None)

    async def list_refunds(self, payment_intent_id: str) -> tuple[RefundFact, ...]:
        call = self._client.v1.refunds.list_async({"payment_intent": payment_intent_id, "limit": PAGE})
        return _parsed(lambda page: tuple(parse.refund(one) for one in page["data"]), await _answer(call))

    async def _taken_back(
        self, charge: Json | None, payment_intent_id: str
    ) -> tuple[tuple[SeenDispute, ...], tuple[RefundFact, ...]]:
        """A charge's disputes and refunds: asked for only where the charge says that there are any."""
        if charge is None:
            return (), ()
        is_refunded = charge.get("amount_refunded") or charge.get("refunded")
        disputes = await self._disputes(payment_intent_id, charge) if charge.get("disputed") else ()
        return disputes, await self.list_refunds(payment_intent_id) if is_refunded else ()

    async def _disputes(self, payment_intent_id: str, charge: Json) -> tuple[SeenDispute, ...]:
        call = self._client.v1.disputes.list_async({"payment_intent": payment_intent_id, "limit": PAGE})
        return _parsed(lambda page: parse.disputes(page["data"], charge), await _answer(call))

    # --- subscriptions ------------------------------------------------------------------------------------

    async def fetch_subscription(self, subscription_id: str) -> SubscriptionFact:
        call = self._client.v1.subscriptions.retrieve_async(subscription_id)
        return _parsed(parse.subscription, await _answer(call))

    async def cancel_subscription(self, subscription_id: str, idempotency_key: str) -> SubscriptionFact:
        call = self._client.v1.subscriptions.cancel_async(
            subscription_id, {"prorate": False, "invoice_now": False}, _key(idempotency_key)
        )
        return _parsed(parse.subscription, await _answer(call))

    async def update_subscription(
        self, subscription_id: str, params: dict[str, Any], idempotency_key: str
    ) -> SubscriptionFact:
        subscriptions = self._client.v1.subscriptions
        call = subscriptions.update_async(subscription_id, cast("Any", params), _key(idempotency_key))
        return _parsed(parse.subscription, await _answer(call))

    async def list_invoices(self, subscription_id: str) -> list[InvoiceFact]:
        params = {"subscription": subscription_id, "expand": ["data.payments"]}
        listing = _pages(self._client.v1.invoices.list_async, params)
        return [_parsed(parse.invoice, one) async for one in listing]

    async def create_portal(self, params: dict[str, Any], idempotency_key: str) -> str:
        sessions = self._client.v1.billing_portal.sessions
        call = sessions.create_async(cast("Any", params), _key(idempotency_key))
        return _parsed(lambda portal: str(portal["url"]), await _answer(call))

    # --- connected accounts and transfers -----------------------------------------------------------------

    async def create_account(self, params: dict[str, Any], idempotency_key: str) -> ConnectedAccount:
        included: Any = {**params, "include": INCLUDE}
        call = self._client.v2.core.accounts.create_async(included, _key(idempotency_key))
        return _parsed(parse.account, await _answer(call))

    async def fetch_account(self, account_id: str) -> ConnectedAccount:
        include: Any = {"include": INCLUDE}
        return _parsed(
            parse.account, await _answer(self._client.v2.core.accounts.retrieve_async(account_id, include))
        )

    async def create_account_link(self, params: dict[str, Any], idempotency_key: str) -> str:
        links = self._client.v2.core.account_links
        call = links.create_async(cast("Any", params), _key(idempotency_key))
        return _parsed(lambda link: str(link["url"]), await _answer(call))

    async def create_transfer(self, params: dict[str, Any], idempotency_key: str) -> TransferFact:
        call = self._client.v1.transfers.create_async(cast("Any", params), _key(idempotency_key))
        return _parsed(parse.transfer, await _answer(call))

    async def fetch_transfer(self, transfer_id: str) -> TransferFact:
        return _parsed(parse.transfer, await _answer(self._client.v1.transfers.retrieve_async(transfer_id)))

    async def find_transfers(
        self, reference: str, created_from_s: int, transfer_group: str | None = None
    ) -> list[TransferFact]:
        group = {} if transfer_group is None else {"transfer_group": transfer_group}
        params = {"created": {"gte": created_from_s}, **group}
        listing = _pages(self._client.v1.transfers.list_async, params)
        found = [_parsed(parse.transfer, one) async for one in listing]
        return [transfer for transfer in found if transfer.reference == reference]

    async def reverse_transfer(
        self, transfer_id: str, params: dict[str, Any], idempotency_key: str
    ) -> ReversalFact:
        reversals = self._client.v1.transfers.reversals
        call = reversals.create_async(transfer_id, cast("Any", params), _key(idempotency_key))
        return _parsed(parse.reversal, await _answer(call))

    async def list_reversals(self, transfer_id: str) -> tuple[ReversalFact, ...]:
        call = self._client.v1.transfers.reversals.list_async(transfer_id, {"limit": PAGE})
        return _parsed(lambda page: tuple(parse.reversal(one) for one in page["data"]), await _answer(call))

    # --- what happened ------------------------------------------------------------------------------------

    async def balance_entries(self, created_from_s: int) -> AsyncIterator[BalanceEntry]:
        params = {"created": {"gte": created_from_s}, "expand": ["data.source"]}
        listing = _pages(self._client.v1.balance_transactions.list_async, params, at_most=BALANCE_MAX)
        async for one in listing:
            yield _parsed(parse.balance_entry, one)

    async def events_since(self, created_from_s: int) -> AsyncIterator[ServiceEvent]:
        for kinds in EVENT_LISTINGS:
            params = {"created": {"gte": created_from_s}, "types": list(kinds)}
            async for one in _pages(self._client.v1.events.list_async, params, complete=False):
                yield _parsed(parse.event, one)
        async for one in self._account_events(created_from_s):
            yield _parsed(parse.event, one)

    async def _account_events(self, created_from_s: int) -> AsyncIterator[Json]:
        since = datetime.fromtimestamp(created_from_s, UTC).isoformat().replace("+00:00", "Z")
        params: Any = {"created": {"gte": since}, "types": list(ACCOUNT_EVENTS), "limit": PAGE}
        try:
            page: Any = await _answer(self._client.v2.core.events.list_async(params))
        except RefusedByServiceError:
            return  # an account without Connect has none
        for _ in range(LIST_MAX // PAGE):
            for one in _plain(page)["data"]:
                yield one
            if page.next_page_url is None:
                return
            answer = await _answer(self._client.raw_request_async("get", page.next_page_url))
            page = self._client.deserialize(answer, api_mode="V2")

    def verify_webhook(self, body: bytes, signature: str | None, now_s: float) -> ServiceEvent:
        if not any(_is_signed(body, signature, secret) for secret in self._webhook_secrets):
            raise BadWebhookError("bad_signature", "the signature does not match")
        if abs(now_s - _signed_at_s(signature or "")) > WEBHOOK_AGE_MAX_S:
            raise BadWebhookError("bad_signature", "signed too long ago, or in the future")
        try:
            return parse.event(json.loads(body))
        except (ValueError, KeyError, TypeError):
            raise BadWebhookError("bad_event", "not an event") from None


def _is_signed(body: bytes, signature: str | None, secret: str) -> bool:
    try:
        # Without a tolerance: the SDK reads the machine's clock, ours is handed in.
        return bool(WebhookSignature.verify_header(body, signature, secret))
    except (stripe.SignatureVerificationError, UnicodeDecodeError):
        return False


def _key(idempotency_key: str) -> Any:
    return {"idempotency_key": idempotency_key}


async def _answer(call: Awaitable[T]) -> T:
    try:
        return await call
    except _REFUSALS as error:
        raise _refused(error) from error
    except stripe.StripeError as error:
        answered = (error.http_status or 0) >= 500  # noqa: PLR2004 - HTTP server errors
        raise OutcomeUnknownError(f"{type(error).__name__}: {error}"[:300], answered=answered) from error
    except Exception as error:
        # aiohttp's own errors escape the SDK: a body cut off, a connection reset, a time-out.
        raise OutcomeUnknownError(f"{type(error).__name__}: {error}"[:300]) from error


def _refused(error: stripe.StripeError) -> RefusedByServiceError:
    said: Any = error.json_body if isinstance(error.json_body, dict) else {}
    details: Any = said.get("error") or {}
    return RefusedByServiceError(
        str(error.code or getattr(error, "param", None) or "refused"),
        str(error.user_message or error)[:300],
        decline_code=details.get("decline_code"),
        payment_intent_id=parse.id_of(details.get("payment_intent")),
    )


async def _pages(
    call: Callable[[Any], Awaitable[Any]], params: Json, *, at_most: int = LIST_MAX, complete: bool = True
) -> AsyncIterator[Json]:
    """Every object of a listing, newest first. Raises OutcomeUnknownError where `complete` and there are more than
    `at_most`: what was not looked through may hold what is sought."""
    after: str | None = None
    for _ in range(at_most // PAGE):
        asked = {"limit": PAGE, **params, **({} if after is None else {"starting_after": after})}
        page = _plain(await _answer(call(asked)))
        for one in page["data"]:
            yield one
        if not page["has_more"]:
            return
        after = page["data"][-1]["id"]
    if complete:
        raise OutcomeUnknownError("more objects than one listing looks through")


def _parsed(reader: Callable[[Json], T], answer: Any) -> T:
    return _read(lambda: reader(answer if isinstance(answer, dict) else _plain(answer)))


def _read(read: Callable[[], T]) -> T:
    """Raises OutcomeUnknownError for an answer that is not what it should be."""
    try:
        return read()
    except (KeyError, TypeError, ValueError) as error:
        raise OutcomeUnknownError(f"an answer that we cannot read: {error!r}") from None


def _plain(answer: Any) -> Json:
    return cast("Json", answer.to_dict())  # a StripeObject is no dict


def _signed_at_s(signature: str) -> int:
    stamps = [part[2:] for part in signature.split(",") if part.startswith("t=")]
    return int(stamps[0])
