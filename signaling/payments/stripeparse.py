"""Stripe's answers, already plain dictionaries, read into facts. Pure: no SDK, no clock, no network.

A reader raises KeyError, TypeError or ValueError for an answer that is not what it should be; `stripe.py` turns that
into "outcome unknown".
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal

from metering.disputes import DisputeState, SeenDispute
from metering.orders import Mode, PaymentFact
from signaling.payments.port import (
    BalanceEntry,
    CardFact,
    ChargeFact,
    Checkout,
    ConnectedAccount,
    IntentFact,
    InvoiceFact,
    RefundFact,
    ReversalFact,
    ServiceEvent,
    SetupFact,
    SubscriptionFact,
    TransferFact,
)

Json = dict[str, Any]

# An inquiry (`warning_*`) takes no money; the rest does until it is won.
DISPUTES: dict[str, DisputeState] = {
    "needs_response": "open",
    "under_review": "open",
    "lost": "lost",
    "won": "won",
}
DUE = ("currently_due", "past_due")
# How a PaymentIntent reads as a Checkout Session; one that wants another card has been declined and is over.
_SESSION_OF_INTENT: dict[str, Literal["open", "complete", "expired"]] = {
    "succeeded": "complete",
    "requires_capture": "complete",
    "requires_payment_method": "complete",
    "canceled": "expired",
}
FAILURE_CHARS_MAX = 64


class Reader:
    """Reads for one key: `mode` and `account` say whose it is."""

    def __init__(self, mode: Mode, account: str) -> None:
        self._mode: Mode = mode
        self._account = account

    def mode_of(self, *, livemode: bool) -> Mode:
        if livemode:
            return "live"
        return "test" if self._mode == "live" else self._mode

    def checkout(
        self, session: Json, disputes: tuple[SeenDispute, ...] = (), refunds: tuple[RefundFact, ...] = ()
    ) -> Checkout:
        intent = inner(session, "payment_intent")
        return Checkout(
            fact=self._fact(session, disputes),
            url=session.get("url"),
            client_secret=session.get("client_secret"),
            failure=None if intent is None else failure(intent),
            refunds=refunds,
            intent=None if intent is None else self.intent(intent),
            setup=_session_setup(session) if session.get("mode") == "setup" else None,
            subscription_id=id_of(session.get("subscription")),
            customer_id=id_of(session.get("customer")),
            tax_minor=int((session.get("total_details") or {}).get("amount_tax") or 0),
        )

    def _fact(self, session: Json, disputes: tuple[SeenDispute, ...]) -> PaymentFact:
        intent, charge = inner(session, "payment_intent"), charge_of(session)
        return PaymentFact(
            reference=session["client_reference_id"],
            checkout_session_id=session["id"],
            amount_minor=_amount_minor(session),
            currency=session["currency"] or "",  # a card saved without a payment has none
            mode=self.mode_of(livemode=session["livemode"]),
            account=self._account,
            session_status=session["status"],
            payment_status=session["payment_status"],
            intent_status=None if intent is None else intent["status"],
            refunded_minor=0 if charge is None else charge["amount_refunded"],
            disputes=disputes,
            payment_intent_id=id_of(session.get("payment_intent")),
        )

    def payment(
        self, intent: Json, disputes: tuple[SeenDispute, ...], refunds: tuple[RefundFact, ...]
    ) -> Checkout:
        """A PaymentIntent of its own, told as a Checkout Session would be."""
        fact, latest = self.intent(intent), inner(intent, "latest_charge")
        is_paid = fact.status == "succeeded"
        return Checkout(
            fact=PaymentFact(
                reference=fact.reference,
                checkout_session_id=fact.payment_intent_id,
                amount_minor=fact.received_minor if is_paid else fact.amount_minor,
                currency=fact.currency,
                mode=fact.mode,
                account=fact.account,
                session_status=_SESSION_OF_INTENT.get(fact.status, "open"),
                payment_status="paid" if is_paid else "unpaid",
                intent_status=fact.status,
                refunded_minor=0 if latest is None else latest["amount_refunded"],
                disputes=disputes,
                payment_intent_id=fact.payment_intent_id,
            ),
            url=fact.action_url,
            client_secret=fact.client_secret,
            failure=fact.failure,
            refunds=refunds,
            intent=fact,
        )

    def intent(
        self, intent: Json, disputes: tuple[SeenDispute, ...] = (), refunds: tuple[RefundFact, ...] = ()
    ) -> IntentFact:
        latest = inner(intent, "latest_charge")
        action = intent.get("next_action") or {}
        return IntentFact(
            payment_intent_id=intent["id"],
            reference=_reference(intent),
            status=intent["status"],
            amount_minor=intent["amount"],
            capturable_minor=intent["amount_capturable"],
            received_minor=intent["amount_received"],
            currency=intent["currency"],
            mode=self.mode_of(livemode=intent["livemode"]),
            account=self._account,
            client_secret=intent.get("client_secret"),
            failure=failure(intent),
            charge=None if latest is None else charge(latest),
            action_url=(action.get("redirect_to_url") or {}).get("url"),
            disputes=disputes,
            refunds=refunds,
        )


def inner(thing: Json, field: str) -> Json | None:
    """What a field holds when it was expanded, None when it holds an id or nothing."""
    value = thing.get(field)
    return value if isinstance(value, dict) else None


def id_of(value: Any) -> str | None:
    """The id, whether the field was expanded or not."""
    if isinstance(value, dict):
        return str(value["id"])
    return str(value) if value else None


def charge_of(session: Json) -> Json | None:
    return inner(inner(session, "payment_intent") or {}, "latest_charge")


def _amount_minor(session: Json) -> int:
    """What was asked for, or what really came in once something did."""
    intent = inner(session, "payment_intent")
    if intent is not None and intent["status"] == "succeeded":
        return int(intent["amount_received"])
    return int(session["amount_total"] or 0)


def failure(intent: Json) -> str | None:
    """Why the last card was declined."""
    error = intent.get("last_payment_error")
    if not isinstance(error, dict):
        return None
    return str(error.get("decline_code") or error.get("code") or "declined")[:FAILURE_CHARS_MAX]


def _reference(thing: Json, key: str = "reference") -> str | None:
    metadata: Mapping[str, str] = thing.get("metadata") or {}
    return metadata.get(key)


# --- cards and charges ------------------------------------------------------------------------------------


def card(method: Json) -> CardFact:
    """Of a PaymentMethod of type card."""
    return _card(method["card"], method["id"], id_of(method.get("customer")))


def _card(details: Json, method_id: str, customer_id: str | None) -> CardFact:
    return CardFact(
        payment_method_id=method_id,
        fingerprint=details.get("fingerprint"),
        brand=str(details["brand"] or "unknown"),
        last4=str(details["last4"] or ""),
        exp_month=int(details["exp_month"]),
        exp_year=int(details["exp_year"]),
        customer_id=customer_id,
    )


def charge(charge: Json) -> ChargeFact:
    details = (charge.get("payment_method_details") or {}).get("card")
    booked = inner(charge, "balance_transaction")
    method_id = charge.get("payment_method")
    customer_id = id_of(charge.get("customer"))
    return ChargeFact(
        charge_id=charge["id"],
        payment_intent_id=id_of(charge.get("payment_intent")),
        amount_minor=charge["amount"],
        captured_minor=charge["amount_captured"],
        refunded_minor=charge["amount_refunded"],
        currency=charge["currency"],
        capture_before_s=None if charge["captured"] or not details else details.get("capture_before"),
        card=_card(details, method_id, customer_id) if details and method_id else None,
        balance_transaction_id=id_of(charge.get("balance_transaction")),
        fee_minor=None if booked is None else int(booked["fee"]),
    )


def refund(refund: Json) -> RefundFact:
    return RefundFact(
        refund_id=refund["id"],
        amount_minor=refund["amount"],
        currency=refund["currency"],
        status=refund["status"] or "pending",
        created_s=refund["created"],
        reference=_reference(refund, "refund_id"),
        payment_intent_id=id_of(refund.get("payment_intent")),
    )


def disputes(found: list[Json], charge: Json) -> tuple[SeenDispute, ...]:
    """Those of a charge that take money, in the charge's currency. One in another currency is about the whole of it."""
    return tuple(_dispute(one, charge) for one in found if one["status"] in DISPUTES)


