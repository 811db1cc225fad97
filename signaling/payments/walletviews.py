"""Wallets as API.md shows them: balances, packages, and what happened, in words."""

from typing import Any

from sqlalchemy import and_, func, or_, select

from metering import accounts
from metering.errors import UnknownCurrencyError
from metering.money import currency as money_of
from signaling.errors import ApiError
from signaling.payments.context import Context
from signaling.payments.topups import packages_of
from signaling.payments.wallets import credits_of
from signaling.stores import cards, wallets
from signaling.stores.database import Transaction
from signaling.stores.rates import BooksOf
from signaling.stores.schema import balances, orders, transfers
from signaling.stores.wallets import Key

Json = dict[str, Any]
PAGE = 50

# What a line of a wallet's history is called, by the code of its transfer.
WORDS = {
    "topup": "topup",
    "bonus": "bonus",
    "window": "use",
    "refund": "refund",
    "unbonus": "refund",
    "payment_captured": "use",
    "dispute_lost": "dispute",
    "reinstated": "returned",
    "repaid": "repaid",
    "platform_credit": "credit",
    "platform_debit": "debit",
}


async def wallets_of(ctx: Context, user_id: str) -> Json:
    """Every wallet that this person has, with what is sold for it."""
    async with ctx.db.read() as tx:
        known = await _currencies(tx, ctx, user_id)
        return {"wallets": [await _view(tx, _key(ctx, user_id, code)) for code in known]}


async def wallet_of(ctx: Context, user_id: str, currency: str, *, before: str | None = None) -> Json:
    """One wallet (an empty one, where there is none yet) with its history. Raises ApiError 404 `unknown_currency`."""
    try:
        money_of(currency)
    except UnknownCurrencyError:
        raise ApiError(404, "unknown_currency", "no such currency") from None
    key = _key(ctx, user_id, currency)
    async with ctx.db.read() as tx:
        lines = await _history(tx, key, before)
        shown = lines[:PAGE]
        more = shown[-1]["id"] if len(lines) > PAGE else None
        return await _view(tx, key) | {"history": shown, "next": more}


def _key(ctx: Context, user_id: str, currency: str) -> Key:
    return Key(user_id, ctx.settings.mode, ctx.settings.account, currency)


async def _currencies(tx: Transaction, ctx: Context, user_id: str) -> list[str]:
    mode, account = ctx.settings.mode, ctx.settings.account
    query = select(balances.c.currency).where(
        balances.c.mode == mode, balances.c.account == account, balances.c.name == accounts.wallet(user_id)
    )
    booked = {row.currency for row in await tx.execute(query)}
    return sorted(booked | {one.currency for one in await wallets.wallets_of(tx, user_id, mode, account)})


async def _view(tx: Transaction, key: Key) -> Json:
    wallet, found = await wallets.get_wallet(tx, key), await credits_of(tx, key)
    frozen_minor = await wallets.frozen_minor(tx, key)
    is_sold = wallet.managed_by == "stripe"
    offered = await packages_of(tx, BooksOf(key.mode, key.account), key.currency) if is_sold else ()
    return {
        "currency": key.currency,
        "balance_minor": found.available_minor + found.held_minor,
        "available_minor": found.available_minor,
        "held_minor": found.held_minor - frozen_minor,
        "frozen_minor": frozen_minor,
        "owed_minor": found.owed_minor,
        "managed_by": wallet.managed_by,
        "packages": [package.to_json() for package in offered],
        "auto": {
            "on": wallet.auto_topup,
            "package": wallet.auto_package,
            "payment_method_id": wallet.auto_card,
        },
        "cards": [_card(one) for one in await cards.cards_of(tx, key.user_id, key.mode, key.account)],
    }


def _card(card: cards.Card) -> Json:
    return {
        "id": card.payment_method_id,
        "brand": card.brand,
        "last4": card.last4,
        "exp_month": card.exp_month,
        "exp_year": card.exp_year,
    }


async def _history(tx: Transaction, key: Key, before: str | None) -> list[Json]:
    """What moved into and out of the wallet, the newest first; a hold is no move."""
    name = accounts.wallet(key.user_id)
    moved = and_(
        transfers.c.mode == key.mode,
        transfers.c.account == key.account,
        transfers.c.currency == key.currency,
        transfers.c.kind.in_(["single", "post"]),
        or_(transfers.c.debit == name, transfers.c.credit == name),
    )
    if before is not None:
        at = select(transfers.c.created_at).where(transfers.c.id == before).scalar_subquery()
        older = or_(transfers.c.created_at < at, and_(transfers.c.created_at == at, transfers.c.id < before))
        moved = and_(moved, older)
    first = func.min(transfers.c.id)
    kept = (transfers.c.created_at, transfers.c.code, transfers.c.subject_id, transfers.c.credit)
    # A call is one line, however many windows it had.
    query = (
        select(
            first.label("id"), func.sum(transfers.c.amount_minor).label("amount_minor"), *kept, orders.c.title
        )
        .join(orders, orders.c.id == transfers.c.subject_id, isouter=True)
        .where(moved)
        .group_by(*kept, orders.c.title)
        .order_by(transfers.c.created_at.desc(), first.desc())
    )
    return [_line(row, name) for row in await tx.execute(query.limit(PAGE + 1))]


def _line(row: Any, name: str) -> Json:
    is_in = row.credit == name
    return {
        "id": row.id,
        "at": row.created_at,
        "kind": WORDS.get(row.code, "other"),
        "amount_minor": int(row.amount_minor) * (1 if is_in else -1),
        "order_id": row.subject_id if row.title is not None else None,
        "title": row.title,
    }
