"""The operator's rules for a server with live and test keys: in which mode a room is opened when nobody says, and who
opens test rooms. Stored; the keys themselves are only in the environment."""

from dataclasses import asdict, dataclass
from typing import Any, Literal

from sqlalchemy import select

from signaling.stores.database import Transaction
from signaling.stores.schema import settings
from signaling.stores.statements import put

NAME = "modes"
DefaultMode = Literal["live", "test"]
# `invited`: as every room here (whoever may open one); `anyone`: without an invitation; `operator`: nobody else.
TestRooms = Literal["invited", "anyone", "operator"]


@dataclass(frozen=True, slots=True)
class Modes:
    default_mode: DefaultMode = "live"
    test_rooms: TestRooms = "invited"


async def read(tx: Transaction) -> Modes:
    stored: Any = (await tx.execute(select(settings.c.value).where(settings.c.name == NAME))).scalar()
    return Modes() if stored is None else Modes(stored["default_mode"], stored["test_rooms"])


async def write(tx: Transaction, modes: Modes) -> None:
    await put(tx, settings, "name", {"name": NAME, "value": asdict(modes)})
