"""Making an order: everything that is decided about it in one transaction, then its Checkout Session."""

import hashlib
import json
from dataclasses import dataclass, replace
from typing import Annotated, Literal

import structlog
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from metering.errors import RefusedError
from metering.money import Money
from metering.orders import OrderState
from metering.tariff import (
    Entrance,
    Free,
    Metered,
    PerMinute,
    Subscription,
    Tariff,
    Wallet,
    choices,
    length_of,
    price_of,
)
from signaling.errors import ApiError
from signaling.http import Line
from signaling.ids import secret_hash
from signaling.notices import Notice, RoomChanged
from signaling.payments import freeminutes, reconcile, walletstays
from signaling.payments.apply import Stamp
from signaling.payments.context import Context
from signaling.payments.granting import insert_granted
from signaling.payments.pricing import Asked, Quoted, price_order, quote, take_code
from signaling.stores import cards, passes, people, rates, rooms, subscriptions
from signaling.stores.database import Transaction
from signaling.stores.orders import (
    BY_USE,
    Funding,
    Order,
    get_opened,
    get_order,
    insert_order,
    orders_of_pass,
    seats_taken,
)

log = structlog.get_logger()

SECRET_CHARS_MIN = 32
EXTENDABLE = ("waiting", "active", "used_up")


EMAIL_PATTERN = r"^[^\s@<>\"]+@[^\s@<>\"]+$"


class NewQuote(BaseModel):
    """The body of `POST /api/rooms/{slug}/quote`."""

    model_config = ConfigDict(strict=True)

    seconds: Annotated[int, Field(ge=1, le=10_000_000)] | None = None
    email: Annotated[str, StringConstraints(pattern=EMAIL_PATTERN, max_length=254)] | None = None
    code: Annotated[str, StringConstraints(max_length=64)] | None = None


class NewOrder(BaseModel):
    """The body of `POST /api/rooms/{slug}/orders`."""

    model_config = ConfigDict(strict=True)

    order_id: Annotated[str, StringConstraints(pattern=r"^ord_[A-Za-z0-9_-]{22}$")]
    name: Annotated[Line, StringConstraints(max_length=80)]
    email: Annotated[str, StringConstraints(pattern=EMAIL_PATTERN, max_length=254)] | None = None
    seconds: Annotated[int, Field(ge=1, le=10_000_000)] | None = None
    extends: Annotated[str, StringConstraints(max_length=64)] | None = None
    extends_secret: Annotated[str, StringConstraints(max_length=256)] | None = None
    accept_terms: bool = False
    terms_version: Annotated[str, StringConstraints(max_length=64)] | None = None  # that the payer was shown
    code: Annotated[str, StringConstraints(max_length=64)] | None = None
    free: bool = False  # the room's free minutes, before anything is paid
    goes_on: bool = False  # of what is paid for by use: further holds on the same card may follow
    ui: Literal["hosted", "embedded"] | None = None

    def content_hash(self, slug: str) -> str:
        """Of what was ordered; a repeat with another content is another order."""
        said = self.model_dump(exclude={"extends_secret"}) | {"slug": slug}
        return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Made:
    """`is_new` false: the same request came before, and this is its answer. `notices`: to be published once the order
    is committed."""

    order: Order
    is_new: bool
    notices: tuple[Notice, ...] = ()


def require_secret(secret: str | None) -> str:
    """Raises ApiError 401 for none, or for one that is too short to be a secret."""
    if secret is None or len(secret) < SECRET_CHARS_MIN:
        raise ApiError(401, "secret_required", "send the order's secret as Authorization: Bearer")
    return secret


async def make_order(
    ctx: Context, slug: str, body: NewOrder, secret: str | None, user_id: str | None = None
) -> Made:
    """Stores the order with its seat, then creates its Checkout Session. `user_id`: the signed-in payer's. Raises
    ApiError (API.md, Orders).

    The order of the answer has no `checkout_session_id` when the payment service did not answer.
    """
    secret = require_secret(secret)
    if not body.accept_terms:
        raise ApiError(422, "terms_not_accepted", "the terms must be accepted", field="accept_terms")
    now_s, now_text = ctx.now_s(), ctx.now_text()
    stamp = Stamp(ctx.new_id("pass"), now_s, now_text)
    maker = _Maker(ctx, slug, body, secret_hash(secret), stamp=stamp, user_id=user_id)
    made = await ctx.db.write(maker.run)
    ctx.step("ordered")
    if made.is_new:
        for notice in (*made.notices, RoomChanged(made.order.room)):
            ctx.notices.publish(notice)
        if not made.order.granted:
            await reconcile.attempt_call(ctx, made.order.id)
    async with ctx.db.read() as tx:
        order = await get_order(tx, made.order.id)
    assert order is not None, "stored above"
    if made.is_new and order.state is OrderState.FAILED:
        raise ApiError(502, "payment_refused", "the payment service refused this payment")
    return Made(order, made.is_new)