def _dispute(dispute: Json, charge: Json) -> SeenDispute:
    is_alike = dispute["currency"] == charge["currency"]
    amount_minor = int(dispute["amount"] if is_alike else charge["amount_captured"])
    state = DISPUTES[dispute["status"]]
    if state == "won":
        return SeenDispute(dispute["id"], state, amount_minor, returned_minor=amount_minor)
    lost_minor, returned_minor = _outcome(dispute, charge, amount_minor) if state == "lost" else (0, 0)
    return SeenDispute(dispute["id"], state, amount_minor, lost_minor, returned_minor)


def _outcome(dispute: Json, charge: Json, amount_minor: int) -> tuple[int, int]:
    """Of a lost one, what was withdrawn and not reinstated, and what was: it may be won in part, or later, and neither its
    amount nor its status says so. Unless the account's balance is in another currency."""
    booked = dispute.get("balance_transactions") or []
    if not booked or any(entry["currency"] != charge["currency"] for entry in booked):
        return amount_minor, 0
    amounts = [int(entry["amount"]) for entry in booked]
    return max(0, -sum(amounts)), sum(one for one in amounts if one > 0)


def _session_setup(session: Json) -> SetupFact:
    setup = inner(session, "setup_intent")
    found = None if setup is None else setup_intent(setup)
    return SetupFact(
        reference=session["client_reference_id"],
        checkout_session_id=session["id"],
        status=session["status"] if found is None else found.status,
        customer_id=id_of(session.get("customer")) or (found.customer_id if found else None),
        card=None if found is None else found.card,
    )


