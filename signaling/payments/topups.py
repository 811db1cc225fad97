"""Top-ups: an order that buys credits, outside any room, paid like others; and what a paid one does.

A top-up has no pass. Once paid, its credits and what the platform adds to them stand in the wallet, and the stays that
run on that wallet are told; one that had nothing to go on with asks for its next window.
"""

import hashlib
import json
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from metering.errors import UnknownCurrencyError
from metering.orders import OrderState
from metering.wallet import Package, packages_for
from signaling.errors import ApiError
from signaling.ids import secret_hash
from signaling.payments import reconcile
from signaling.payments.checkout import Made, require_secret
from signaling.payments.context import Context
from signaling.payments.wallets import topup_tariff
from signaling.stores import rates, wallets
from signaling.stores.database import Transaction
from signaling.stores.orders import Order, get_order, insert_order
from signaling.stores.people import User
from signaling.stores.rates import BooksOf
from signaling.stores.wallets import Key

TITLE = "Credits"
DESCRIPTION = "Credits for the rooms of this server."


class NewTopup(BaseModel):
    """The body of `POST /api/wallets/{currency}/topups`. `package`: its place in the list of `GET /api/me/wallets`;
    `price_minor`: what the page showed for it."""

    model_config = ConfigDict(strict=True)

    order_id: Annotated[str, StringConstraints(pattern=r"^ord_[A-Za-z0-9_-]{22}$")]
    package: Annotated[int, Field(ge=0, le=11)]
    price_minor: Annotated[int, Field(ge=1)]
    accept_terms: bool = False
    ui: Literal["hosted", "embedded"] | None = None

    def content_hash(self, currency: str, user_id: str) -> str:
        """Of what was ordered; a repeat with another content is another order."""
        said = self.model_dump() | {"topup": currency, "user_id": user_id}
        return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


async def packages_of(tx: Transaction, books: BooksOf, currency: str) -> tuple[Package, ...]:
    """What is sold of that currency. Raises ApiError 404 `unknown_currency`."""
    figures = await rates.figures_of(tx, books, currency=currency)
    try:
        return packages_for(currency, figures.get("packages"))
    except UnknownCurrencyError:
        raise ApiError(404, "unknown_currency", "no such currency") from None


async def make_topup(ctx: Context, person: User, currency: str, body: NewTopup, secret: str | None) -> Made:
    """Stores the order, then creates its Checkout Session. Raises ApiError (API.md, Wallets)."""
    hashed = secret_hash(require_secret(secret))
    if not body.accept_terms:
        raise ApiError(422, "terms_not_accepted", "the terms must be accepted", field="accept_terms")
    settings, now_s, now_text = ctx.settings, ctx.now_s(), ctx.now_text()
    key = Key(person.id, settings.mode, settings.account, currency)

    async def work(tx: Transaction) -> Made:
        wanted_hash = body.content_hash(currency, person.id)
        existing = await get_order(tx, body.order_id)
        if existing is not None:
            if (existing.request_hash, existing.secret_hash) != (wanted_hash, hashed):
                raise ApiError(409, "exists_different", "another order has this id")
            return Made(existing, is_new=False)
        package = await _package(tx, key, body)
        order = Order(
            id=body.order_id,
            room_id=None,
            mode=settings.mode,
            account=settings.account,
            state=OrderState.NEW,
            request_hash=wanted_hash,
            secret_hash=hashed,
            name=person.name or person.email,
            email=person.email,
            tariff=topup_tariff(package, save_card=False),
            title=TITLE,
            description=DESCRIPTION,
            terms_accepted_at=now_text,
            seconds=None,
            amount_minor=package.price_minor,
            currency=currency,
            ui=body.ui or settings.checkout_ui,
            reserved_until_s=now_s + settings.reservation_s,
            created_at=now_text,
            created_at_s=now_s,
            purpose="topup",
            user_id=person.id,
        )
        await insert_order(tx, order)
        await wallets.set_wallet(tx, key)  # from now on it is one of the person's wallets
        await reconcile.begin_call(tx, settings, order, slug=None, now_s=now_s)
        return Made(order, is_new=True)

    made = await ctx.db.write(work)
    ctx.step("ordered")
    if made.is_new:
        await reconcile.attempt_call(ctx, made.order.id)
    async with ctx.db.read() as tx:
        order = await get_order(tx, made.order.id)
    assert order is not None, "stored above"
    if made.is_new and order.state is OrderState.FAILED:
        raise ApiError(502, "payment_refused", "the payment service refused this payment")
    return Made(order, made.is_new)


async def _package(tx: Transaction, key: Key, body: NewTopup) -> Package:
    if (await wallets.get_wallet(tx, key)).managed_by == "platform":
        raise ApiError(409, "managed_by_platform", "these credits are given by the platform, not bought")
    offered = await packages_of(tx, BooksOf(key.mode, key.account), key.currency)
    if body.package >= len(offered) or offered[body.package].price_minor != body.price_minor:
        raise ApiError(
            409, "package_changed", "this package is not sold any more: look again", field="package"
        )
    return offered[body.package]
