"""Topping up unasked: only during a call, only for who switched it on, with a card that they kept for it.

`metering.wallet.auto_topup` decides; that two who decide at the same moment ask for one payment is the wallet's own row
(`claim_auto`, compare-and-set). A decline is told to the payer, and the card is left alone for an hour.
"""

from dataclasses import replace
from typing import Annotated

import structlog
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from metering.wallet import HOUR_S, AutoTopup, auto_topup
from signaling.errors import ApiError
from signaling.ids import new_secret, secret_hash
from signaling.payments import topups, walletstays
from signaling.payments.context import Context
from signaling.payments.holds import Stay, find_stay
from signaling.payments.topups import Buyer, packages_of, require_card, topup_order
from signaling.payments.wallets import credits_of, key_of
from signaling.stores import cards, people, wallets
from signaling.stores.database import Transaction
from signaling.stores.orders import Order
from signaling.stores.rates import BooksOf
from signaling.stores.wallets import AUTO_UI, Key

log = structlog.get_logger()


class AutoTopupChoice(BaseModel):
    """The body of `PUT /api/wallets/{currency}/auto`. Off needs nothing more."""

    model_config = ConfigDict(strict=True)

    on: bool
    package: Annotated[int, Field(ge=0, le=topups.PACKAGES_MAX)] | None = None
    payment_method_id: Annotated[str, StringConstraints(min_length=1, max_length=255)] | None = None


async def choose(ctx: Context, user_id: str, currency: str, choice: AutoTopupChoice) -> None:
    """Switches it on or off. Raises ApiError 404 `unknown_card`, `unknown_currency`, 409 `managed_by_platform`,
    `package_changed`, 422 `invalid`."""
    key = Key(user_id, ctx.settings.mode, ctx.settings.account, currency)

    async def work(tx: Transaction) -> None:
        if not choice.on:
            await wallets.set_wallet(tx, key, auto_topup=False)
            return
        if choice.package is None or choice.payment_method_id is None:
            raise ApiError(422, "invalid", "say which package, and which card", field="package")
        await topups.require_sold(tx, key)
        if choice.package >= len(await packages_of(tx, BooksOf(key.mode, key.account), currency)):
            raise ApiError(409, "package_changed", "this package is not sold any more", field="package")
        card = await require_card(tx, key, choice.payment_method_id)
        await wallets.set_wallet(
            tx,
            key,
            auto_topup=True,
            auto_package=choice.package,
            auto_card=card.payment_method_id,
            auto_not_before_s=None,  # whoever switches it on anew means it
        )

    await ctx.db.write(work)


async def consider(ctx: Context, pass_id: str) -> None:
    """A stay runs low: tops its wallet up where that is due. Raises nothing."""
    order_id, secret = ctx.new_id("ord"), new_secret(ctx.random_bytes)
    order = await ctx.db.write(lambda tx: _prepare(tx, ctx, pass_id, order_id, secret))
    ctx.step("topup_considered")
    if order is not None:
        log.info("topping_up", order_id=order.id)
        await topups.pay(ctx, order)


async def _prepare(tx: Transaction, ctx: Context, pass_id: str, order_id: str, secret: str) -> Order | None:
    stay = await find_stay(tx, pass_id)
    if stay is None or stay.order.funding != "wallet" or stay.pass_.settled:
        return None
    key, now_s = key_of(stay.order), ctx.now_s()
    wallet = await wallets.get_wallet(tx, key)
    if auto_topup(await _situation(tx, stay, wallet, now_s), now_s) != "due":
        return None
    offered = await packages_of(tx, BooksOf(key.mode, key.account), key.currency)
    customer_id = await cards.customer_of(tx, key.user_id, key.mode, key.account)
    person = await people.by_id(tx, key.user_id)
    place, card = wallet.auto_package or 0, wallet.auto_card
    if place >= len(offered) or customer_id is None or person is None or card is None:
        return None
    if await cards.card_of(tx, key.user_id, key.mode, key.account, card) is None:
        return None
    if not await wallets.claim_auto(tx, key, order_id):
        return None
    buyer = Buyer(key, person.name or person.email, person.email, customer_id)
    made = topup_order(ctx, buyer, offered[place], order_id, save_card=False)
    order = _unasked(made, card, secret)
    await topups.store(tx, ctx, order)
    return order


async def _situation(tx: Transaction, stay: Stay, wallet: wallets.Wallet, now_s: int) -> AutoTopup:
    key = key_of(stay.order)
    found = await credits_of(tx, key)
    return AutoTopup(
        on=wallet.auto_topup and wallet.managed_by == "stripe",
        in_call=bool(await wallets.inside(tx, key)),
        available_minor=found.available_minor,
        low_minor=await walletstays.low_of(tx, stay),
        owed_minor=found.owed_minor,
        disputed=await wallets.is_disputed(tx, key),
        in_flight=wallet.auto_order_id is not None,
        not_before_s=wallet.auto_not_before_s,
        asked_s=await wallets.auto_asked_s(tx, key, now_s - HOUR_S),
    )


def _unasked(order: Order, card: str, secret: str) -> Order:
    """Nobody knows its secret: its receipt is found on the person's own page."""
    return replace(
        order, ui=AUTO_UI, payment_method_id=card, request_hash=AUTO_UI, secret_hash=secret_hash(secret)
    )
