"""Experts' accounts, their onboarding, and transfers to them and back.

An account's transfers: restricted (nothing told yet) ──onboarded──▶ active, pending (being checked) or restricted again.
"""

from . import objects_connect
from .errors import StripeError, missing
from .params import Json
from .payments import book
from .store import Transaction

LINK_LASTS_S = 600
STATUSES = ("active", "pending", "restricted", "rejected")
NOT_ABLE = (
    "Your destination account needs to have at least one of the following capabilities enabled: transfers, "
    "crypto_transfers, legacy_payments"
)


# --- accounts ---------------------------------------------------------------------------------------------


def create_account(tx: Transaction, fields: Json, *, requested: bool) -> Json:
    account = objects_connect.account(tx.new_id("acct"), fields, requested=requested, now_s=tx.now_s)
    tx.insert(account, hidden={"paid_out": {}})
    tx.emit_thin("v2.core.account.created", account)
    return account


def find_account(tx: Transaction, account_id: str, *, param: str = "id", status: int = 404) -> Json:
    found = tx.find(account_id, "v2.core.account")
    if found is None:
        raise missing("account", account_id, param=param, status=status)
    return found


def set_status(tx: Transaction, account: Json, status: str) -> Json:
    """What Stripe makes of an account's details. Nothing is told when nothing changed."""
    if status not in STATUSES:
        raise StripeError(f"status is one of {', '.join(STATUSES)}", param="status")
    before = objects_connect.status_of(account), account["requirements"]
    objects_connect.set_status(account, status)
    tx.update(account)
    if account["requirements"] != before[1]:
        tx.emit_thin("v2.core.account[requirements].updated", account)
    if status != before[0]:
        tx.emit_thin(
            "v2.core.account[configuration.recipient].capability_status_updated",
            account,
            {"updated_capability": objects_connect.CAPABILITY},
        )
    return account


def create_link(tx: Transaction, account_id: str, use_case: Json, public_url: str) -> Json:
    account = find_account(tx, account_id, param="account", status=400)
    token = tx.new_id("link")
    # Kept under its token: the object that Stripe answers has no id.
    kept = {"id": token, "object": "sandbox.link", "account": account["id"], "use_case": use_case}
    tx.insert(kept, hidden={"used": False})
    url = f"{public_url}/sandbox/onboarding/{token}"
    return objects_connect.account_link(
        account["id"], url, use_case, now_s=tx.now_s, expires_s=tx.now_s + LINK_LASTS_S
    )


def opened_link(tx: Transaction, token: str) -> Json:
    """Raises for one that there is not."""
    link = tx.find(token, "sandbox.link")
    if link is None:
        raise StripeError("There is no such link.", status=404, code="resource_missing")
    return link


def is_usable(tx: Transaction, link: Json) -> bool:
    return not tx.hidden(link["id"])["used"] and tx.created_s(link["id"]) + LINK_LASTS_S >= tx.now_s


def leave(tx: Transaction, link: Json, status: str | None) -> str | None:
    """The expert is through with the forms; None: they left them unfinished. Where they go from there. The link is used."""
    if not is_usable(tx, link):
        raise StripeError("This link was used already, or is too old.", status=409, code="link_used")
    tx.set_hidden(link["id"], {"used": True})
    if status is not None:
        set_status(tx, find_account(tx, link["account"]), status)
    kind = link["use_case"]["type"]
    data = {"account_id": link["account"], "configurations": ["recipient"], "use_case": kind}
    tx.emit_thin("v2.core.account_link.returned", None, data)
    back: str | None = link["use_case"][kind]["return_url"]
    return back


# --- transfers --------------------------------------------------------------------------------------------


def transfer(tx: Transaction, fields: Json) -> Json:
    """Raises when the account cannot receive, the sale has not that much left, or the balance has not."""
    account = find_account(tx, fields["destination"], param="destination", status=400)
    if objects_connect.status_of(account) != "active":
        raise StripeError(NOT_ABLE, code="insufficient_capabilities_for_transfer", param="destination")
    available_s = tx.now_s
    if fields["source_transaction"]:
        charge = _source(tx, fields)
        available_s = tx.get("balance_transaction", charge["balance_transaction"])["available_on"]
        fields["transfer_group"] = (
            fields["transfer_group"] or charge["transfer_group"] or f"group_{charge['payment_intent']}"
        )
    elif fields["amount"] > available_minor(tx, fields["currency"]):
        message = "You have insufficient available funds in your Stripe account."
        raise StripeError(message, code="balance_insufficient")
    made = objects_connect.transfer(tx.new_id("tr"), fields, payment_id=tx.new_id("py"), now_s=tx.now_s)
    booked = book(tx, "transfer", "transfer", made, -made["amount"], available_on_s=available_s)
    made["balance_transaction"] = booked["id"]
    tx.emit("transfer.created", tx.insert(made))
    return made


