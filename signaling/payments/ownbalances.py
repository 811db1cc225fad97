"""Credits that the platform itself gives or takes: balances that it manages, instead of what people buy.

Once for each `transfer_id` that the caller chose; a repeat answers what became of it.
"""

from typing import Annotated, Literal

import structlog
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from metering import chart
from metering.errors import UnknownCurrencyError
from metering.money import MAX_AMOUNT_MINOR
from metering.money import currency as money_of
from signaling.errors import ApiError
from signaling.notices import Notice
from signaling.payments.context import Context
from signaling.payments.wallets import credits_of, tell_credited, tell_inside
from signaling.stores import ledger, people, wallets
from signaling.stores.database import Transaction
from signaling.stores.wallets import Key

log = structlog.get_logger()

Direction = Literal["credit", "debit"]


class NewTransfer(BaseModel):
    """The body of `POST /api/admin/wallets/{user}/{currency}/credit` and of `…/debit`. `note` goes to the log."""

    model_config = ConfigDict(strict=True)

    transfer_id: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{8,64}$")]
    amount_minor: Annotated[int, Field(ge=1, le=MAX_AMOUNT_MINOR)]
    note: Annotated[str, StringConstraints(max_length=200)] = ""


async def move(ctx: Context, key: Key, direction: Direction, body: NewTransfer, *, by: str) -> None:
    """From now on the platform manages that wallet. Raises ApiError 404 `unknown_user`, `unknown_currency`; 409
    `exists_different`, `balance_low`."""
    try:
        money_of(key.currency)
    except UnknownCurrencyError:
        raise ApiError(404, "unknown_currency", "no such currency") from None
    make = chart.platform_credited if direction == "credit" else chart.platform_debited
    (transfer,) = make(body.transfer_id, key.user_id, body.amount_minor, key.currency)
    now_text = ctx.now_text()

    async def work(tx: Transaction) -> list[Notice]:
        if await people.by_id(tx, key.user_id) is None:
            raise ApiError(404, "unknown_user", "nobody has this id")
        entry = ledger.Entry(transfer, key.mode, key.account, key.user_id)
        posted = await ledger.post_transfer(tx, entry, now_text)
        if posted == "exceeds":
            raise ApiError(409, "balance_low", "the wallet does not have that much to spare")
        if posted == "exists_different":
            raise ApiError(409, "exists_different", "another transfer has this id")
        if posted != "created":
            return []
        await wallets.set_wallet(tx, key, managed_by="platform", auto_topup=False)
        if direction == "credit":
            return await tell_credited(tx, key)
        balance_minor = (await credits_of(tx, key)).spendable_minor
        return await tell_inside(tx, key, "balance_low", balance_minor=balance_minor)

    await ctx.write(work)
    log.info("platform_moved_credits", user_id=key.user_id, direction=direction, by=by, note=body.note)
