"""The narrow door to the payment service, in plain data: what the rest of this folder knows of Stripe."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any, Protocol

from metering.orders import PaymentFact


class OutcomeUnknownError(Exception):
    """The call may or may not have had an effect: look before doing anything else. `answered`: the service gave a
    failure as its answer (and may repeat it for the same idempotency key), rather than none at all."""

    def __init__(self, message: str, *, answered: bool = False) -> None:
        super().__init__(message)
        self.answered = answered


class RefusedByServiceError(Exception):
    """The service refused clearly: nothing happened. `code` is the service's."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code


class BadWebhookError(Exception):
    """A webhook that is not to be believed (`bad_signature`) or cannot be read (`bad_event`)."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, slots=True)
class RefundFact:
    """One refund as the service holds it. `reference`: our refund's id, None when made in the dashboard."""

    refund_id: str
    amount_minor: int
    currency: str
    status: str  # pending | requires_action | succeeded | failed | canceled
    created_s: int
    reference: str | None


@dataclass(frozen=True, slots=True)
class Checkout:
    """A Checkout Session, with its payment, refunds and dispute, as the service holds it now."""

    fact: PaymentFact
    url: str | None
    client_secret: str | None
    failure: str | None = None  # why the last card was declined
    refunds: tuple[RefundFact, ...] = ()


@dataclass(frozen=True, slots=True)
class ServiceEvent:
    """An event as received: a hint that something changed. `account` None: our own."""

    event_id: str
    type: str
    created_s: int
    livemode: bool
    account: str | None
    object: dict[str, Any]


class PaymentService(Protocol):
    """Every call raises OutcomeUnknownError or RefusedByServiceError and nothing else."""

    async def create_checkout(self, params: dict[str, Any], idempotency_key: str) -> Checkout: ...

    async def fetch_checkout(self, checkout_session_id: str) -> Checkout: ...

    async def expire_checkout(self, checkout_session_id: str) -> None: ...

    async def find_checkouts(self, order_id: str, created_from_s: int) -> list[Checkout]:
        """Every Checkout Session made since then whose reference is that order."""
        ...

    async def refund(self, params: dict[str, Any], idempotency_key: str) -> RefundFact: ...

    async def find_refund(self, payment_intent_id: str, reference: str) -> RefundFact | None:
        """The refund of that payment that carries our reference."""
        ...

    def events_since(self, created_from_s: int) -> AsyncIterator[ServiceEvent]:
        """The events we act on, newest first."""
        ...

    def verify_webhook(self, body: bytes, signature: str | None, now_s: float) -> ServiceEvent:
        """The event in a signed body. Raises BadWebhookError."""
        ...
