"""Our books beside the bank's own: of each order what came in and went back, of each transfer to a host what was sent, of
each entry its fee, and the whole of it as one balance in each currency.
"""

from collections import Counter
from typing import Any

from sqlalchemy import func, select

from metering import accounts
from signaling.stores.database import Database
from signaling.stores.schema import balances, payouts, transfers

from .bank import Bank, all_of

Sums = Counter[tuple[str, str]]
# How the ledger calls what the bank calls otherwise. What went to hosts is compared transfer by transfer.
AS_THE_BANK = {"topup": "payment_captured", "unrefund": "refund", "reinstated": "dispute_lost"}
# Looked at apart, or no money that moved: a hold is booked again under another code once it is posted.
APART = ("stripe_fee", "payout", "reversal", "refund_hold", "dispute_hold")


async def differences(db: Database, bank: Bank) -> list[str]:
    return [
        *_unlike(await _ours(db), await bank.ask(_theirs)),
        *await _taxes(db, bank),
        *await _fees(db, bank),
        *await _sent(db, bank),
        *await _balance(db, bank),
    ]


def _unlike(ours: Sums, theirs: Sums) -> list[str]:
    return [
        f"{name} {code}: ours {ours[name, code]}, theirs {theirs[name, code]}"
        for name, code in sorted({*ours, *theirs})
        if ours[name, code] != theirs[name, code]
    ]


# --- orders -----------------------------------------------------------------------------------------------


async def _ours(db: Database) -> Sums:
    books: Sums = Counter()
    at_stripe = (transfers.c.debit == "stripe_clearing") | (transfers.c.credit == "stripe_clearing")
    async with db.read() as tx:
        rows = (await tx.execute(select(transfers).where(at_stripe, transfers.c.code.not_in(APART)))).all()
    for row in rows:
        sign = -1 if row.code in {"unrefund", "reinstated"} else 1
        books[row.subject_id, AS_THE_BANK.get(row.code, row.code)] += sign * row.amount_minor
    return books


def _theirs(tx: Any) -> Sums:
    of = _orders_of_intents(tx)
    books: Sums = Counter()
    for charge in all_of(tx, "charge"):
        if charge["captured"]:
            books[of[charge["payment_intent"]], "payment_captured"] += charge["amount_captured"]
            books[of[charge["payment_intent"]], "refund"] += charge["amount_refunded"]
    for dispute in all_of(tx, "dispute"):
        if dispute["status"] == "lost":
            books[of[dispute["payment_intent"]], "dispute_lost"] -= sum(
                one["amount"] for one in dispute["balance_transactions"]
            )
    return books


def _orders_of_intents(tx: Any) -> dict[str, str]:
    """Those of invoices are known by their subscription."""
    orders = {one["id"]: one["metadata"].get("order_id", one["id"]) for one in all_of(tx, "payment_intent")}
    subscribed = {one["id"]: one["metadata"]["order_id"] for one in all_of(tx, "subscription")}
    of_invoice = {
        one["id"]: subscribed[one["parent"]["subscription_details"]["subscription"]]
        for one in all_of(tx, "invoice")
    }
    for paid in all_of(tx, "invoice_payment"):
        orders[paid["payment"]["payment_intent"]] = of_invoice[paid["invoice"]]
    return orders


async def _taxes(db: Database, bank: Bank) -> list[str]:
    """What the bank computed, less the part of what went back, to a unit; all of it while nothing went back, and nothing
    once everything did."""
    account = accounts.TAX_PAYABLE
    of_tax = (transfers.c.debit == account) | (transfers.c.credit == account)
    ours: Counter[str] = Counter()
    async with db.read() as tx:
        for row in (await tx.execute(select(transfers).where(of_tax))).all():
            ours[row.subject_id] += row.amount_minor if row.credit == account else -row.amount_minor
    taxes, sums = await bank.ask(lambda tx: (_taxes_of_orders(tx), _theirs(tx)))
    found = [f"{name} tax: ours {ours[name]}, theirs none" for name in ours if name not in taxes]
    for name, tax_minor in taxes.items():
        paid_minor = sums[name, "payment_captured"]
        left_minor = paid_minor - sums[name, "refund"] - sums[name, "dispute_lost"]
        if abs(ours[name] * paid_minor - tax_minor * left_minor) >= paid_minor:
            found.append(f"{name} tax: ours {ours[name]}, theirs {tax_minor} of {left_minor}/{paid_minor}")
    return found


def _taxes_of_orders(tx: Any) -> dict[str, int]:
    return {
        one["client_reference_id"]: one["total_details"]["amount_tax"]
        for one in all_of(tx, "checkout.session")
        if one["automatic_tax"]["enabled"] and one["payment_status"] == "paid"
    }


# --- fees, hosts, and the whole ---------------------------------------------------------------------------


async def _fees(db: Database, bank: Bank) -> list[str]:
    """Booked when the bank's account is looked through, by its entries."""
    ours: Sums = Counter()
    async with db.read() as tx:
        rows = (await tx.execute(select(transfers).where(transfers.c.code == "stripe_fee"))).all()
    for row in rows:
        is_kept = row.credit == "stripe_clearing"
        ours[row.subject_id, "fee"] += row.amount_minor if is_kept else -row.amount_minor
    taken = await bank.ask(lambda tx: {one["id"]: one["fee"] for one in all_of(tx, "balance_transaction")})
    return _unlike(ours, Counter({(name, "fee"): fee for name, fee in taken.items() if fee}))


async def _sent(db: Database, bank: Bank) -> list[str]:
    async with db.read() as tx:
        rows = (await tx.execute(select(payouts))).all()
    ours: Sums = Counter()
    for row in rows:
        if row.transfer_id is not None:
            ours[row.transfer_id, "sent"] += row.amount_minor
            ours[row.transfer_id, "reversed"] += row.reversed_minor
    theirs: Sums = Counter()
    for one in await bank.ask(lambda tx: all_of(tx, "transfer")):
        theirs[one["id"], "sent"] = one["amount"]
        theirs[one["id"], "reversed"] = one["amount_reversed"]
    return _unlike(ours, theirs)


async def _balance(db: Database, bank: Bank) -> list[str]:
    """While a dispute is open, the bank has taken back for the time being what we have not booked yet; what is asked to be
    sent is booked already."""
    total = func.sum(balances.c.debits_minor - balances.c.credits_minor)
    query = select(balances.c.currency, total.label("minor")).group_by(balances.c.currency)
    asked = select(payouts.c.currency, payouts.c.amount_minor).where(payouts.c.state == "asked")
    async with db.read() as tx:
        rows = (await tx.execute(query.where(balances.c.name == "stripe_clearing"))).all()
        to_send = (await tx.execute(asked)).all()
    ours: Sums = Counter({(row.currency, "balance"): int(row.minor) for row in rows})
    for row in to_send:
        ours[row.currency, "balance"] += row.amount_minor

    def read(tx: Any) -> Sums:
        found: Sums = Counter()
        for entry in all_of(tx, "balance_transaction"):
            found[entry["currency"], "balance"] += entry["net"]
        for dispute in all_of(tx, "dispute"):
            if dispute["status"] == "needs_response":
                found[dispute["currency"], "balance"] += dispute["amount"]
        return found

    return _unlike(ours, await bank.ask(read))
