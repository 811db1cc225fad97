"""Whose room it is, for every feature: whoever brings the room's key, or its signed-in owner."""

from aiohttp import web

from signaling.errors import ApiError
from signaling.http import bearer
from signaling.identity import person
from signaling.ids import secret_matches
from signaling.stores import rooms
from signaling.stores.database import Transaction
from signaling.stores.rooms import Room


class Caller:
    """Who asks, read from the request once; `room` may then be called in a transaction that runs again."""

    def __init__(self, host_key: str | None, user_id: str | None) -> None:
        self._host_key = host_key
        self._user_id = user_id

    async def room(self, tx: Transaction, room_id: str) -> Room:
        """The room, when it is theirs. Raises ApiError 403 `bad_host_key`, also for a room that does not exist."""
        found = await rooms.by_id(tx, room_id)
        if found is not None:
            if self._user_id is not None and found.owner_id == self._user_id:
                return found
            if self._host_key is not None and secret_matches(
                self._host_key, await rooms.host_key_hash(tx, room_id)
            ):
                return found
        raise ApiError(403, "bad_host_key", "this host link does not open the room")


async def caller(request: web.Request) -> Caller:
    """Raises ApiError 403 (`signaling.identity.Identity`)."""
    key = bearer(request)
    who = None if key is not None else await person(request)
    return Caller(key, None if who is None else who.id)
