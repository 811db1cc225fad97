"""Subscriptions and their invoices: billed when they start, renewed period by period, given up when nobody pays.

trialing ──trial over──▶ active ──a renewal fails──▶ past_due ──paid later──▶ active
                         └──cancelled, or at the end of the period──▶ canceled ◀──three more tries fail──┘
"""

import calendar
from datetime import UTC, datetime, timedelta

from . import objects, objects_billing, payments
from .cards import DECLINED, Decline
from .errors import StripeError, missing
from .params import Json
from .store import Page, Transaction

TRIES_MAX = 4
RETRY_S = 3 * 86400
OVER = ("canceled", "incomplete_expired")
LIVE = ("trialing", "active", "past_due")
ALL = Page(limit=100)


def start(
    tx: Transaction,
    *,
    customer_id: str,
    lines: list[Json],
    data: Json,
    method_id: str,
    intent: Json | None,
) -> Json:
    """What a Checkout Session of mode subscription makes once its first payment (`intent`) is in; None with a trial."""
    subscription_id = tx.new_id("sub")
    trial_days = data.get("trial_days")
    until_s = tx.now_s + trial_days * 86400 if trial_days else _after(lines[0]["price"], tx.now_s, tx.now_s)
    items = [
        objects_billing.subscription_item(
            tx.new_id("si"),
            line["price"],
            subscription_id=subscription_id,
            quantity=line["quantity"],
            period=(tx.now_s, until_s),
            now_s=tx.now_s,
        )
        for line in lines
    ]
    made = objects_billing.subscription(
        subscription_id, items, customer_id=customer_id, method_id=method_id, now_s=tx.now_s
    )
    made.update(description=data.get("description"), metadata=data.get("metadata") or {})
    if trial_days:
        made.update(status="trialing", trial_start=tx.now_s, trial_end=until_s, billing_cycle_anchor=until_s)
    tx.insert(made, due_s=until_s)
    tx.emit("customer.subscription.created", made)
    invoice = _bill(tx, made, "subscription_create", free=bool(trial_days))
    if intent is not None:
        _link(tx, invoice, intent)
    _settle(tx, invoice, intent)
    return made


def advance(tx: Transaction, subscription: Json, *, fails: bool = False) -> Json:
    """Its period is over, or the time for another try has come. `fails`: the bank refuses this time, whatever the card."""
    if subscription["status"] in OVER:
        raise StripeError(f"This subscription is {subscription['status']} already")
    refused = DECLINED if fails else None
    if subscription["status"] == "past_due":
        return collect(tx, subscription, refused)
    if subscription["cancel_at_period_end"]:
        return end(tx, subscription, "cancellation_requested")
    began_s = period_of(subscription)[1]
    ends_s = _after(subscription["items"]["data"][0]["price"], began_s, subscription["billing_cycle_anchor"])
    for item in subscription["items"]["data"]:
        item.update(current_period_start=began_s, current_period_end=ends_s)
    if subscription["status"] == "trialing":
        subscription["status"] = "active"
    tx.update(subscription)
    tx.set_due(subscription["id"], ends_s)
    _bill(tx, subscription, "subscription_cycle")
    return collect(tx, subscription, refused)


def advance_due(tx: Transaction) -> int:
    """Renew, retry or end every subscription whose time has come, as often as it has; how many times that was."""
    times = 0
    while due := tx.due("subscription"):
        for subscription in due:
            advance(tx, subscription)
        times += len(due)
    return times


def period_of(subscription: Json) -> tuple[int, int]:
    item = subscription["items"]["data"][0]
    return item["current_period_start"], item["current_period_end"]


