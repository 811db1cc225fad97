"""Several microphones in one room over real STUN, DTLS and SRTP: who speaks is told, and the loudest are passed on."""

import asyncio
import time
from collections.abc import AsyncIterator

import pytest

from mediaserver import planes
from mediaserver.events import Forwarding, Speakers

from .client import HOST_AUDIO, OPUS, Hall, Leg, Viewer, settle, until

GUESTS = ("g0", "g1", "g2", "g3", "g4")
SILENT, QUIET, LOUD = 127, 35, 20
PACKET_S = 0.02


class Meeting(Hall):
    """Everybody publishes a microphone; `levels` says how loud each is, None: its packets do not tell."""

    def __init__(self, **config: object) -> None:
        super().__init__(**config)
        self.levels: dict[str, int | None] = {}
        self.microphones: dict[str, Leg] = {}
        self.sequence = 0
        self.ear: Viewer

    async def fill(self, *guests: str, level: int | None = SILENT) -> None:
        for name in ("host", "ear", *guests):
            await self.add(name, metered=name in guests)
            if name in guests:
                await self.media.open_gate(name, None)
        for name in ("host", *guests):
            self.microphones[name] = await self.publish(name)
            self.levels[name] = level
        await settle()
        self.ear = await self.view("ear")
        await self.ear.follow()
        await self.talk(0.4)

    async def talk(self, seconds: float) -> set[str]:
        """Let time pass in which everybody sends; whose packets reached the ear in the last half of it."""
        rounds = round(seconds / PACKET_S)
        seen = 0
        for sent in range(rounds):
            seen = len(self.ear.leg.packets) if sent == rounds // 2 else seen
            self.send()
            await asyncio.sleep(PACKET_S)
        return {packet.payload.decode() for packet in self.ear.leg.packets[seen:]}

    def send(self) -> None:
        self.sequence += 1
        for name, leg in self.microphones.items():
            level = self.levels[name]
            extension = b"" if level is None else b"\xbe\xde\0\1\x60" + bytes([0x80 | level]) + b"\0\0"
            leg.send_rtp(HOST_AUDIO, OPUS, self.sequence, name.encode(), extension=extension)

    async def until_heard(self, name: str) -> float:
        """In seconds."""
        began, seen = time.monotonic(), len(self.ear.leg.packets)
        while name.encode() not in {packet.payload for packet in self.ear.leg.packets[seen:]}:
            assert time.monotonic() < began + 5, f"{name} is never let in"
            self.send()
            await asyncio.sleep(PACKET_S)
        return time.monotonic() - began

    def speakers(self) -> list[tuple[str, ...]]:
        return [event.participant_ids for event in self.events if isinstance(event, Speakers)]


@pytest.fixture(params=["python", "native"])
async def meeting(request: pytest.FixtureRequest) -> AsyncIterator[Meeting]:
    if request.param == "native" and planes.dataplane is None:
        pytest.skip("the native data plane is not compiled")
    async with Meeting(plane=request.param, audio_streams_max=2) as meeting:
        yield meeting


async def test_the_host_and_the_loudest_few_are_heard_and_who_begins_to_speak_is_let_in(meeting):
    await meeting.fill(*GUESTS)
    heard = await meeting.talk(0.3)
    assert "host" in heard
    assert len(heard) == 3
    outside = sorted(set(GUESTS) - heard)
    meeting.levels[outside[0]] = QUIET
    assert await meeting.until_heard(outside[0]) < 1  # about 0.1 on a machine that does nothing else
    meeting.levels[outside[1]] = LOUD
    await meeting.until_heard(outside[1])
    assert await meeting.talk(0.3) == {"host", outside[0], outside[1]}
    for ssrc in {packet.ssrc for packet in meeting.ear.leg.packets}:
        numbers = [packet.sequence for packet in meeting.ear.leg.packets if packet.ssrc == ssrc]
        assert numbers == list(range(numbers[0], numbers[0] + len(numbers))), "a pause looks like a loss"


async def test_who_speaks_is_told_the_loudest_first_and_nobody_who_is_muted(meeting):
    await meeting.fill("g0", "g1")
    meeting.levels |= {"g0": QUIET, "host": LOUD}
    await meeting.talk(1.2)
    assert meeting.speakers()[-1] == ("host", "g0")
    await meeting.media.set_muted("host", "microphone", True)
    await meeting.talk(0.4)
    assert meeting.speakers()[-1] == ("g0",)
    await meeting.media.close_gate("g0")
    await meeting.talk(0.4)
    assert meeting.speakers()[-1] == ()
    await meeting.media.set_muted("host", "microphone", False)
    await meeting.talk(1.2)
    assert meeting.speakers()[-1] == ("host",)
    await meeting.media.remove_participant("host")
    del meeting.microphones["host"]
    await meeting.talk(0.4)
    assert meeting.speakers()[-1] == ()


async def test_who_does_not_tell_its_level_is_always_heard_and_never_named(meeting):
    await meeting.fill(*GUESTS, level=None)
    assert await meeting.talk(0.4) == {"host", *GUESTS}
    assert meeting.speakers() == []


async def test_who_comes_into_a_big_room_gets_only_the_loudest_from_the_first_packet(meeting):
    await meeting.fill(*GUESTS)
    heard = await meeting.talk(0.3)
    await meeting.add("late")
    late = await meeting.view("late")
    await settle()
    await late.follow()
    await meeting.talk(0.3)
    assert {packet.payload.decode() for packet in late.leg.packets} == heard


async def test_whose_microphone_is_not_passed_on_pays_for_what_it_receives_and_no_less(meeting):
    """The gate has begun with the host's first packet, not with the guest's turn to be heard."""
    await meeting.fill(*GUESTS)
    heard = await meeting.talk(0.2)
    outside = min(set(GUESTS) - heard)
    silent = await meeting.view(outside)
    await silent.follow()
    await meeting.talk(0.2)
    await until(lambda: meeting.of(Forwarding, outside), "the host reaches it")
    report = await meeting.media.close_gate(outside)
    assert report.last_forwarded_ms - report.first_forwarded_ms > 50
    assert {packet.payload.decode() for packet in silent.leg.packets} == heard
