"""What the sandbox holds to be true of all money, in minor units: by session, by charge, by transfer and in total."""

from .params import Json
from .refunds import kept_minor
from .store import Transaction

SUMS = (
    "captured_minor",
    "refunded_minor",
    "dispute_lost_minor",
    "dispute_open_minor",
    "fee_minor",
    "dispute_fee_minor",
    "transferred_minor",
    "reversed_minor",
)


def books(tx: Transaction) -> Json:
    """`totals` are per currency and over everything; `net_minor` is what all entries together did to the balance, which is
    captured and reversed, less refunded, disputed, fees and transferred. A session's sums are those of its payment."""
    sessions = [book_of(tx, session) for session in tx.all_of("checkout.session")]
    charges = [_of_charge(tx, charge) for charge in tx.all_of("charge") if charge["captured"]]
    transfers = [_of_transfer(made) for made in tx.all_of("transfer")]
    totals = {
        entry["currency"]: dict.fromkeys((*SUMS, "net_minor"), 0)
        for entry in (*sessions, *charges, *transfers)
        if entry["currency"]
    }
    for entry in charges:
        for name in SUMS[:6]:
            totals[entry["currency"]][name] += entry[name]
    for entry in transfers:
        totals[entry["currency"]]["transferred_minor"] += entry["amount_minor"]
        totals[entry["currency"]]["reversed_minor"] += entry["reversed_minor"]
    for entry in tx.all_of("balance_transaction"):
        totals[entry["currency"]]["net_minor"] += entry["net"]
    return {"sessions": sessions, "charges": charges, "transfers": transfers, "totals": totals}


def book_of(tx: Transaction, session: Json) -> Json:
    intent_id = session["payment_intent"] or tx.hidden(session["id"]).get("confirming", "")
    charges = [charge for charge in tx.find_by("charge", "payment_intent", intent_id) if charge["captured"]]
    disputes = tx.find_by("dispute", "payment_intent", intent_id)
    return {
        "session": session["id"],
        "client_reference_id": session["client_reference_id"],
        "payment_intent": session["payment_intent"],
        "status": session["status"],
        "payment_status": session["payment_status"],
        "currency": session["currency"],
        "amount_minor": session["amount_total"],
        "captured_minor": sum(charge["amount_captured"] for charge in charges),
        "refunded_minor": sum(charge["amount_refunded"] for charge in charges),
        **_disputed(disputes),
    }


def _disputed(disputes: list[Json]) -> dict[str, int]:
    return {
        "dispute_lost_minor": sum(kept_minor(one) for one in disputes if one["status"] == "lost"),
        "dispute_open_minor": sum(one["amount"] for one in disputes if one["status"] == "needs_response"),
    }


def _of_charge(tx: Transaction, charge: Json) -> Json:
    """Of each payment, whether a page took it or a kept card."""
    disputes = tx.find_by("dispute", "charge", charge["id"])
    booked = tx.find(charge["balance_transaction"] or "", "balance_transaction")
    sent = tx.find_by("transfer", "source_transaction", charge["id"])
    metadata: dict[str, str] = charge["metadata"]
    return {
        "charge": charge["id"],
        "payment_intent": charge["payment_intent"],
        "reference": metadata.get("reference"),
        "order_id": metadata.get("order_id"),
        "currency": charge["currency"],
        "captured_minor": charge["amount_captured"],
        "refunded_minor": charge["amount_refunded"],
        **_disputed(disputes),
        "fee_minor": 0 if booked is None else booked["fee"],
        "dispute_fee_minor": sum(
            entry["fee"] for dispute in disputes for entry in dispute["balance_transactions"]
        ),
        "transferred_minor": sum(one["amount"] - one["amount_reversed"] for one in sent),
    }


def _of_transfer(made: Json) -> Json:
    return {
        "transfer": made["id"],
        "destination": made["destination"],
        "source_transaction": made["source_transaction"],
        "reference": made["metadata"].get("reference"),
        "transfer_group": made["transfer_group"],
        "currency": made["currency"],
        "amount_minor": made["amount"],
        "reversed_minor": made["amount_reversed"],
    }