def _source(tx: Transaction, fields: Json) -> Json:
    charge = tx.get("charge", fields["source_transaction"], param="source_transaction", status=400)
    if not charge["captured"] or charge["currency"] != fields["currency"]:
        message = "The source transaction must be a paid charge in the currency of the transfer."
        raise StripeError(message, param="source_transaction")
    sent = tx.find_by("transfer", "source_transaction", charge["id"])
    sent_minor = sum(one["amount"] - one["amount_reversed"] for one in sent)
    if sent_minor + fields["amount"] > charge["amount_captured"]:
        message = (
            "Transfers using this transaction as a source must not exceed the source amount of "
            f"{charge['amount_captured']}. There are already transfers amounting to {sent_minor}."
        )
        raise StripeError(message, param="amount")
    return charge


def available_minor(tx: Transaction, currency: str) -> int:
    """What the platform may send: everything that was booked and whose time has come."""
    row = tx.db.execute(
        "SELECT COALESCE(SUM(json_extract(body, '$.net')), 0) FROM objects WHERE object = 'balance_transaction'"
        " AND json_extract(body, '$.currency') = ? AND json_extract(body, '$.available_on') <= ?",
        (currency, tx.now_s),
    ).fetchone()
    return int(row[0])


def reverse(tx: Transaction, made: Json, *, amount_minor: int | None, metadata: Json) -> Json:
    """Take back all that is left of a transfer, or part of it, out of what the account still holds."""
    left_minor = made["amount"] - made["amount_reversed"]
    taken_minor = left_minor if amount_minor is None else amount_minor
    if not 0 < taken_minor <= left_minor:
        message = f"You can only reverse up to {left_minor} of this transfer."
        raise StripeError(message, param="amount")
    if taken_minor > held_minor(tx, made["destination"], made["currency"]):
        message = "The connected account does not have enough funds for this reversal."
        raise StripeError(message, code="balance_insufficient")
    reversal = objects_connect.reversal(
        tx.new_id("trr"), made, amount_minor=taken_minor, metadata=metadata, now_s=tx.now_s
    )
    booked = book(tx, "transfer_refund", "transfer_reversal", reversal, taken_minor, available_on_s=tx.now_s)
    reversal["balance_transaction"] = booked["id"]
    tx.insert(reversal)
    made["amount_reversed"] += taken_minor
    made["reversed"] = made["amount_reversed"] == made["amount"]
    made["reversals"]["data"].insert(0, reversal)
    tx.emit("transfer.reversed", tx.update(made))
    return reversal


def held_minor(tx: Transaction, account_id: str, currency: str) -> int:
    """What an account holds: sent, not taken back, not paid out to its bank."""
    sent = [one for one in tx.find_by("transfer", "destination", account_id) if one["currency"] == currency]
    paid_out: Json = tx.hidden(account_id)["paid_out"]
    kept_minor = sum(int(one["amount"]) - int(one["amount_reversed"]) for one in sent)
    return kept_minor - int(paid_out.get(currency, 0))


def pay_out(tx: Transaction, account: Json) -> Json:
    """Everything that the account holds goes to the expert's bank."""
    paid_out: dict[str, int] = tx.hidden(account["id"])["paid_out"]
    for currency in {one["currency"] for one in tx.find_by("transfer", "destination", account["id"])}:
        held = held_minor(tx, account["id"], currency)
        paid_out[currency] = paid_out.get(currency, 0) + held
    tx.set_hidden(account["id"], {"paid_out": paid_out})
    return {"account": account["id"], "paid_out": paid_out}


def make_available(tx: Transaction) -> int:
    """All that is pending can be sent now, without waiting for two days; how many entries that were."""
    found = [entry for entry in tx.all_of("balance_transaction") if entry["available_on"] > tx.now_s]
    for entry in found:
        entry.update(available_on=tx.now_s)
        tx.set_due(entry["id"], tx.now_s)
        tx.update(entry)
    return len(found)


def settle_due(tx: Transaction) -> int:
    """What was pending long enough is available."""
    due = tx.due("balance_transaction")
    for entry in due:
        tx.set_due(entry["id"], None)
        tx.update(entry | {"status": "available"})
    return len(due)
