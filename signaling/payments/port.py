"""The narrow door to the payment service, in plain data: what the rest of this folder knows of Stripe."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any, Protocol

from metering.disputes import SeenDispute
from metering.orders import Mode, PaymentFact


class OutcomeUnknownError(Exception):
    """The call may or may not have had an effect: look before doing anything else. `answered`: the service gave a
    failure as its answer (and may repeat it for the same idempotency key), rather than none at all."""

    def __init__(self, message: str, *, answered: bool = False) -> None:
        super().__init__(message)
        self.answered = answered


class RefusedByServiceError(Exception):
    """The service refused clearly: nothing happened. `code` is the service's.

    A declined card leaves a PaymentIntent behind all the same: `payment_intent_id` names it, `decline_code` is the
    bank's finer word (`insufficient_funds`, `authentication_required`).
    """

    def __init__(
        self,
        code: str,
        message: str,
        *,
        decline_code: str | None = None,
        payment_intent_id: str | None = None,
    ) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.decline_code = decline_code
        self.payment_intent_id = payment_intent_id


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
    payment_intent_id: str | None = None


@dataclass(frozen=True, slots=True)
class CardFact:
    """A card as the service keeps it. `fingerprint`: the same for the same card number, whoever shows it."""

    payment_method_id: str
    fingerprint: str | None
    brand: str
    last4: str
    exp_month: int
    exp_year: int
    customer_id: str | None


@dataclass(frozen=True, slots=True)
class ChargeFact:
    """What a card was charged. `capture_before_s`: when a held amount lapses, None once captured. `fee_minor`: the
    service's own, in the currency of its balance; None until the money is booked."""

    charge_id: str
    payment_intent_id: str | None
    amount_minor: int
    captured_minor: int
    refunded_minor: int
    currency: str
    capture_before_s: int | None
    card: CardFact | None
    balance_transaction_id: str | None
    fee_minor: int | None


@dataclass(frozen=True, slots=True)
class IntentFact:
    """A PaymentIntent. `status` is the service's word: requires_payment_method, requires_confirmation,
    requires_action, processing, requires_capture, succeeded, canceled. `reference`: `metadata.reference`.
    `action_url`: where the payer confirms with the bank, when a `return_url` was given. `disputes` and `refunds` are there
    after `fetch_intent`."""

    payment_intent_id: str
    reference: str | None
    status: str
    amount_minor: int
    capturable_minor: int
    received_minor: int
    currency: str
    mode: Mode
    account: str
    client_secret: str | None
    failure: str | None  # why the last card was declined
    charge: ChargeFact | None
    action_url: str | None = None
    disputes: tuple[SeenDispute, ...] = ()
    refunds: tuple[RefundFact, ...] = ()


@dataclass(frozen=True, slots=True)
class SetupFact:
    """A card saved without a payment: a Checkout Session of mode setup (`reference` is its
    `client_reference_id`) or a SetupIntent (`metadata.reference`). `status` is the SetupIntent's word, or the
    session's while it has none; the card is there once it reads `succeeded`."""

    reference: str | None
    checkout_session_id: str | None
    status: str
    customer_id: str | None
    card: CardFact | None


@dataclass(frozen=True, slots=True)
class SubscriptionFact:
    """`reference`: `metadata.order_id`. `status`: trialing, active, past_due, unpaid, canceled, incomplete,
    incomplete_expired, paused. `amount_minor`: of one period."""

    subscription_id: str
    reference: str | None
    status: str
    customer_id: str
    current_period_end_s: int
    cancel_at_period_end: bool
    latest_invoice_id: str | None
    currency: str
    amount_minor: int


@dataclass(frozen=True, slots=True)
class InvoiceFact:
    """`status`: draft, open, paid, void, uncollectible. The period is the one that was billed."""

    invoice_id: str
    subscription_id: str | None
    status: str
    amount_paid_minor: int
    currency: str
    payment_intent_id: str | None
    period_start_s: int
    period_end_s: int
    created_s: int


