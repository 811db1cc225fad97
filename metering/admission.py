"""May this identity enter the room now. A pure answer over plain data; the first reason found is the one told.

What is wrong with the pass comes before what is wrong with the room: a payer whose pass was revoked hears that, and
not that the room is full. A lock and the seats do not hold up a pass that is inside already.
"""

from dataclasses import dataclass
from typing import Literal

from metering.orders import Mode

PassState = Literal["waiting", "active", "used_up", "refunded", "disputed", "revoked"]
RefusalCode = Literal[
    "not_paid",
    "revoked",
    "pass_used_up",
    "room_full",
    "room_closed",
    "room_locked",
    "wrong_mode",
    "wrong_room",
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
    """`pass_` None: not paid. `inside`: the pass has a live session or a reserved seat here (a reload, a second
    device, the way from paying).
    """
    code = _pass_refusal(pass_, room) or _room_refusal(room, inside=inside)
    return Admit() if code is None else Refuse(code)


def admit_host(host_room_id: str | None, room: RoomFacts) -> Admit | Refuse:
    """`host_room_id`: the room that the proven host key belongs to, None when there was no valid key."""
    if host_room_id != room.room_id:
        return Refuse("wrong_room")
    return Admit() if room.open else Refuse("room_closed")


def _pass_refusal(pass_: PassFacts | None, room: RoomFacts) -> RefusalCode | None:
    if pass_ is None:
        return "not_paid"
    if (pass_.mode, pass_.account) != (room.mode, room.account):
        return "wrong_mode"
    if pass_.room_id != room.room_id:
        return "wrong_room"
    if pass_.state in ("revoked", "refunded", "disputed"):
        return "revoked"
    has_nothing_left = pass_.granted_ms is not None and pass_.used_ms >= pass_.granted_ms
    return "pass_used_up" if pass_.state == "used_up" or has_nothing_left else None


def _room_refusal(room: RoomFacts, *, inside: bool) -> RefusalCode | None:
    if not room.open:
        return "room_closed"
    if inside:
        return None
    if room.locked:
        return "room_locked"
    is_full = room.capacity is not None and room.occupied >= room.capacity
    return "room_full" if is_full else None
