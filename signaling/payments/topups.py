"""Top-ups: an order that buys credits, outside any room; through a Checkout Session, or with a card on file.

A top-up has no pass. Once paid, its credits and what the platform adds to them stand in the wallet (`filling.py`).
"""

import hashlib
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Annotated, Literal

import structlog
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from metering.errors import UnknownCurrencyError
from metering.orders import OrderState
from metering.wallet import Package, packages_for
from signaling.errors import ApiError
from signaling.ids import secret_hash
from signaling.payments import customers, onfile, reconcile
from signaling.payments.checkout import Made, require_secret
from signaling.payments.context import Context
from signaling.payments.port import OutcomeUnknownError, RefusedByServiceError
from signaling.payments.settle import settle
from signaling.payments.wallets import topup_tariff
from signaling.stores import cards, rates, wallets
from signaling.stores.database import Transaction
from signaling.stores.orders import Order, get_order, insert_order
from signaling.stores.people import User
from signaling.stores.rates import BooksOf
from signaling.stores.wallets import Key

log = structlog.get_logger()

TITLE = "Credits"
DESCRIPTION = "Credits for the rooms of this server."
PACKAGES_MAX = 11


class NewTopup(BaseModel):
    """The body of `POST /api/wallets/{currency}/topups`. `package`: its place in the list of the wallet; `price_minor`:
    what the page showed for it. `save_card` keeps the card for later; `payment_method_id` is one that was kept."""

    model_config = ConfigDict(strict=True)

    order_id: Annotated[str, StringConstraints(pattern=r"^ord_[A-Za-z0-9_-]{22}$")]
    package: Annotated[int, Field(ge=0, le=PACKAGES_MAX)]
    price_minor: Annotated[int, Field(ge=1)]
    accept_terms: bool = False
    save_card: bool = False
    payment_method_id: Annotated[str, StringConstraints(min_length=1, max_length=255)] | None = None
    ui: Literal["hosted", "embedded"] | None = None

    def content_hash(self, currency: str, user_id: str) -> str:
        """Of what was ordered; a repeat with another content is another order."""
        said = self.model_dump() | {"topup": currency, "user_id": user_id}
        return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Buyer:
    """Who buys, and what the service knows them by (None: it need not)."""

    key: Key
    name: str
    email: str | None = None
    customer_id: str | None = None


async def packages_of(tx: Transaction, books: BooksOf, currency: str) -> tuple[Package, ...]:
    """What is sold of that currency. Raises ApiError 404 `unknown_currency`."""
    figures = await rates.figures_of(tx, books, currency=currency)
    try:
        return packages_for(currency, figures.get("packages"))
    except UnknownCurrencyError:
        raise ApiError(404, "unknown_currency", "no such currency") from None


async def require_sold(tx: Transaction, key: Key) -> None:
    """Raises ApiError 409 `managed_by_platform`."""
    if (await wallets.get_wallet(tx, key)).managed_by == "platform":
        raise ApiError(409, "managed_by_platform", "these credits are given by the platform, not bought")


def topup_order(ctx: Context, buyer: Buyer, package: Package, order_id: str, *, save_card: bool) -> Order:
    """Not yet stored; its secret and what was asked for are the caller's."""
    settings = ctx.settings
    return Order(
        id=order_id,
        room_id=None,
        mode=settings.mode,
        account=settings.account,
        state=OrderState.NEW,
        request_hash="",
        secret_hash="",
        name=buyer.name,
        email=buyer.email,
        tariff=topup_tariff(package, save_card=save_card),
        title=TITLE,
        description=DESCRIPTION,
        terms_accepted_at=ctx.now_text(),
        seconds=None,
        amount_minor=package.price_minor,
        currency=package.currency,
        ui=settings.checkout_ui,
        reserved_until_s=ctx.now_s() + settings.reservation_s,
        created_at=ctx.now_text(),
        created_at_s=ctx.now_s(),
        purpose="topup",
        user_id=buyer.key.user_id,
        customer_id=buyer.customer_id,
    )