@dataclass(frozen=True, slots=True)
class BalanceEntry:
    """One line of the service's own account of our money. `amount_minor` is signed, `net_minor` is what it did to the
    balance. `payment_intent_id`: of the charge, refund or dispute behind it. `source_minor`, `source_currency`: what that
    was itself, where the balance is kept in another currency. `transfer_id`: whose reversal it is."""

    id: str
    type: str  # charge | refund | refund_failure | adjustment | transfer | transfer_refund | …
    amount_minor: int
    fee_minor: int
    net_minor: int
    currency: str
    source_id: str | None
    created_s: int
    available_on_s: int
    payment_intent_id: str | None
    source_minor: int | None = None
    source_currency: str | None = None
    transfer_id: str | None = None


@dataclass(frozen=True, slots=True)
class ConnectedAccount:
    """An expert's account at the service. `reference`: `metadata.reference`. `transfers_status`: active, pending,
    restricted, rejected, unsupported, or `none` when transfers were never asked for."""

    account_id: str
    reference: str | None
    transfers_status: str
    requirements_due: tuple[str, ...]
    country: str | None
    email: str | None


@dataclass(frozen=True, slots=True)
class TransferFact:
    """Money sent to a connected account. `reference`: `metadata.reference`."""

    transfer_id: str
    reference: str | None
    amount_minor: int
    reversed_minor: int
    currency: str
    destination: str
    created_s: int


@dataclass(frozen=True, slots=True)
class ReversalFact:
    """Money taken back from a connected account. `reference`: `metadata.reference`."""

    reversal_id: str
    transfer_id: str
    amount_minor: int
    reference: str | None


@dataclass(frozen=True, slots=True)
class Checkout:
    """A Checkout Session, with its payment, refunds and disputes, as the service holds it now.

    `intent` is there after `fetch_checkout` once the payer has tried to pay; `setup` in mode setup;
    `subscription_id` in mode subscription once it is complete.
    """

    fact: PaymentFact
    url: str | None
    client_secret: str | None
    failure: str | None = None  # why the last card was declined
    refunds: tuple[RefundFact, ...] = ()
    intent: IntentFact | None = None
    setup: SetupFact | None = None
    subscription_id: str | None = None
    customer_id: str | None = None
    tax_minor: int = 0


@dataclass(frozen=True, slots=True)
class ServiceEvent:
    """An event as received: a hint that something changed. `account` None: our own.

    `object` is a snapshot, or for an event about a connected account only its `id` and `object` name.
    """

    event_id: str
    type: str
    created_s: int
    livemode: bool
    account: str | None
    object: dict[str, Any]