def setup_intent(setup: Json) -> SetupFact:
    method = inner(setup, "payment_method")
    saved = method is not None and method.get("type") == "card"
    return SetupFact(
        reference=_reference(setup),
        checkout_session_id=None,
        status=setup["status"],
        customer_id=id_of(setup.get("customer")),
        card=card(method) if method is not None and saved else None,
    )


# --- subscriptions ----------------------------------------------------------------------------------------


def subscription(subscription: Json) -> SubscriptionFact:
    items = subscription["items"]["data"]
    return SubscriptionFact(
        subscription_id=subscription["id"],
        reference=_reference(subscription, "order_id"),
        status=subscription["status"],
        customer_id=id_of(subscription["customer"]) or "",
        current_period_end_s=max(item["current_period_end"] for item in items),
        cancel_at_period_end=subscription["cancel_at_period_end"],
        latest_invoice_id=id_of(subscription.get("latest_invoice")),
        currency=subscription["currency"],
        amount_minor=sum((item["price"]["unit_amount"] or 0) * (item.get("quantity") or 1) for item in items),
    )


def invoice(invoice: Json) -> InvoiceFact:
    # The invoice's own period looks back (usage billed after the fact); its lines carry what was bought.
    periods = [line["period"] for line in invoice["lines"]["data"]]
    parent = (invoice.get("parent") or {}).get("subscription_details") or {}
    return InvoiceFact(
        invoice_id=invoice["id"],
        subscription_id=id_of(parent.get("subscription")),
        status=invoice["status"] or "draft",
        amount_paid_minor=invoice["amount_paid"],
        currency=invoice["currency"],
        payment_intent_id=_invoice_intent(invoice),
        period_start_s=min((one["start"] for one in periods), default=invoice["period_start"]),
        period_end_s=max((one["end"] for one in periods), default=invoice["period_end"]),
        created_s=invoice["created"],
    )


def _invoice_intent(invoice: Json) -> str | None:
    payments = (invoice.get("payments") or {}).get("data", [])
    intents = [id_of(one["payment"].get("payment_intent")) for one in payments]
    return next((intent for intent in intents if intent), None)