async def make_topup(ctx: Context, person: User, currency: str, body: NewTopup, secret: str | None) -> Made:
    """Stores the order, then asks for its payment. Raises ApiError (API.md, Wallets)."""
    hashed = secret_hash(require_secret(secret))
    if not body.accept_terms:
        raise ApiError(422, "terms_not_accepted", "the terms must be accepted", field="accept_terms")
    key = Key(person.id, ctx.settings.mode, ctx.settings.account, currency)
    keeps = body.save_card or body.payment_method_id is not None
    customer_id = await _customer(ctx, person.id) if keeps else None
    buyer = Buyer(key, person.name or person.email, person.email, customer_id)
    made = await ctx.db.write(_making(ctx, buyer, body, hashed))
    ctx.step("ordered")
    if made.is_new:
        await pay(ctx, made.order)
    async with ctx.db.read() as tx:
        order = await get_order(tx, made.order.id)
    assert order is not None, "stored above"
    if made.is_new and order.state is OrderState.FAILED and not order.on_file:
        raise ApiError(502, "payment_refused", "the payment service refused this payment")
    return Made(order, made.is_new)


async def _customer(ctx: Context, user_id: str) -> str:
    try:
        return await customers.ensure_customer(ctx, user_id)
    except (OutcomeUnknownError, RefusedByServiceError) as error:
        log.warning("customer_not_made", user_id=user_id, error=str(error))
        raise ApiError(503, "payment_unavailable", "the payment service does not answer: try again") from None


def _making(
    ctx: Context, buyer: Buyer, body: NewTopup, hashed: str
) -> Callable[[Transaction], Awaitable[Made]]:
    key = buyer.key
    wanted_hash = body.content_hash(key.currency, key.user_id)

    async def work(tx: Transaction) -> Made:
        existing = await get_order(tx, body.order_id)
        if existing is not None:
            books = (existing.mode, existing.account)
            if books != (key.mode, key.account) or (existing.request_hash, existing.secret_hash) != (
                wanted_hash,
                hashed,
            ):
                raise ApiError(409, "exists_different", "another order has this id")
            return Made(existing, is_new=False)
        await require_sold(tx, key)
        offered = await packages_of(tx, BooksOf(key.mode, key.account), key.currency)
        if body.package >= len(offered) or offered[body.package].price_minor != body.price_minor:
            raise ApiError(
                409, "package_changed", "this package is not sold any more: look again", field="package"
            )
        order = topup_order(ctx, buyer, offered[body.package], body.order_id, save_card=body.save_card)
        order = replace(order, request_hash=wanted_hash, secret_hash=hashed, ui=body.ui or order.ui)
        if body.payment_method_id is not None:
            await require_card(tx, key, body.payment_method_id)
            order = replace(order, ui="card", payment_method_id=body.payment_method_id)
        await store(tx, ctx, order)
        await wallets.set_wallet(tx, key)  # from now on it is one of the person's wallets
        return Made(order, is_new=True)

    return work


async def require_card(tx: Transaction, key: Key, payment_method_id: str) -> cards.Card:
    """The person's own card on file. Raises ApiError 404 `unknown_card`."""
    card = await cards.card_of(tx, key.user_id, key.mode, key.account, payment_method_id)
    if card is None:
        raise ApiError(404, "unknown_card", "no such card on file", field="payment_method_id")
    return card


async def store(tx: Transaction, ctx: Context, order: Order) -> None:
    """The order with the call that asks for its payment."""
    await insert_order(tx, order)
    if order.on_file:
        await onfile.begin_call(tx, ctx.settings, order, now_s=order.created_at_s)
    else:
        await reconcile.begin_call(tx, ctx.settings, order, slug=None, now_s=order.created_at_s)


async def pay(ctx: Context, order: Order) -> None:
    """Asks for the payment of an order that was stored. Raises nothing: what is not known yet is looked at again."""
    if not order.on_file:
        await reconcile.attempt_call(ctx, order.id)
        return
    await onfile.attempt_call(ctx, order.id)
    async with ctx.db.read() as tx:
        made = await get_order(tx, order.id)
    if made is None or made.payment_ref is None:
        return
    try:
        await settle(ctx, order.id)
    except OutcomeUnknownError as error:
        log.warning("settling_postponed", order_id=order.id, error=str(error))


async def forget_card(ctx: Context, user_id: str, payment_method_id: str) -> None:
    """It is charged no more, and nothing is topped up with it. Raises ApiError 404 `unknown_card`."""
    key = Key(user_id, ctx.settings.mode, ctx.settings.account, "")

    async def work(tx: Transaction) -> None:
        await require_card(tx, key, payment_method_id)
        await wallets.drop_auto_card(tx, key, payment_method_id)
        await cards.forget_card(tx, payment_method_id)

    await ctx.db.write(work)
    try:
        await customers.forget_card(ctx, payment_method_id)
    except OutcomeUnknownError as error:  # we never ask for it again, whether the service keeps it or not
        log.warning("card_not_detached", error=str(error))
