"""Refunds and disputes: money that goes back, by the merchant's wish or by the bank's."""

from . import objects
from .errors import StripeError, missing, unexpected_state
from .params import Json
from .payments import book
from .store import Transaction

DISPUTE_FEE_MINOR = 1500
REASONS = ("duplicate", "fraudulent", "requested_by_customer")


def charge_to_refund(tx: Transaction, charge_id: str | None, intent_id: str | None) -> Json:
    if charge_id is None and intent_id is None:
        message = "One of the following params should be provided for this request: payment_intent or charge."
        raise StripeError(message, code="parameter_missing")
    if intent_id is not None:
        intent = tx.get("payment_intent", intent_id, param="payment_intent", status=400)
        charge = tx.find(intent["latest_charge"] or "", "charge")
        if charge is None or charge["status"] != "succeeded" or not charge["captured"]:
            message = f"This PaymentIntent ({intent_id}) does not have a successful charge to refund."
            raise unexpected_state(message, "payment_intent_unexpected_state", param="payment_intent")
        if charge_id not in (None, charge["id"]):
            raise missing("charge", str(charge_id), param="charge", status=400)
        return charge
    charge = tx.get("charge", str(charge_id), param="charge", status=400)
    if charge["status"] != "succeeded" or not charge["captured"]:
        raise unexpected_state(
            f"Charge {charge_id} has not been captured.", "charge_not_refundable", param="charge"
        )
    return charge


def create(
    tx: Transaction, charge: Json, *, amount_minor: int | None, reason: str | None, metadata: dict[str, str]
) -> Json:
    """Refund all that is left, or `amount_minor` of it. Raises when disputed, already refunded, or too much."""
    left_minor = charge["amount_captured"] - charge["amount_refunded"]
    if charge["disputed"]:
        raise unexpected_state(
            f"Charge {charge['id']} has been charged back; cannot issue a refund.", "charge_disputed"
        )
    if left_minor == 0:
        message = f"Charge {charge['id']} has already been refunded."
        raise unexpected_state(message, "charge_already_refunded")
    taken_minor = left_minor if amount_minor is None else amount_minor
    if taken_minor > left_minor:
        message = f"Refund amount ({taken_minor}) is greater than unrefunded amount on charge ({left_minor})"
        raise StripeError(message, param="amount")
    refund = objects.refund(tx.new_id("re"), charge, amount_minor=taken_minor, reason=reason, now_s=tx.now_s)
    refund["metadata"] = metadata
    booked = book(tx, "refund", "refund", refund, -taken_minor)
    refund["balance_transaction"] = booked["id"]
    _change_refunded(tx, charge, taken_minor)
    tx.emit("refund.created", tx.insert(refund))
    tx.emit("charge.refunded", charge)
    return refund


def _change_refunded(tx: Transaction, charge: Json, by_minor: int) -> None:
    charge["amount_refunded"] += by_minor
    charge["refunded"] = charge["amount_refunded"] == charge["amount_captured"]
    tx.update(charge)


def fail(tx: Transaction, refund: Json) -> Json:
    """The payer's bank sent the money back: the refund fails and the charge counts as unrefunded again."""
    if refund["status"] != "succeeded":
        raise StripeError(f"This refund is {refund['status']} already")
    charge = tx.get("charge", refund["charge"])
    reversed_entry = book(tx, "refund_failure", "refund_failure", refund, refund["amount"])
    refund.update(
        status="failed",
        failure_reason="lost_or_stolen_card",
        failure_balance_transaction=reversed_entry["id"],
    )
    tx.update(refund)
    _change_refunded(tx, charge, -refund["amount"])
    tx.emit("refund.updated", refund)
    tx.emit("refund.failed", refund)
    return refund


def update(tx: Transaction, refund: Json, metadata: dict[str, str]) -> Json:
    refund["metadata"] = {**refund["metadata"], **metadata}
    tx.emit("refund.updated", tx.update(refund))
    return refund


def open_dispute(tx: Transaction, charge: Json, *, amount_minor: int | None, reason: str) -> Json:
    """About all that is left of the charge, or a part of it. There may be several, of different parts."""
    left_minor = charge["amount_captured"] - charge["amount_refunded"]
    left_minor -= sum(
        kept_minor(one) for one in tx.find_by("dispute", "charge", charge["id"]) if one["status"] != "won"
    )
    taken_minor = left_minor if amount_minor is None else amount_minor
    if not 0 < taken_minor <= left_minor:
        raise StripeError(
            f"Charge {charge['id']} cannot be disputed for {taken_minor} (disputed, refunded, or less)"
        )
    dispute = objects.dispute(
        tx.new_id("dp"), charge, amount_minor=taken_minor, reason=reason, now_s=tx.now_s
    )
    withdrawn = book(tx, "adjustment", "dispute", dispute, -taken_minor, fee_minor=DISPUTE_FEE_MINOR)
    dispute["balance_transactions"] = [withdrawn]
    charge["disputed"] = True
    tx.update(charge)
    tx.emit("charge.dispute.created", tx.insert(dispute))
    tx.emit("charge.dispute.funds_withdrawn", dispute)
    return dispute


def kept_minor(dispute: Json) -> int:
    """What was withdrawn for it and not reinstated."""
    return -sum(int(entry["amount"]) for entry in dispute["balance_transactions"])


def close_dispute(tx: Transaction, dispute: Json, *, won: bool, returned_minor: int | None = None) -> Json:
    """Won: all of it is reinstated, with the fee. Lost: nothing, or `returned_minor` of it (won in part, as where the
    bank finds that a part was refunded)."""
    if dispute["status"] != "needs_response":
        raise StripeError(f"This dispute is {dispute['status']} already")
    back_minor = dispute["amount"] if won else (returned_minor or 0)
    if not won and back_minor >= dispute["amount"]:
        raise StripeError("A lost dispute gives less than all of it back", param="amount_minor")
    dispute["status"] = "won" if won else "lost"
    if back_minor:
        _return(tx, dispute, back_minor, fee_minor=-DISPUTE_FEE_MINOR if won else 0)
    tx.emit("charge.dispute.closed", tx.update(dispute))
    if back_minor:
        tx.emit("charge.dispute.funds_reinstated", dispute)
    return dispute


def reinstate(tx: Transaction, dispute: Json, *, amount_minor: int | None, status: str = "lost") -> Json:
    """Of a lost dispute the bank gives back all that it kept, or so much of it, after all. `status`: it stays lost, or is
    called won from then on."""
    kept_minor_before = kept_minor(dispute)
    back_minor = kept_minor_before if amount_minor is None else amount_minor
    if dispute["status"] != "lost" or not 0 < back_minor <= kept_minor_before:
        raise StripeError(f"Nothing of that can be reinstated: {dispute['status']}, {kept_minor_before} kept")
    if status == "won" and back_minor < kept_minor_before:
        raise StripeError("A won dispute gives all of it back", param="amount_minor")
    _return(tx, dispute, back_minor)
    dispute["status"] = status
    tx.emit("charge.dispute.updated", tx.update(dispute))
    tx.emit("charge.dispute.funds_reinstated", dispute)
    return dispute


def _return(tx: Transaction, dispute: Json, back_minor: int, *, fee_minor: int = 0) -> None:
    returned = book(tx, "adjustment", "dispute_reversal", dispute, back_minor, fee_minor=fee_minor)
    dispute["balance_transactions"] = [*dispute["balance_transactions"], returned]
