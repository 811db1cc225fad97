"""Opening a room, and the host's key to it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, StringConstraints

from metering.rates import Figures
from signaling.clock import Clock, rfc3339
from signaling.errors import ApiError
from signaling.hosting import Caller
from signaling.http import Line, Prose
from signaling.ids import RandomBytes, new_id, new_secret, new_slug, secret_hash
from signaling.rooms.tariffs import Said, read_tariff, require_sign_in
from signaling.stores import invitations, modes, people, rates
from signaling.stores import rooms as store
from signaling.stores.database import Database, Transaction

CAPACITY = {"confidential": 11, "conference": 200}  # when the host does not say; payers
CAPACITY_MAX = {"confidential": 11, "conference": 1000}


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
    mode: Literal["sandbox", "test", "live"] | None = None  # of those that this server has; else the default


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


async def figures_for(
    tx: Transaction,
    books: Books,
    said: Mapping[str, Any],
    *,
    room_id: str | None = None,
    owner_id: str | None = None,
) -> Figures:
    """The rates that hold for a tariff that says this: in its currency, where it names one."""
    code = said.get("currency")
    return await rates.figures_of(
        tx,
        rates.BooksOf(books.mode, books.account),
        room_id=room_id,
        owner_id=owner_id,
        currency=code if isinstance(code, str) and code else None,
    )


def read_capacity(privacy: str, capacity: int | None) -> int:
    """Raises ApiError 422 `invalid`."""
    limit = CAPACITY_MAX[privacy]
    if capacity is not None and capacity > limit:
        raise ApiError(422, "invalid", f"such a room holds up to {limit} payers", field="capacity")
    return capacity or CAPACITY[privacy]


class Opening:
    """Makes rooms and turns host keys."""

    def __init__(
        self,
        db: Database,
        clock: Clock,
        random_bytes: RandomBytes,
        books: Books,
        *,
        anyone_may_open: bool,
        other_books: Sequence[Books] = (),
        can_sign_in: bool = True,
    ) -> None:
        self._db = db
        self._clock = clock
        self._random_bytes = random_bytes
        self._sets = (books, *other_books)
        self._anyone_may_open = anyone_may_open
        self._can_sign_in = can_sign_in

    async def open_room(
        self,
        body: NewRoom,
        invitation: str | None,
        owner_id: str | None = None,
        *,
        by_operator: bool = False,
    ) -> Opened:
        """`owner_id`: the signed-in person who earns here; None: the operator. Raises ApiError 401 `invitation_required`, 403 `invitation_used`, `test_rooms_closed`, 422."""
        capacity = read_capacity(body.privacy, body.capacity)
        opened = Opened(
            new_id("room", self._random_bytes), new_slug(self._random_bytes), new_secret(self._random_bytes)
        )

        async def work(tx: Transaction) -> None:
            books = await self._choose(tx, body, invitation, by_operator=by_operator)
            if owner_id is not None:
                await people.becomes_host(tx, owner_id)
            figures = await figures_for(tx, books, body.tariff, owner_id=owner_id)
            said = read_tariff(body.tariff, body.max_seconds, figures)
            require_sign_in(said.tariff, can_sign_in=self._can_sign_in)
            row = self._row(opened, body, said, capacity, books)
            await store.insert_room(tx, row | {"owner_id": owner_id})

        await self._db.write(work)
        return opened

    def _row(self, opened: Opened, body: NewRoom, said: Said, capacity: int, books: Books) -> dict[str, Any]:
        now_s = self._clock.wall_s()
        return {
            "id": opened.id,
            "slug": opened.slug,
            "host_key_hash": secret_hash(opened.host_key),
            "mode": books.mode,
            "account": books.account,
            "title": body.title,
            "description": body.description,
            "host_name": body.host_name,
            "tariff": said.stored,
            "currency": said.tariff.currency,
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

    async def _choose(
        self, tx: Transaction, body: NewRoom, invitation: str | None, *, by_operator: bool
    ) -> Books:
        """In which books the room is, for ever, once its opener may open one there."""
        rules = await modes.read(tx) if len(self._sets) > 1 else None
        wanted = body.mode or (self._sets[0].mode if rules is None else rules.default_mode)
        books = next((one for one in self._sets if one.mode == wanted), None)
        if books is None:
            raise ApiError(422, "invalid", "this server has no keys of that mode", field="mode")
        rule = rules.test_rooms if rules is not None and books.mode == "test" else "invited"
        if rule == "operator" and not by_operator:
            raise ApiError(403, "test_rooms_closed", "only the operator opens test rooms here")
        if rule == "invited":
            await self._take_invitation(tx, invitation)
        return books

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

    async def hosted_room(self, room_id: str, who: Caller) -> store.Room:
        """The room that is theirs. Raises ApiError 403 `bad_host_key`, also for a room that does not exist."""
        async with self._db.read() as tx:
            return await who.room(tx, room_id)

    async def rotate_key(self, room_id: str, who: Caller) -> str:
        """A new host key; the old one stops working. Raises ApiError 403 `bad_host_key`."""
        fresh = new_secret(self._random_bytes)

        async def work(tx: Transaction) -> None:
            await who.room(tx, room_id)
            await store.replace_host_key(tx, room_id, secret_hash(fresh))

        await self._db.write(work)
        return fresh