# --- connected accounts and transfers ---------------------------------------------------------------------


def account(account: Json) -> ConnectedAccount:
    return ConnectedAccount(
        account_id=account["id"],
        reference=_reference(account),
        transfers_status=_transfers_status(account),
        requirements_due=_requirements_due(account),
        country=(account.get("identity") or {}).get("country"),
        email=account.get("contact_email"),
    )


def _transfers_status(account: Json) -> str:
    node: Any = account
    for step in ("configuration", "recipient", "capabilities", "stripe_balance", "stripe_transfers"):
        node = (node or {}).get(step)
    return str(node["status"]) if node else "none"


def _requirements_due(account: Json) -> tuple[str, ...]:
    entries = (account.get("requirements") or {}).get("entries") or []
    return tuple(
        entry["description"]
        for entry in entries
        if entry["awaiting_action_from"] == "user" and entry["minimum_deadline"]["status"] in DUE
    )


def transfer(transfer: Json) -> TransferFact:
    return TransferFact(
        transfer_id=transfer["id"],
        reference=_reference(transfer),
        amount_minor=transfer["amount"],
        reversed_minor=transfer["amount_reversed"],
        currency=transfer["currency"],
        destination=id_of(transfer["destination"]) or "",
        created_s=transfer["created"],
    )


def reversal(reversal: Json) -> ReversalFact:
    return ReversalFact(
        reversal_id=reversal["id"],
        transfer_id=id_of(reversal["transfer"]) or "",
        amount_minor=reversal["amount"],
        reference=_reference(reversal),
    )


# --- what happened ----------------------------------------------------------------------------------------


def balance_entry(entry: Json) -> BalanceEntry:
    source = inner(entry, "source")
    minor, currency = (None, None) if source is None else _of_source(entry, source)
    return BalanceEntry(
        id=entry["id"],
        type=entry["type"],
        amount_minor=entry["amount"],
        fee_minor=entry["fee"],
        net_minor=entry["net"],
        currency=entry["currency"],
        source_id=id_of(entry.get("source")),
        created_s=entry["created"],
        available_on_s=entry["available_on"],
        payment_intent_id=None if source is None else id_of(source.get("payment_intent")),
        source_minor=minor,
        source_currency=currency,
        transfer_id=None if source is None else id_of(source.get("transfer")),
    )


def _of_source(entry: Json, source: Json) -> tuple[int | None, str | None]:
    """What a charge or refund was in its own currency, where that is not the balance's. Disputes are not converted: what
    is reinstated of one is not in its amount."""
    if source.get("object") not in {"charge", "refund"} or source["currency"] == entry["currency"]:
        return None, None
    minor = source["amount_captured"] if source["object"] == "charge" else source["amount"]
    return int(minor), str(source["currency"])


def event(event: Json) -> ServiceEvent:
    """Raises for what is no event. One of the newer kind carries no snapshot, only whom it is about."""
    kind = event["object"]
    if kind not in ("event", "v2.core.event") or not isinstance(event["id"], str):
        raise ValueError("not an event")
    thin = kind == "v2.core.event"
    return ServiceEvent(
        event_id=event["id"],
        type=str(event["type"]),
        created_s=unix_s(event["created"]) if thin else int(event["created"]),
        livemode=bool(event["livemode"]),
        account=None if thin else event.get("account"),
        object=_related(event) if thin else _snapshot(event),
    )


def _snapshot(event: Json) -> Json:
    found = event["data"]["object"]
    if not isinstance(found, dict):
        raise TypeError("not an event")
    return found


def _related(event: Json) -> Json:
    related = event.get("related_object") or {}
    return {"id": str(related.get("id", "")), "object": str(related.get("type", ""))}


def unix_s(text: str) -> int:
    """Of a time as the newer half of Stripe's interface writes it (RFC 3339). Raises ValueError."""
    return int(datetime.fromisoformat(text).timestamp())