class _Maker:
    """One transaction: the checks and the rows of a new order."""

    def __init__(
        self, ctx: Context, slug: str, body: NewOrder, hashed: str, *, stamp: Stamp, user_id: str | None
    ) -> None:
        self._ctx = ctx
        self._slug = slug
        self._body = body
        self._hashed = hashed
        self._stamp = stamp
        self._user_id = user_id
        self._now_s = stamp.now_s
        self._now_text = stamp.now_text

    async def run(self, tx: Transaction) -> Made:
        existing = await get_order(tx, self._body.order_id)
        if existing is not None:
            return self._repeat(existing)
        room = await _open_room(tx, self._ctx, self._slug)
        if self._body.extends is None:
            await self._require_seat(tx, room)
        else:
            await self._require_extendable(tx, room, self._body.extends)
        tariff = await self._tariff(tx, room)
        if self._body.free:
            return await self._free(tx, room, tariff)
        if isinstance(tariff, Subscription):
            await self._require_subscriber(tx, room)
        unpriced = self._order(room, tariff, await self._terms(tx, room))
        priced = await price_order(tx, room, unpriced, self._body.code, self._now_s)
        order = await self._with_address(tx, priced.order)
        if order.funding == "wallet":
            granted, notices = await walletstays.open_stay(tx, order, room, self._stamp)
            return Made(granted, is_new=True, notices=notices)
        if order.funding == "free" or (order.amount_minor == 0 and order.funding == "payment"):
            granted, notices = await insert_granted(tx, order, room, self._stamp)
            await take_code(tx, priced)
            return Made(granted, is_new=True, notices=notices)
        await insert_order(tx, order)
        await take_code(tx, priced)
        await reconcile.begin_call(tx, self._ctx.settings, order, slug=room.slug, now_s=self._now_s)
        return Made(order, is_new=True)

    async def _free(self, tx: Transaction, room: rooms.Room, tariff: Tariff) -> Made:
        """Nothing is paid, but a card is kept. Raises ApiError 401, 409, 422."""
        if self._body.extends is not None or self._body.code:
            raise ApiError(422, "invalid", "free minutes come before anything is bought", field="free")
        seconds = await freeminutes.offer(tx, room.id, tariff, self._user_id)
        bought = self._order(room, tariff, await self._terms(tx, room), least=True)
        customer_id = await cards.customer_of(tx, bought.user_id or "", bought.mode, bought.account)
        order = replace(
            bought,
            purpose="setup",
            funding="free",
            seconds=seconds,
            amount_minor=0,
            customer_id=customer_id,
        )
        await insert_order(tx, order)
        await reconcile.begin_call(tx, self._ctx.settings, order, slug=room.slug, now_s=self._now_s)
        return Made(order, is_new=True)

    def _repeat(self, existing: Order) -> Made:
        same = existing.request_hash == self._body.content_hash(self._slug)
        if not same or existing.secret_hash != self._hashed:
            raise ApiError(409, "exists_different", "another order has this id")
        return Made(existing, is_new=False)

    async def _require_seat(self, tx: Transaction, room: rooms.Room) -> None:
        if room.locked:
            raise ApiError(409, "room_locked", "the host has locked this room")
        if not room.live:
            raise ApiError(409, "host_offline", "the host is not live: paying opens when they are")
        if await seats_taken(tx, room.id) >= room.capacity:
            raise ApiError(409, "room_full", "every seat is taken or being paid for")

    async def _require_extendable(self, tx: Transaction, room: rooms.Room, pass_id: str) -> None:
        """Whoever adds time holds the secret of an order of that pass."""
        found = await passes.get_pass(tx, pass_id)
        behind = await orders_of_pass(tx, pass_id) if found is not None else []
        secret = self._body.extends_secret or ""
        known = any(order.opened_by(secret) for order in behind)
        if found is None or found.room_id != room.id or not known:
            raise ApiError(404, "unknown_pass", "no such pass in this room, or not your secret")
        is_by_use = found.funding in BY_USE  # grows by itself, as long as its card or wallet carries it
        if found.state not in EXTENDABLE or found.granted_ms is None or is_by_use:
            raise ApiError(409, "not_extendable", "time cannot be added to this pass")

    async def _tariff(self, tx: Transaction, room: rooms.Room) -> Tariff:
        """What is sold now. Raises ApiError 401 `sign_in_required`, 409 `no_rate`, `not_extendable`."""
        tariff = await _tariff(tx, room)
        if isinstance(tariff, Wallet) and self._user_id is None:
            raise ApiError(401, "sign_in_required", "sign in: this room is paid for with your credits")
        if self._body.extends is not None and _funding(tariff) != "payment":
            raise ApiError(409, "not_extendable", "this room sells no time to add")
        return tariff

    async def _require_subscriber(self, tx: Transaction, room: rooms.Room) -> None:
        """Somebody who is signed in and has no subscription here. Raises ApiError 401, 409."""
        if self._user_id is None:
            raise ApiError(401, "sign_in_required", "sign in first: a subscription is kept on your page")
        if await subscriptions.standing(tx, room.id, self._user_id) is not None:
            raise ApiError(409, "already_subscribed", "you have a subscription of this room: see your page")

    async def _with_address(self, tx: Transaction, order: Order) -> Order:
        """The service writes to a subscriber: their own address, where no other was given."""
        if order.funding != "subscription" or order.email is not None or order.user_id is None:
            return order
        subscriber = await people.by_id(tx, order.user_id)
        return order if subscriber is None else replace(order, email=subscriber.email)

    async def _terms(self, tx: Transaction, room: rooms.Room) -> rates.Terms:
        """What is accepted with the order. Raises ApiError 409 `terms_changed` when the payer was shown another version."""
        terms = await rates.terms_of_room(tx, room)
        if self._body.terms_version is not None and self._body.terms_version != terms.version:
            raise ApiError(
                409,
                "terms_changed",
                "the terms have changed: read and accept them again",
                field="accept_terms",
            )
        return terms

    def _order(self, room: rooms.Room, tariff: Tariff, terms: rates.Terms, *, least: bool = False) -> Order:
        """`least`: the length does not matter; the shortest that is sold."""
        body, settings = self._body, self._ctx.settings
        seconds, price = _price(tariff, choices(tariff)[0].seconds if least else body.seconds)
        return Order(
            id=body.order_id,
            room_id=room.id,
            mode=settings.mode,
            account=settings.account,
            state=OrderState.NEW,
            request_hash=body.content_hash(self._slug),
            secret_hash=self._hashed,
            name=body.name,
            email=body.email,
            tariff=tariff.to_json(),
            title=room.title,
            description=room.description,
            terms_url=terms.url,
            terms_version=terms.version,
            terms_accepted_at=self._now_text,
            seconds=seconds,
            amount_minor=price.amount_minor,
            currency=price.currency,
            extends_pass_id=body.extends,
            ui=body.ui or settings.checkout_ui,
            reserved_until_s=self._now_s + settings.reservation_s,
            created_at=self._now_text,
            created_at_s=self._now_s,
            funding=_funding(tariff),
            goes_on=body.goes_on and isinstance(tariff, Metered),
            user_id=self._user_id,
            payee=room.owner_id or room.id,
        )