def collect(tx: Transaction, subscription: Json, refused: Decline | None = None) -> Json:
    """Charge the card kept for it with the newest invoice. `refused`: why the bank says no this time."""
    invoice = tx.get("invoice", subscription["latest_invoice"])
    if invoice["amount_due"] == 0:
        return _go_on(tx, subscription, invoice, None)
    intent = _intent_of(tx, subscription, invoice)
    method = tx.find(subscription["default_payment_method"] or "", "payment_method")
    if method is not None and method["customer"] == subscription["customer"]:
        intent = payments.attempt_kept(tx, intent, method, off_session=True, refused=refused)
    if intent["status"] == "succeeded":
        return _go_on(tx, subscription, invoice, intent)
    return _unpaid(tx, subscription, invoice, intent)


def _go_on(tx: Transaction, subscription: Json, invoice: Json, intent: Json | None) -> Json:
    _settle(tx, invoice, intent)
    subscription["status"] = "active"
    tx.set_due(subscription["id"], period_of(subscription)[1])
    tx.emit("customer.subscription.updated", tx.update(subscription))
    return subscription


def _unpaid(tx: Transaction, subscription: Json, invoice: Json, intent: Json) -> Json:
    tries = invoice["attempt_count"] + 1
    again_s = tx.now_s + RETRY_S if tries < TRIES_MAX else None
    invoice.update(
        attempt_count=tries,
        attempted=True,
        next_payment_attempt=again_s,
        auto_advance=again_s is not None,
    )
    tx.update(invoice)
    error = intent["last_payment_error"] or {}
    if error.get("code") == "authentication_required":
        tx.emit("invoice.payment_action_required", invoice)
    tx.emit("invoice.payment_failed", invoice)
    if again_s is None:
        return end(tx, subscription, "payment_failed")
    subscription["status"] = "past_due"
    tx.set_due(subscription["id"], again_s)
    tx.emit("customer.subscription.updated", tx.update(subscription))
    return subscription


def end(tx: Transaction, subscription: Json, reason: str) -> Json:
    """For good. Raises `resource_missing` when it is over already, as Stripe does."""
    if subscription["status"] in OVER:
        raise missing("subscription", subscription["id"])
    subscription.update(
        status="canceled",
        canceled_at=subscription["canceled_at"] or tx.now_s,
        ended_at=tx.now_s,
        cancellation_details={"comment": None, "feedback": None, "reason": reason},
    )
    tx.set_due(subscription["id"], None)
    tx.emit("customer.subscription.deleted", tx.update(subscription))
    return subscription


def set_cancel_at_period_end(tx: Transaction, subscription: Json, *, cancels: bool) -> None:
    subscription.update(
        cancel_at_period_end=cancels,
        cancel_at=period_of(subscription)[1] if cancels else None,
        canceled_at=tx.now_s if cancels else None,
        cancellation_details={
            "comment": None,
            "feedback": None,
            "reason": "cancellation_requested" if cancels else None,
        },
    )


def update(tx: Transaction, subscription: Json, changes: Json) -> Json:
    """`changes`: `cancel_at_period_end`, `metadata` (added), `default_payment_method`, each None to leave it."""
    if subscription["status"] in OVER:
        raise StripeError("A canceled subscription can only update its cancellation_details and metadata.")
    if changes["cancel_at_period_end"] is not None:
        set_cancel_at_period_end(tx, subscription, cancels=changes["cancel_at_period_end"])
    subscription["metadata"] |= changes["metadata"]
    method_id = changes["default_payment_method"]
    if method_id is not None:
        method = tx.get("payment_method", method_id, param="default_payment_method", status=400)
        if method["customer"] != subscription["customer"]:
            message = "The payment method must be attached to the subscription's customer."
            raise StripeError(message, param="default_payment_method")
        subscription["default_payment_method"] = method_id
    tx.emit("customer.subscription.updated", tx.update(subscription))
    return subscription


# --- invoices ---------------------------------------------------------------------------------------------


