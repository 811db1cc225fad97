"""The HTTP routes of the modes that a server has, and of the rules for opening rooms in them (API.md)."""

from collections.abc import Sequence
from dataclasses import asdict

import structlog
from aiohttp import web
from pydantic import BaseModel, ConfigDict

from signaling.errors import ApiError
from signaling.http import answer, parse_body
from signaling.identity import require_operator
from signaling.stores import modes as store
from signaling.stores.database import Database
from signaling.stores.shelf import Books

log = structlog.get_logger()


class NewModes(BaseModel):
    """The body of `PUT /api/admin/modes`."""

    model_config = ConfigDict(strict=True, extra="forbid")

    default_mode: store.DefaultMode
    test_rooms: store.TestRooms


class ModeRoutes:
    """`sets`: the books of each set of keys, the main one first."""

    def __init__(self, db: Database, sets: Sequence[Books]) -> None:
        self._db = db
        self._sets = tuple(sets)

    def routes(self) -> list[web.RouteDef]:
        return [web.get("/api/admin/modes", self.show), web.put("/api/admin/modes", self.put)]

    async def show(self, request: web.Request) -> web.Response:
        await require_operator(request)
        return await self._shown()

    async def put(self, request: web.Request) -> web.Response:
        who = await require_operator(request)
        body = await parse_body(request, NewModes)
        if len(self._sets) == 1:
            raise ApiError(409, "one_mode", "this server has one set of keys: there is nothing to choose")
        modes = store.Modes(body.default_mode, body.test_rooms)
        await self._db.write(lambda tx: store.write(tx, modes))
        log.info("modes_changed", by=who, default_mode=modes.default_mode, test_rooms=modes.test_rooms)
        return await self._shown()

    async def _shown(self) -> web.Response:
        sets = [{"mode": mode, "account": account} for mode, account in self._sets]
        rules: dict[str, str | None] = {"default_mode": self._sets[0][0], "test_rooms": None}
        if len(self._sets) > 1:
            async with self._db.read() as tx:
                rules = {**asdict(await store.read(tx))}
        return answer({"sets": sets, **rules})
