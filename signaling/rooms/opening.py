"""Opening a room, and the host's key to it."""

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, StringConstraints

from metering.errors import RefusedError
from metering.tariff import Entrance, Free, Tariff, choices, parse_tariff
from signaling.clock import Clock, rfc3339
from signaling.errors import ApiError
from signaling.http import Line, Prose
from signaling.ids import RandomBytes, new_id, new_secret, new_slug, secret_hash, secret_matches
from signaling.stores import invitations, people
from signaling.stores import rooms as store
from signaling.stores.database import Database, Transaction

CAPACITY = {"confidential": 11, "conference": 200}  # when the host does not say; payers
CAPACITY_MAX = {"confidential": 11, "conference": 1000}
REFUSALS = {"below_minimum", "unknown_currency"}
# Parsed and priced, and not to be bought yet: no room may be opened with them.
NOT_SOLD = ("subscription",)
RATES = ("per_minute", "metered", "wallet")  # sold by the minute: `max_seconds` of the room bounds them


class NewRoom(BaseModel):
    """The body of `POST /api/rooms`."""

    title: Annotated[Line, StringConstraints(max_length=120)]
    description: Annotated[Prose, StringConstraints(max_length=2000)]
    host_name: Annotated[Line, StringConstraints(max_length=80)]
    tariff: dict[str, Any]
    privacy: Literal["confidential", "conference"]
    capacity: Annotated[int, Field(ge=1, le=1000)] | None = None
    max_seconds: Annotated[int, Field(ge=60, le=86_400)] | None = None
    terms_url: Annotated[str, StringConstraints(max_length=500, pattern=r"^https?://[^\s\"<>]+$")] | None = (
        None
    )


@dataclass(frozen=True, slots=True)
class Books:
    """Which books a new room belongs to."""

    mode: str
    account: str


@dataclass(frozen=True, slots=True)
class Opened:
    """A new room's id, and the secret that is told once."""

    id: str
    slug: str
    host_key: str


def read_tariff(body: NewRoom) -> Tariff:
    """The tariff bounded by `max_seconds`. Raises ApiError 422 `bad_tariff`, `below_minimum`, `unknown_currency`,
    `invalid`."""
    try:
        tariff = parse_tariff(_within(body))
        choices(tariff)
    except RefusedError as error:
        code = error.code if error.code in REFUSALS else "bad_tariff"
        raise ApiError(422, code, str(error), field="tariff") from None
    if tariff.kind in NOT_SOLD or getattr(tariff, "free_seconds", None):
        raise ApiError(422, "bad_tariff", "subscriptions and free minutes are not sold yet", field="tariff")
    if body.max_seconds is not None and _sold_s(tariff) > body.max_seconds:
        raise ApiError(422, "invalid", "the length is over the longest that may be sold", field="max_seconds")
    return tariff


def _within(body: NewRoom) -> dict[str, Any]:
    """The tariff that was asked for, no longer than `max_seconds`; what is no tariff is left for its parser to refuse."""
    wanted, longest = body.tariff, body.max_seconds
    if longest is None or wanted.get("kind") not in RATES:
        return wanted
    bounded = {"max_seconds": longest} | wanted
    for name in ("max_seconds", "window_s"):
        if isinstance(bounded.get(name), int):
            bounded[name] = min(longest, bounded[name])
    return bounded | ({"presets_s": _bounded(wanted, longest)} if "presets_s" in wanted else {})


def _sold_s(tariff: Tariff) -> int:
    """The length that is sold as a whole; 0 where it is chosen, bounded already, or without limit."""
    return tariff.seconds or 0 if isinstance(tariff, Entrance | Free) else 0


def _bounded(tariff: dict[str, Any], max_seconds: int) -> object:
    """The presets that may be sold; whatever is no list of numbers is left for the tariff's own parser to refuse."""
    presets = tariff.get("presets_s")
    if not isinstance(presets, list):
        return presets
    return [preset for preset in presets if not isinstance(preset, int) or preset <= max_seconds]


