"""What a host sees of their money, as the API says it (API.md, "Earnings")."""

import csv
import io
from collections.abc import AsyncIterator
from typing import Any, Literal

from metering.money import Money
from signaling.clock import rfc3339
from signaling.payments import connect
from signaling.payments.context import Context
from signaling.stores import hostbooks
from signaling.stores import payouts as store
from signaling.stores.hostbooks import Sale, Sums

Json = dict[str, Any]
PAGE = 50
AT_ONCE = 500  # of an export

# Where a sale stands, in one word.
Standing = Literal["disputed", "debt", "given_back", "on_its_way", "paid", "pending", "available"]

COLUMNS = (
    "sold_at",
    "sale",
    "order",
    "room",
    "currency",
    "paid_by_guest",
    "fee",
    "tax",
    "net",
    "given_back",
    "paid_out",
    "withheld",
    "state",
    "available_at",
)


def standing(sale: Sale) -> Standing:
    earning, plain = sale.earning, sale.earning.plain()
    if earning.disputed_minor:
        return "disputed"
    if plain.debt_minor:
        return "debt"
    if sale.is_on_its_way:
        return "on_its_way"
    if plain.owed_minor == 0:
        return "paid" if earning.paid_minor or earning.withheld_minor > 0 else "given_back"
    return "available" if earning.state == "available" else "pending"


async def earnings_view(ctx: Context, user_id: str, before: str | None) -> Json:
    """Balances, onboarding and a page of sales, the newest first."""
    books = (ctx.settings.mode, ctx.settings.account)
    async with ctx.db.read() as tx:
        sums = await hostbooks.sums(tx, user_id, *books)
        found = await hostbooks.sales(tx, user_id, *books, before=before, limit=PAGE + 1)
    shown = found[:PAGE]
    return {
        "connect": ctx.settings.connect,
        "holding_days": ctx.settings.earnings_days,
        "onboarding": onboarding_view(ctx, await connect.own_row(ctx, user_id)),
        "balances": [_sums_view(one) for one in sums],
        "sales": [_sale_view(one) for one in shown],
        "next": shown[-1].earning.id if len(found) > PAGE else None,
    }


def onboarding_view(ctx: Context, row: store.Connected | None) -> Json:
    return {
        "state": connect.state_of(ctx, row),
        "requirements": [] if row is None or row.can_receive else row.requirements,
    }


def _sums_view(sums: Sums) -> Json:
    return {
        "currency": sums.currency,
        "pending_minor": sums.pending_minor,
        "available_minor": sums.available_minor,
        "disputed_minor": sums.disputed_minor,
        "on_its_way_minor": sums.on_its_way_minor,
        "paid_minor": sums.paid_minor,
        "debt_minor": sums.debt_minor,
    }


def _sale_view(sale: Sale) -> Json:
    earning, plain = sale.earning, sale.earning.plain()
    return {
        "sale_id": earning.id,
        "order_id": earning.order_id,
        "room": {"title": sale.room_title, "slug": sale.room_slug},
        "sold_at": earning.created_at,
        "available_at": rfc3339(earning.available_at_s),
        "currency": earning.currency,
        "gross_minor": earning.gross_minor,
        "fee_minor": earning.fee_minor,
        "tax_minor": earning.tax_minor,
        "net_minor": earning.net_minor,
        "reversed_minor": earning.reversed_minor,
        "paid_minor": earning.paid_minor,
        "withheld_minor": earning.withheld_minor,
        "owed_minor": plain.owed_minor,
        "debt_minor": plain.debt_minor,
        "state": standing(sale),
    }


async def payouts_view(ctx: Context, user_id: str, before: str | None) -> Json:
    books = (ctx.settings.mode, ctx.settings.account)
    async with ctx.db.read() as tx:
        found = await store.payouts_of_payee(tx, user_id, *books, before=before, limit=PAGE + 1)
    shown = found[:PAGE]
    return {
        "payouts": [_payout_view(one) for one in shown],
        "next": f"{shown[-1].created_at}|{shown[-1].id}" if len(found) > PAGE else None,
    }


def _payout_view(payout: store.Payout) -> Json:
    return {
        "payout_id": payout.id,
        "sale_id": payout.earning_id,
        "amount_minor": payout.amount_minor,
        "reversed_minor": payout.reversed_minor,
        "currency": payout.currency,
        "state": payout.state,
        "failure": payout.failure,
        "transfer_id": payout.transfer_id,
        "created_at": payout.created_at,
    }


# --- for spreadsheets -------------------------------------------------------------------------------------


async def csv_of(ctx: Context, user_id: str) -> AsyncIterator[str]:
    """All sales (RFC 4180), the newest first: a header, then a line each. Amounts are exact decimals of the currency."""
    yield _line(COLUMNS)
    books, before = (ctx.settings.mode, ctx.settings.account), None
    while True:
        async with ctx.db.read() as tx:
            found = await hostbooks.sales(tx, user_id, *books, before=before, limit=AT_ONCE)
        if not found:
            return
        yield "".join(_line(_row(sale)) for sale in found)
        before = found[-1].earning.id


def _row(sale: Sale) -> tuple[str, ...]:
    earning = sale.earning

    def money(amount_minor: int) -> str:
        sign = "-" if amount_minor < 0 else ""
        return sign + Money(abs(amount_minor), earning.currency).decimal()

    return (
        earning.created_at,
        earning.id,
        earning.order_id,
        _as_text(sale.room_title or ""),
        earning.currency,
        money(earning.gross_minor),
        money(earning.fee_minor),
        money(earning.tax_minor),
        money(earning.net_minor),
        money(earning.reversed_minor),
        money(earning.paid_minor),
        money(earning.withheld_minor),
        standing(sale),
        rfc3339(earning.available_at_s),
    )


def _as_text(text: str) -> str:
    """A title that a spreadsheet would take for a formula is marked as text."""
    return f"'{text}" if text[:1] in {"=", "+", "-", "@", "\t", "\r"} else text


def _line(values: tuple[str, ...]) -> str:
    line = io.StringIO()
    csv.writer(line).writerow(values)
    return line.getvalue()
