"""The public card of a room, and those who watch it change."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any

from aiohttp import web

from metering.errors import RefusedError
from metering.funding import smallest_charge
from metering.money import Money
from metering.price import NO_FEE, price_parts
from metering.rates import Fee
from metering.tariff import Choice, Metered, Tariff, choices
from signaling.errors import ApiError
from signaling.stores import rooms as store
from signaling.stores.database import Database, Transaction
from signaling.stores.orders import seats_taken
from signaling.stores.rates import figures_of_room, tariff_of_room, terms_of_room

WATCHERS_MAX = 5000
WATCHERS_PER_ROOM_MAX = 1000
KEEPALIVE_S = 15.0


def card_state(room: store.Room, seats_left: int, *, has_price: bool = True) -> str:
    """What a visitor is told first: what cannot be changed by waiting comes before what can."""
    if room.state != "open":
        return "closed"
    if room.locked:
        return "locked"
    if not has_price:
        return "unpriced"
    if not room.live:
        return "away"
    return "full" if seats_left <= 0 else "live"


async def read_card(tx: Transaction, room: store.Room, origin: str) -> dict[str, Any]:
    """The public card as JSON (API.md)."""
    seats_left = max(0, room.capacity - await seats_taken(tx, room.id))
    tariff = await _sold(tx, room)
    offers = [] if tariff is None else await _offers(tx, room, tariff)
    terms = await terms_of_room(tx, room)
    return {
        "slug": room.slug,
        "title": room.title,
        "description": room.description,
        "host_name": room.host_name,
        "tariff": room.tariff if tariff is None else tariff.to_json(),
        "currency": room.currency,
        "privacy": room.privacy,
        "choices": offers,
        "smallest_charge": smallest_charge(tariff).to_json() if isinstance(tariff, Metered) else None,
        "live": room.live and room.state == "open",
        "state": card_state(room, seats_left, has_price=tariff is not None),
        "seats_left": seats_left,
        "terms_url": terms.url,
        "terms_version": terms.version,
        "mode": room.mode,
        "share_url": f"{origin}/r/{room.slug}",
    }


async def _sold(tx: Transaction, room: store.Room) -> Tariff | None:
    """What can be bought there; None while no price is set."""
    try:
        return await tariff_of_room(tx, room)
    except RefusedError:
        return None


async def _offers(tx: Transaction, room: store.Room, tariff: Tariff) -> list[dict[str, Any]]:
    fee = (
        (await figures_of_room(tx, room)).fee
        if tariff.kind in {"entrance", "per_minute", "subscription"}
        else NO_FEE
    )
    return [_offer(choice, fee) for choice in choices(tariff)]


def _offer(choice: Choice, fee: Fee) -> dict[str, Any]:
    """`price` is what is paid, the part of it that is the platform's fee on top named beside it."""
    parts = price_parts(choice.price, fee)
    price = Money(parts.amount_minor, parts.currency).to_json()
    offer: dict[str, Any] = {"seconds": choice.seconds, "price": price}
    on_top = Money(parts.fee_on_top_minor, parts.currency)
    return offer | ({"fee_on_top": on_top.to_json()} if on_top.amount_minor else {})


class Cards:
    """Reads cards and wakes their watchers. A watcher that is slow skips to the newest card."""

    def __init__(self, db: Database, origin: str) -> None:
        self._db = db
        self._origin = origin
        self._watchers: dict[str, set[asyncio.Event]] = {}
        self._closing = False

    async def card(self, slug: str) -> dict[str, Any]:
        """Raises ApiError 404 `unknown_room`."""
        async with self._db.read() as tx:
            return await self.card_of(tx, await room_by_slug(tx, slug))

    async def card_of(self, tx: Transaction, room: store.Room) -> dict[str, Any]:
        return await read_card(tx, room, self._origin)

    def changed(self, room_id: str) -> None:
        for event in self._watchers.get(room_id, ()):
            event.set()

    def all_changed(self) -> None:
        """Rates hold for many rooms."""
        for room_id in self._watchers:
            self.changed(room_id)

    def close(self) -> None:
        """Ends every stream, so that a shutdown does not wait for them."""
        self._closing = True
        for events in self._watchers.values():
            for event in events:
                event.set()

    @property
    def watchers(self) -> int:
        return sum(len(events) for events in self._watchers.values())

    async def stream(self, request: web.Request, slug: str) -> web.StreamResponse:
        """Server-Sent Events: the card at once and at each change. Raises ApiError 404, 503 `too_many_watchers`."""
        async with self._db.read() as tx:
            room = await room_by_slug(tx, slug)
        with self._watching(room.id) as event:
            response = web.StreamResponse(
                headers={
                    "Content-Type": "text/event-stream",
                    "Cache-Control": "no-store",
                    "X-Accel-Buffering": "no",
                }
            )
            await response.prepare(request)
            try:
                async for text in self._texts(slug, event):
                    await response.write(text.encode())
            except ConnectionError:
                pass  # the watcher went away
            return response

    @contextmanager
    def _watching(self, room_id: str) -> Iterator[asyncio.Event]:
        watchers = self._watchers.setdefault(room_id, set())
        if self.watchers >= WATCHERS_MAX or len(watchers) >= WATCHERS_PER_ROOM_MAX:
            raise ApiError(
                503, "too_many_watchers", "too many people are watching this page: reload it later"
            )
        event = asyncio.Event()
        event.set()
        watchers.add(event)
        try:
            yield event
        finally:
            watchers.discard(event)
            if not watchers:
                self._watchers.pop(room_id, None)

    async def _texts(self, slug: str, event: asyncio.Event) -> AsyncIterator[str]:
        last = ""
        while not self._closing:
            try:
                await asyncio.wait_for(event.wait(), KEEPALIVE_S)
            except TimeoutError:
                yield ": still here\n\n"
                continue
            event.clear()
            if self._closing:
                return
            text = json.dumps(await self.card(slug), separators=(",", ":"))
            if text != last:
                last = text
                yield f"event: card\ndata: {text}\n\n"


async def room_by_slug(tx: Transaction, slug: str) -> store.Room:
    """Raises ApiError 404 `unknown_room`."""
    room = await store.by_slug(tx, slug)
    if room is None:
        raise ApiError(404, "unknown_room", "there is no such room")
    return room
