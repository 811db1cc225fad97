"""What a host changes about a room that is open: its words, its price, its terms."""

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from signaling.clock import Clock, rfc3339
from signaling.errors import ApiError
from signaling.hosting import Caller
from signaling.http import Line, Prose
from signaling.notices import Notices, RoomChanged
from signaling.rooms.opening import Books, figures_for, read_capacity
from signaling.rooms.tariffs import read_tariff, require_sign_in
from signaling.stores import rooms as store
from signaling.stores.database import Database, Transaction

REQUIRED = ("title", "description", "host_name", "tariff", "capacity")  # may be changed, not taken away


class RoomEdit(BaseModel):
    """The body of `PATCH /api/host/rooms/{id}`: what is absent stays; `max_seconds` and the terms may be null."""

    model_config = ConfigDict(strict=True, extra="forbid")

    title: Annotated[Line, StringConstraints(max_length=120)] | None = None
    description: Annotated[Prose, StringConstraints(max_length=2000)] | None = None
    host_name: Annotated[Line, StringConstraints(max_length=80)] | None = None
    tariff: dict[str, Any] | None = None
    capacity: Annotated[int, Field(ge=1, le=1000)] | None = None
    max_seconds: Annotated[int, Field(ge=60, le=86_400)] | None = None
    terms_url: Annotated[str, StringConstraints(max_length=500, pattern=r"^https?://[^\s\"<>]+$")] | None = (
        None
    )
    terms_version: Annotated[Line, StringConstraints(max_length=64)] | None = None

    def changes(self) -> dict[str, Any]:
        """What was said. Raises ApiError 422 `invalid` for nothing where something is needed."""
        said = {name: getattr(self, name) for name in self.model_fields_set}
        for name in REQUIRED:
            if name in said and said[name] is None:
                raise ApiError(422, "invalid", f"{name} cannot be empty", field=name)
        return said


class Editing:
    """Changes rooms. What was ordered before keeps the price and the terms that it was ordered with."""

    def __init__(self, db: Database, clock: Clock, notices: Notices, *, can_sign_in: bool = True) -> None:
        self._db = db
        self._clock = clock
        self._notices = notices
        self._can_sign_in = can_sign_in

    async def edit(self, room_id: str, who: Caller, body: RoomEdit) -> None:
        """Raises ApiError 403 `bad_host_key`; 409 `room_closed`, `currency_fixed`; 422 as when opening a room."""
        changes = body.changes()

        async def work(tx: Transaction) -> None:
            room = await who.room(tx, room_id)
            if room.state != "open":
                raise ApiError(409, "room_closed", "this room is closed")
            values = await self._values(tx, room, changes)
            if values:
                await store.edit_room(tx, room.id, values)

        await self._db.write(work)
        self._notices.publish(RoomChanged(room_id))

    async def _values(self, tx: Transaction, room: store.Room, changes: Mapping[str, Any]) -> dict[str, Any]:
        values = {name: value for name, value in changes.items() if name != "tariff"}
        if "capacity" in values:
            read_capacity(room.privacy, values["capacity"])
        if "terms_url" in values and "terms_version" not in values and values["terms_url"] != room.terms_url:
            # Other terms are another version of them.
            values["terms_version"] = rfc3339(self._clock.wall_s()) if values["terms_url"] else None
        if "tariff" in changes or "max_seconds" in changes:
            values |= await _priced(tx, room, changes, can_sign_in=self._can_sign_in)
        return values


async def _priced(
    tx: Transaction, room: store.Room, changes: Mapping[str, Any], *, can_sign_in: bool
) -> dict[str, Any]:
    """The tariff and currency. Raises ApiError 409 `currency_fixed`; 422 as when opening a room."""
    wanted = changes.get("tariff", room.tariff)
    if not wanted.get("currency"):
        wanted = wanted | {"currency": room.currency}
    figures = await figures_for(
        tx, Books(room.mode, room.account), wanted, room_id=room.id, owner_id=room.owner_id
    )
    said = read_tariff(wanted, changes.get("max_seconds", room.max_seconds), figures)
    if "tariff" in changes:
        require_sign_in(said.tariff, can_sign_in=can_sign_in)
    if said.tariff.currency != room.currency:
        if room.sold:
            raise ApiError(
                409, "currency_fixed", "something was sold here: the currency stays", field="tariff"
            )
        if await store.is_being_paid(tx, room.id):
            raise ApiError(409, "currency_fixed", "somebody is paying in that currency now", field="tariff")
    return {"tariff": said.stored, "currency": said.tariff.currency}