async def _open_room(tx: Transaction, ctx: Context, slug: str) -> rooms.Room:
    """Raises ApiError 404 `unknown_room`, 409 `room_closed`."""
    room = await rooms.by_slug(tx, slug)
    settings = ctx.settings
    if room is None or (room.mode, room.account) != (settings.mode, settings.account):
        raise ApiError(404, "unknown_room", "no such room")
    if room.state != "open":
        raise ApiError(409, "room_closed", "the host has closed this room")
    return room


async def _tariff(tx: Transaction, room: rooms.Room) -> Tariff:
    """What is sold now: what the room leaves open comes from the rates of this moment. Raises ApiError 409 `no_rate`."""
    try:
        return await rates.tariff_of_room(tx, room)
    except RefusedError as error:
        log.warning("room_has_no_price", room_id=room.id, why=str(error))
        raise ApiError(409, "no_rate", "this room has no price: nothing can be bought here now") from None


async def quote_order(ctx: Context, slug: str, body: NewQuote, user_id: str | None) -> Quoted:
    """What an order made now would cost: nothing is kept, and no code is taken. Raises ApiError (API.md, Orders)."""
    async with ctx.db.read() as tx:
        room = await _open_room(tx, ctx, slug)
        tariff = await _tariff(tx, room)
        if _funding(tariff) != "payment" and body.code:
            raise ApiError(422, "code_not_here", "this code is not for this purchase", field="code")
        _, price = _price(tariff, body.seconds)
        return await quote(tx, room, price, Asked(body.code, ctx.now_s(), user_id, body.email))


def _funding(tariff: Tariff) -> Funding:
    """Raises ApiError 409 `not_for_sale` for a tariff whose orders are not made here."""
    if isinstance(tariff, Entrance | PerMinute):
        return "payment"
    if isinstance(tariff, Metered):
        return "metered"
    if isinstance(tariff, Wallet | Free):
        return "wallet" if isinstance(tariff, Wallet) else "free"
    if isinstance(tariff, Subscription):
        return "subscription"
    raise ApiError(409, "not_for_sale", "this room cannot be paid for in this way")


def _price(tariff: Tariff, seconds: int | None) -> tuple[int | None, Money]:
    if seconds is None and not isinstance(tariff, PerMinute):
        seconds = length_of(tariff)  # there is nothing to choose
    try:
        return seconds, price_of(tariff, seconds)
    except RefusedError as error:
        raise ApiError(422, "invalid", str(error), field="seconds") from None


async def find_order(ctx: Context, order_id: str, secret: str | None) -> Order:
    """The caller's own order. Raises ApiError 401, and 404 alike for an unknown order and a wrong secret."""
    secret = require_secret(secret)
    async with ctx.db.read() as tx:
        order = await get_opened(tx, order_id, secret)
    if order is None or not ctx.settings.shelf.holds(order.mode, order.account):
        raise ApiError(404, "unknown_order", "no such order, or not its secret")
    return order
