"""Rates and terms set by the operator for anybody, and by a host for their own room."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, get_args

import structlog
from pydantic import BaseModel, ConfigDict

from metering.errors import RefusedError
from metering.rates import AMOUNTS, DEFAULTS, FIGURES, HOST_FIGURES, SCOPES, Scope, parse_figures
from signaling.clock import Clock, rfc3339
from signaling.errors import ApiError
from signaling.hosting import Caller
from signaling.notices import Notices, RatesChanged
from signaling.stores import admin as store
from signaling.stores import rates
from signaling.stores.database import Database, Transaction
from signaling.stores.people import Role
from signaling.stores.rates import BooksOf, RatesRow
from signaling.stores.rooms import Room

log = structlog.get_logger()

Json = dict[str, Any]


class NewFigures(BaseModel):
    """The body of both PUT calls: everything that the place says from now on; blank and null say nothing."""

    model_config = ConfigDict(strict=True, extra="forbid")

    figures: dict[str, Any]


class Find(BaseModel):
    """The body of `POST /api/admin/find`."""

    model_config = ConfigDict(strict=True, extra="forbid")

    text: str


@dataclass(frozen=True, slots=True)
class At:
    """A place where rates are set."""

    scope: Scope
    subject: str


def read_place(scope: str, subject: str) -> At:
    """Raises ApiError 404 `unknown_place`."""
    known = next((one for one in SCOPES if one == scope), None)
    if known is None or (known == "default") != (subject == ""):
        raise _unknown()
    if known == "role" and subject not in get_args(Role):
        raise _unknown()
    return At(known, subject)


def _unknown() -> ApiError:
    return ApiError(404, "unknown_place", "there is no such room, person or role")


def _read(said: Mapping[str, Any]) -> Json:
    """Raises ApiError 422 `bad_rates`, `unknown_currency`."""
    try:
        return parse_figures(said)
    except RefusedError as error:
        raise ApiError(422, error.code, str(error), field="figures") from None


class RatesDesk:
    """`who` is for the log: an operator's id or `admin_token`, or the host of a room. `earnings_days`: where no place says
    them."""

    def __init__(
        self, db: Database, clock: Clock, notices: Notices, books: BooksOf, earnings_days: int
    ) -> None:
        self._db = db
        self._clock = clock
        self._notices = notices
        self._books = books
        self._defaults: Json = {**DEFAULTS, "earnings_days": earnings_days}

    # --- the operator's -----------------------------------------------------------------------------------

    async def places(self) -> Json:
        """Every place that says something, with the name that people know it by."""
        async with self._db.read() as tx:
            rows = await rates.all_rates(tx, self._books)
            labels = await store.labels(tx, [row.subject for row in rows])
        rows.sort(key=lambda row: (-SCOPES.index(row.scope), row.subject))
        return {
            "places": [_row(row) | {"label": labels.get(row.subject)} for row in rows],
            "figures": list(FIGURES),
            "defaults": dict(self._defaults),
        }

    async def place(self, at: At) -> Json:
        """What that place says, and for a room what holds there and who said it. Raises ApiError 404."""
        async with self._db.read() as tx:
            await self._require(tx, at)
            row = await rates.rates_at(tx, self._books, at.scope, at.subject)
            said = _row(row or RatesRow(at.scope, at.subject, {}, ""))
            if at.scope != "room":
                return said
            room = await store.room_in(tx, self._books, at.subject)
            assert room is not None, "required above"
            return said | {"holds": await self._holds(tx, room)}

    async def put(self, at: At, body: NewFigures, who: str) -> Json:
        """Raises ApiError 404 `unknown_place`; 422 `bad_rates`, `unknown_currency`, `wrong_currency`."""
        figures, now = _read(body.figures), rfc3339(self._clock.wall_s())

        async def work(tx: Transaction) -> Mapping[str, Any]:
            await self._require(tx, at)
            if at.scope == "room":
                room = await store.room_in(tx, self._books, at.subject)
                assert room is not None, "required above"
                _require_currency(room, figures)
            before = await rates.rates_at(tx, self._books, at.scope, at.subject)
            await self._set(tx, RatesRow(at.scope, at.subject, figures, now))
            return {} if before is None else before.figures

        before = await self._db.write(work)
        self._tell(at, before, figures, who)
        return await self.place(at)

    async def clear(self, at: At, who: str) -> None:
        """The place says nothing any more. Raises ApiError 404 when it said nothing."""

        async def work(tx: Transaction) -> Mapping[str, Any] | None:
            before = await rates.rates_at(tx, self._books, at.scope, at.subject)
            await rates.clear_rates(tx, self._books, at.scope, at.subject)
            return None if before is None else before.figures

        before = await self._db.write(work)
        if before is None:
            raise ApiError(404, "unknown_place", "nothing is set there")
        self._tell(at, before, {}, who)

    async def find(self, text: str) -> Json:
        """People by e-mail address or id and rooms by link, id or part of the title, to set rates for."""
        async with self._db.read() as tx:
            return await store.find(tx, self._books, text.strip())

    # --- the host's ---------------------------------------------------------------------------------------

    async def of_host(self, room_id: str, who: Caller) -> Json:
        """Raises ApiError 403 `bad_host_key`."""
        async with self._db.read() as tx:
            return await self._of_host(tx, await who.room(tx, room_id))

    async def put_by_host(self, room_id: str, who: Caller, body: NewFigures) -> Json:
        """What the operator says about the room stays. Raises ApiError 403 `bad_host_key`; 422 as `put`."""
        figures, now = _read(body.figures), rfc3339(self._clock.wall_s())
        if foreign := sorted(set(figures) - HOST_FIGURES):
            raise ApiError(422, "bad_rates", f"the operator's to say: {', '.join(foreign)}", field="figures")

        async def work(tx: Transaction) -> Mapping[str, Any]:
            room = await who.room(tx, room_id)
            _require_currency(room, figures)
            before = await rates.rates_at(tx, self._books, "room", room_id)
            kept = {} if before is None else before.figures
            others = {name: value for name, value in kept.items() if name not in HOST_FIGURES}
            together = others | figures
            if AMOUNTS & set(together):
                together["currency"] = room.currency
            await self._set(tx, RatesRow("room", room_id, together, now))
            return kept

        before = await self._db.write(work)
        self._tell(At("room", room_id), before, figures, f"host of {room_id}")
        return await self.of_host(room_id, who)

    async def _holds(self, tx: Transaction, room: Room) -> Json:
        """Figure by figure: what holds in the room, and where it was said (`product`: nowhere)."""
        figures = await rates.figures_of_room(tx, room)
        values = {**self._defaults, **figures.said}
        holds = {
            name: {"value": values[name], "from": figures.origins.get(name, "product")}
            for name in FIGURES
            if values.get(name) is not None
        }
        return holds | {"currency": {"value": room.currency, "from": "room"}}

    # --- rows ---------------------------------------------------------------------------------------------

    async def _of_host(self, tx: Transaction, room: Room) -> Json:
        row = await rates.rates_at(tx, self._books, "room", room.id)
        figures = {} if row is None else row.figures
        mine = {name: value for name, value in figures.items() if name in HOST_FIGURES}
        may = [name for name in FIGURES if name in HOST_FIGURES]
        return {"figures": mine, "may_set": may, "holds": await self._holds(tx, room)}

    async def _require(self, tx: Transaction, at: At) -> None:
        if at.scope == "room" and await store.room_in(tx, self._books, at.subject) is None:
            raise _unknown()
        if at.scope == "user" and at.subject not in await store.labels(tx, [at.subject]):
            raise _unknown()

    async def _set(self, tx: Transaction, row: RatesRow) -> None:
        if row.figures:
            await rates.set_rates(tx, self._books, row)
        else:
            await rates.clear_rates(tx, self._books, row.scope, row.subject)

    def _tell(self, at: At, before: Mapping[str, Any], after: Mapping[str, Any], who: str) -> None:
        log.info(
            "rates_set", scope=at.scope, subject=at.subject, by=who, before=dict(before), after=dict(after)
        )
        self._notices.publish(RatesChanged(at.subject if at.scope == "room" else None))


def _row(row: RatesRow) -> Json:
    return {
        "scope": row.scope,
        "subject": row.subject,
        "figures": row.figures,
        "updated_at": row.updated_at or None,
    }


def _require_currency(room: Room, figures: Mapping[str, Any]) -> None:
    """Raises ApiError 422 `wrong_currency`: a room's amounts are in the room's currency."""
    if figures.get("currency", room.currency) != room.currency:
        raise ApiError(422, "wrong_currency", f"this room is in {room.currency.upper()}", field="figures")
