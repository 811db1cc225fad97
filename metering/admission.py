"""May this identity enter the room now. (Being written: the signatures stand.)"""

from dataclasses import dataclass
from typing import Literal

from metering.orders import Mode

PassState = Literal["waiting", "active", "used_up", "refunded", "disputed", "revoked"]
RefusalCode = Literal[
    "not_paid", "revoked", "pass_used_up", "room_full", "room_closed", "room_locked", "wrong_mode", "wrong_room"
]


@dataclass(frozen=True, slots=True)
class PassFacts:
    """A pass as stored. `granted_ms` None: unlimited."""

    state: PassState
    mode: Mode
    account: str
    room_id: str
    granted_ms: int | None
    used_ms: int


@dataclass(frozen=True, slots=True)
class RoomFacts:
    """The room now. `capacity` None: no limit. `occupied`: seats taken or reserved by *others*."""

    room_id: str
    mode: Mode
    account: str
    open: bool
    locked: bool
    capacity: int | None
    occupied: int


@dataclass(frozen=True, slots=True)
class Admit:
    pass


@dataclass(frozen=True, slots=True)
class Refuse:
    code: RefusalCode


def admit_payer(pass_: PassFacts | None, room: RoomFacts, *, inside: bool) -> Admit | Refuse:
    """`inside`: the pass has a live session here (a reload or a second device replaces it: lock and seats do not
    apply)."""
    raise NotImplementedError


def admit_host(host_room_id: str | None, room: RoomFacts) -> Admit | Refuse:
    """`host_room_id`: the room that the proven host key belongs to, None when there was no valid key."""
    raise NotImplementedError