class PaymentService(Protocol):
    """Every call raises OutcomeUnknownError or RefusedByServiceError and nothing else.

    `params` are the service's own, complete; the caller stored them with the key before the call.
    """

    # --- Checkout Sessions --------------------------------------------------------------------------------

    async def create_checkout(self, params: dict[str, Any], idempotency_key: str) -> Checkout: ...

    async def fetch_checkout(self, checkout_session_id: str) -> Checkout: ...

    async def expire_checkout(self, checkout_session_id: str) -> None: ...

    async def find_checkouts(self, order_id: str, created_from_s: int) -> list[Checkout]:
        """Every Checkout Session made since then whose reference is that order."""
        ...

    # --- customers and their cards ------------------------------------------------------------------------

    async def create_customer(self, params: dict[str, Any], idempotency_key: str) -> str:
        """The customer's id."""
        ...

    async def list_cards(self, customer_id: str) -> tuple[CardFact, ...]: ...

    async def detach_card(self, payment_method_id: str) -> None:
        """Forget a saved card. One that is forgotten already is refused."""
        ...

    async def fetch_setup(self, setup_intent_id: str) -> SetupFact: ...

    # --- PaymentIntents -----------------------------------------------------------------------------------

    async def create_intent(self, params: dict[str, Any], idempotency_key: str) -> IntentFact:
        """With `confirm`, a declined card is refused; see RefusedByServiceError for what it leaves."""
        ...

    async def fetch_intent(self, payment_intent_id: str) -> IntentFact: ...

    async def fetch_payment(self, payment_intent_id: str) -> Checkout:
        """A payment that was made without a Checkout Session, with its refunds and disputes, told as if it had one: its
        session's id is the PaymentIntent's."""
        ...

    async def confirm_intent(
        self, payment_intent_id: str, params: dict[str, Any], idempotency_key: str
    ) -> IntentFact: ...

    async def capture_intent(
        self, payment_intent_id: str, params: dict[str, Any], idempotency_key: str
    ) -> IntentFact:
        """`amount_to_capture` in params: that much; the rest is released, without a refund."""
        ...

    async def cancel_intent(self, payment_intent_id: str, idempotency_key: str) -> IntentFact: ...

    async def find_intents(self, reference: str, created_from_s: int) -> list[IntentFact]:
        """Every PaymentIntent made since then whose `metadata.reference` is that one."""
        ...

    async def fetch_charge(self, charge_id: str) -> ChargeFact: ...

    # --- refunds ------------------------------------------------------------------------------------------

    async def refund(self, params: dict[str, Any], idempotency_key: str) -> RefundFact: ...

    async def find_refund(self, payment_intent_id: str, reference: str) -> RefundFact | None:
        """The refund of that payment that carries our reference."""
        ...

    async def list_refunds(self, payment_intent_id: str) -> tuple[RefundFact, ...]:
        """All refunds of that payment, those that failed too."""
        ...

    # --- subscriptions ------------------------------------------------------------------------------------

    async def fetch_subscription(self, subscription_id: str) -> SubscriptionFact: ...

    async def cancel_subscription(self, subscription_id: str, idempotency_key: str) -> SubscriptionFact:
        """At once, without a credit for the rest of the period."""
        ...

    async def update_subscription(
        self, subscription_id: str, params: dict[str, Any], idempotency_key: str
    ) -> SubscriptionFact: ...

    async def list_invoices(self, subscription_id: str) -> list[InvoiceFact]:
        """All of them, newest first."""
        ...

    async def create_portal(self, params: dict[str, Any], idempotency_key: str) -> str:
        """The address of a page where the customer changes card and subscription; it serves for a short while."""
        ...

    # --- connected accounts and transfers -----------------------------------------------------------------

    async def create_account(self, params: dict[str, Any], idempotency_key: str) -> ConnectedAccount: ...

    async def fetch_account(self, account_id: str) -> ConnectedAccount: ...

    async def create_account_link(self, params: dict[str, Any], idempotency_key: str) -> str:
        """The address of the onboarding; it works once, for a few minutes. A new link needs a new key."""
        ...

    async def create_transfer(self, params: dict[str, Any], idempotency_key: str) -> TransferFact: ...

    async def fetch_transfer(self, transfer_id: str) -> TransferFact: ...

    async def find_transfers(
        self, reference: str, created_from_s: int, transfer_group: str | None = None
    ) -> list[TransferFact]:
        """Every transfer made since then whose `metadata.reference` is that one; `transfer_group` narrows the search."""
        ...

    async def reverse_transfer(
        self, transfer_id: str, params: dict[str, Any], idempotency_key: str
    ) -> ReversalFact: ...

    async def list_reversals(self, transfer_id: str) -> tuple[ReversalFact, ...]: ...

    # --- what happened ------------------------------------------------------------------------------------

    def balance_entries(self, created_from_s: int) -> AsyncIterator[BalanceEntry]:
        """What moved our balance since then, newest first."""
        ...

    def events_since(self, created_from_s: int) -> AsyncIterator[ServiceEvent]:
        """The events we act on: newest first within a listing, of which there are several."""
        ...

    def verify_webhook(self, body: bytes, signature: str | None, now_s: float) -> ServiceEvent:
        """The event in a signed body. Raises BadWebhookError."""
        ...