def _bill(tx: Transaction, subscription: Json, reason: str, *, free: bool = False) -> Json:
    """The invoice of the current period. `free`: of a trial."""
    invoice_id = tx.new_id("in")
    lines = [
        objects_billing.invoice_line(
            tx.new_id("il"),
            item,
            invoice_id=invoice_id,
            name=tx.get("product", item["price"]["product"])["name"],
            amount_minor=0 if free else item["price"]["unit_amount"] * item["quantity"],
            period=period_of(subscription),
        )
        for item in subscription["items"]["data"]
    ]
    customer = tx.get("customer", subscription["customer"])
    number = f"{customer['invoice_prefix']}-{customer['next_invoice_sequence']:04d}"
    customer["next_invoice_sequence"] += 1
    tx.update(customer)
    invoice = objects_billing.invoice(
        invoice_id, lines, subscription, reason=reason, number=number, now_s=tx.now_s
    )
    invoice.update(customer_email=customer["email"], customer_name=customer["name"])
    tx.insert(invoice)
    subscription["latest_invoice"] = invoice["id"]
    tx.update(subscription)
    tx.emit("invoice.created", invoice)
    tx.emit("invoice.finalized", invoice)
    return invoice


def _intent_of(tx: Transaction, subscription: Json, invoice: Json) -> Json:
    """The PaymentIntent of an invoice, the same for each try."""
    known = tx.hidden(invoice["id"]).get("intent")
    if known is not None:
        return tx.get("payment_intent", known)
    intent = objects.payment_intent(
        tx.new_id("pi"),
        amount_minor=invoice["amount_due"],
        currency=invoice["currency"],
        secret=tx.new_id("x")[2:],
        now_s=tx.now_s,
    )
    intent.update(customer=subscription["customer"], description="Subscription update")
    tx.emit("payment_intent.created", tx.insert(intent, hidden={"session": invoice["id"]}))
    _link(tx, invoice, intent)
    return intent


def _link(tx: Transaction, invoice: Json, intent: Json) -> None:
    tx.set_hidden(invoice["id"], {"intent": intent["id"]})
    tx.insert(objects_billing.invoice_payment(tx.new_id("inpay"), invoice, intent["id"], now_s=tx.now_s))


def payments_of(tx: Transaction, invoice_id: str) -> Json:
    where = "json_extract(body, '$.invoice') = ?"
    url = f"/v1/invoice_payments?invoice={invoice_id}"
    return tx.page("invoice_payment", ALL, url, where=where, values=(invoice_id,))


def _settle(tx: Transaction, invoice: Json, intent: Json | None) -> None:
    invoice.update(
        status="paid",
        amount_paid=invoice["amount_due"],
        amount_remaining=0,
        attempt_count=invoice["attempt_count"] + (intent is not None),
        attempted=True,
        auto_advance=False,
        next_payment_attempt=None,
    )
    invoice["status_transitions"]["paid_at"] = tx.now_s
    if intent is not None:
        for payment in payments_of(tx, invoice["id"])["data"]:
            payment.update(status="paid", amount_paid=invoice["amount_due"])
            payment["status_transitions"]["paid_at"] = tx.now_s
            tx.update(payment)
    tx.emit("invoice.paid", tx.update(invoice))
    tx.emit("invoice.payment_succeeded", invoice)


# --- the calendar -----------------------------------------------------------------------------------------


def _after(price: Json, from_s: int, anchor_s: int) -> int:
    """The end of a period that begins then. Months keep the anchor's day as far as they have it."""
    rhythm = price["recurring"]
    began, count = datetime.fromtimestamp(from_s, UTC), int(rhythm["interval_count"])
    if rhythm["interval"] in ("day", "week"):
        days = count * (7 if rhythm["interval"] == "week" else 1)
        return int((began + timedelta(days=days)).timestamp())
    months = began.year * 12 + began.month - 1 + count * (12 if rhythm["interval"] == "year" else 1)
    year, month = months // 12, months % 12 + 1
    day = min(datetime.fromtimestamp(anchor_s, UTC).day, calendar.monthrange(year, month)[1])
    return int(began.replace(year=year, month=month, day=day).timestamp())