def read_capacity(body: NewRoom) -> int:
    limit = CAPACITY_MAX[body.privacy]
    if body.capacity is not None and body.capacity > limit:
        raise ApiError(422, "invalid", f"such a room holds up to {limit} payers", field="capacity")
    return body.capacity or CAPACITY[body.privacy]


class Opening:
    """Makes rooms and turns host keys."""

    def __init__(
        self, db: Database, clock: Clock, random_bytes: RandomBytes, books: Books, *, anyone_may_open: bool
    ) -> None:
        self._db = db
        self._clock = clock
        self._random_bytes = random_bytes
        self._books = books
        self._anyone_may_open = anyone_may_open

    async def open_room(self, body: NewRoom, invitation: str | None, owner_id: str | None = None) -> Opened:
        """`owner_id`: the signed-in person who earns here; None: the operator. Raises ApiError 401 `invitation_required`, 403 `invitation_used`, 422."""
        tariff, capacity = read_tariff(body), read_capacity(body)
        opened = Opened(
            new_id("room", self._random_bytes), new_slug(self._random_bytes), new_secret(self._random_bytes)
        )

        async def work(tx: Transaction) -> None:
            await self._take_invitation(tx, invitation)
            await store.insert_room(tx, self._row(opened, body, tariff, capacity) | {"owner_id": owner_id})
            if owner_id is not None:
                await people.becomes_host(tx, owner_id)

        await self._db.write(work)
        return opened

    def _row(self, opened: Opened, body: NewRoom, tariff: Tariff, capacity: int) -> dict[str, Any]:
        now_s = self._clock.wall_s()
        return {
            "id": opened.id,
            "slug": opened.slug,
            "host_key_hash": secret_hash(opened.host_key),
            "mode": self._books.mode,
            "account": self._books.account,
            "title": body.title,
            "description": body.description,
            "host_name": body.host_name,
            "tariff": tariff.to_json(),
            "currency": tariff.currency,
            "privacy": body.privacy,
            "capacity": capacity,
            "max_seconds": body.max_seconds,
            "terms_url": body.terms_url,
            "terms_version": rfc3339(now_s) if body.terms_url else None,
            "state": "open",
            "locked": False,
            "epoch": 0,
            "live": False,
            "away_since_s": int(now_s),
            "created_at": rfc3339(now_s),
        }

    async def _take_invitation(self, tx: Transaction, invitation: str | None) -> None:
        if self._anyone_may_open:
            return
        if invitation is None:
            raise ApiError(401, "invitation_required", "opening a room here needs an invitation")
        use = await invitations.use(tx, secret_hash(invitation), int(self._clock.wall_s()))
        if use == "unknown":
            raise ApiError(401, "invitation_required", "this invitation is not known here")
        if use == "spent":
            raise ApiError(403, "invitation_used", "this invitation is used up or too old")

    async def room_of_host(self, tx: Transaction, room_id: str, host_key: str | None) -> store.Room:
        """The room that this key opens. Raises ApiError 403 `bad_host_key`, also for a room that does not exist."""
        stored = await store.host_key_hash(tx, room_id)
        room = await store.by_id(tx, room_id)
        if host_key is None or room is None or not secret_matches(host_key, stored):
            raise ApiError(403, "bad_host_key", "this host link does not open the room")
        return room

    async def hosted_room(self, room_id: str, host_key: str | None) -> store.Room:
        """As `room_of_host`, in a transaction of its own."""
        async with self._db.read() as tx:
            return await self.room_of_host(tx, room_id, host_key)

    async def rotate_key(self, room_id: str, host_key: str | None) -> str:
        """A new host key; the old one stops working. Raises ApiError 403 `bad_host_key`."""
        fresh = new_secret(self._random_bytes)

        async def work(tx: Transaction) -> None:
            await self.room_of_host(tx, room_id, host_key)
            await store.replace_host_key(tx, room_id, secret_hash(host_key or ""), secret_hash(fresh))

        await self._db.write(work)
        return fresh
