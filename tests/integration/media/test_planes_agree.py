"""The native data plane against the Python one: the same packets, gates and feedback at the same times, and every viewer,
the host and the books see the same.

Handshakes are real; from then on the clock stands still between steps and datagrams are handed to the server one by one
(Python) or a wake-up's worth at once (native), so that nothing depends on chance but the seed.
"""

import asyncio
import fcntl
import hashlib
import random
import struct
import termios
from dataclasses import replace
from types import SimpleNamespace

import pytest

from mediaserver import planes, rtcp, rtp
from mediaserver.events import Offer
from mediaserver.negotiation import OFFERED_EXTENSIONS, TRANSPORT_CC_URI
from mediaserver.planes import NativePlane

from .client import HOST_AUDIO, HOST_RTX, HOST_VIDEO, OPUS, RTX, VP8, Clock, Hall, simulcast_extension
from .tcp import TcpLeg, tcp_leg

pytestmark = pytest.mark.skipif(planes.dataplane is None, reason="the native data plane is not compiled")

STEPS = 120
VIEWERS = {"cohost": False, "payer": True, "guest": True}
RIDS = {HOST_VIDEO: "l", HOST_VIDEO + 16: "m", HOST_VIDEO + 32: "h"}


TRANSPORT_CC = OFFERED_EXTENSIONS["video"][TRANSPORT_CC_URI]


def unnumbered(packet):
    """The packet without its transport-wide number."""
    value = rtp.find_extension(packet.extensions, TRANSPORT_CC)
    at = packet.extensions.index(bytes([TRANSPORT_CC << 4 | 1]) + value) + 1
    return replace(packet, extensions=packet.extensions[:at] + packet.extensions[at + 2 :])


class StoodClock(Clock):
    """Moves when it is told to."""

    def __init__(self):
        super().__init__()
        self.now_ns = 5_000_000_000_000

    def __call__(self):
        return self.now_ns


class World(Hall):
    """A host, viewers and a server over one of the planes. `by_tcp`: those who come by TCP."""

    def __init__(self, plane, by_tcp=()):
        self._count = 0
        # The host never connects to watch: that must not end it on a machine that takes longer than the usual 15 s.
        super().__init__(StoodClock(), plane=plane, join_timeout_s=3600.0)
        self.sent = []
        self._by_tcp, self._connections = by_tcp, {}

    async def __aenter__(self):
        await super().__aenter__()
        self.media._timer.cancel()  # from here on `tick` alone is the server's clockwork
        return self

    def random_bytes(self, count):
        self._count += 1
        return hashlib.sha256(str(self._count).encode()).digest()[:count]

    async def fill(self, **named):
        """Everybody is connected, every offer is answered; from here on only steps move anything."""
        if isinstance(self.media._forwarder, NativePlane):
            self._count -= 1  # it took a seed for its tables
        await self.add("host")
        self._coming = "host"
        self.host = await self.publish("host", **named)
        self.viewers = {}
        for name, metered in VIEWERS.items():
            await self.add(name, metered=metered)
            self._coming = name
            self.viewers[name] = await self.view(name)
        for leg in (self.host, *(viewer.leg for viewer in self.viewers.values())):
            self._divert(leg)

    def leg(self):
        return tcp_leg(self) if self._coming in self._by_tcp else super().leg()

    def _divert(self, leg):
        leg.source = (leg.connection if isinstance(leg, TcpLeg) else leg._sockets[0]).getsockname()
        for connection in self.media._tcp._connections:
            if connection._address == leg.source:
                self._connections[leg.source] = connection
        leg._agent.route = (SimpleNamespace(send_to=lambda data, _: self._keep(leg, data), dropped=0), None)
        leg._agent.send = lambda data: self._keep(leg, data)

    def _keep(self, leg, data):
        self.sent.append((leg.source, bytes(data)))

    def deliver(self):
        """What the legs have sent since the last time arrives in one wake-up."""
        port = self.media._ice._ports[0]
        plane = self.media._forwarder
        for source, data in self.sent:
            if source in self._connections:
                self._connections[source]._take(data)
            elif isinstance(plane, NativePlane):
                assert plane.native.accept(port.link, source, data)
            else:
                port._route(data, source)
        self.sent.clear()
        if isinstance(plane, NativePlane):
            plane._hand_on(plane.native.work())
            while plane.native.backlog:
                plane._go_on()
            assert plane.native.free == 1024

    def tick(self):
        self.media._tick()
        self.media._timer.cancel()

    async def seen(self):
        """Everything that anybody has been sent so far."""
        for connection in self._connections.values():
            while unacknowledged(connection):
                await asyncio.sleep(0)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        views = {}
        for name, viewer in self.viewers.items():
            leg = viewer.leg
            if not isinstance(leg, TcpLeg):
                leg._read(leg._sockets[0])
            numbers = []
            for packet in leg.packets:
                numbers.append(int.from_bytes(rtp.find_extension(packet.extensions, TRANSPORT_CC), "big"))
                views.setdefault((name, packet.ssrc), []).append(unnumbered(packet))
            # Which packet of which stream leaves first is nobody's concern either; that none is missing, is.
            assert sorted(numbers) == list(range(1, len(numbers) + 1)), name
            subscriber = self.media._participants.get(name) and self.media._participants[name].subscriber
            if subscriber:
                line = subscriber.line
                views[name, "line"] = line.reports, line.told_bps, line.told_loss, line.feedbacks
            views[name] = sorted(leg.feedback, key=repr)  # between streams their order is nobody's concern
        self.host._read(self.host._sockets[0])
        counted = {
            name: (
                stats["subscribe"].packets_out,
                stats["subscribe"].bytes_out,
                stats["subscribe"].packets_in,
            )
            for name, stats in self.media.stats().participants.items()
        }
        events = [event for event in self.events if not isinstance(event, Offer)]
        return views, self.host.feedback, events, counted, await self.media.liveness(), self.voices()

    def voices(self):
        """How loud the host has been, as far as the server has listened."""
        audio = self.media._audio.get("room")
        return [] if audio is None else list(audio._voices.values())


def unacknowledged(connection):
    """Bytes that are still under way to the client."""
    if connection._transport is None:
        return 0
    waiting = bytearray(4)
    fcntl.ioctl(connection._transport.get_extra_info("socket").fileno(), termios.TIOCOUTQ, waiting)
    return connection._transport.get_write_buffer_size() + struct.unpack("i", waiting)[0]


class Play:
    """Random steps; the same choices for both worlds. With `simulcast` the host sends its camera in several encodings."""

    def __init__(self, seed, worlds, *, simulcast=False):
        self.chance, self.worlds = random.Random(seed), worlds
        self.rids = dict(RIDS) if simulcast else {}
        self.camera, self.number = HOST_VIDEO, {HOST_VIDEO: self.chance.randrange(1 << 16), HOST_AUDIO: 65530}
        self.late = []
        self.reports = []

    def _each(self, act):
        for world in self.worlds:
            act(world)

    def media(self):
        """A wake-up's worth of the host's packets: some lost, late, repeated, repaired, or of another kind."""
        for _ in range(self.chance.randint(1, 14)):
            ssrc = self.chance.choice([*(self.rids or [self.camera] * 5), HOST_AUDIO])
            self.number[ssrc] = (self.number.get(ssrc, 65500) + 1) & 0xFFFF
            packet = (
                ssrc,
                OPUS if ssrc == HOST_AUDIO else VP8,
                self.number[ssrc],
                (self._descriptor() if ssrc in self.rids else b"") + self.chance.randbytes(self._size()),
            )
            fate = self.chance.random()
            if fate < 0.1:
                self.late.append(packet)
            elif fate < 0.13:
                self._send(ssrc, 100, *packet[2:])  # a payload type that was not agreed on
            elif fate < 0.15:
                self.number[ssrc] = (self.number[ssrc] + self.chance.choice([3, 300, 2000])) & 0xFFFF
                self.late.clear()  # its own SRTP would refuse to send what lies so far behind
            else:
                self._send(*packet)
            if self.late and self.chance.random() < 0.15:
                self._return(self.late.pop(self.chance.randrange(len(self.late))))
        if self.chance.random() < 0.3:
            self._each(lambda world: world.sent.append(self.chance_copy(world)))
        self._each(World.deliver)

    def _descriptor(self):
        """Of VP8, sometimes a keyframe's, and of every form."""
        ids = self.chance.choice([0xF0, 0xF0, 0xF0, 0x80, 0xC0, 0x20, 0])
        picture = self.chance.choice([b"\x85\x01", b"\xff\xff", b"\x7f"]) if ids & 0x80 else b""
        indices = self.chance.randbytes(bool(ids & 0x40) + bool(ids & 0x30))
        frame = b"\x00" if self.chance.random() < 0.3 else b"\x01"
        return self.chance.choice([b"\x90", b"\x80"]) + bytes([ids]) + picture + indices + frame

    def _size(self):
        return self.chance.choice([0, 3, 60, 700, 700, 700, 1100, 1100, 1100, 1340])

    def chance_copy(self, world):
        """A datagram once more: a replay."""
        return world.sent[len(world.sent) // 2] if world.sent else (("127.0.0.1", 9), b"\x80")

    def _return(self, packet):
        ssrc, payload_type, sequence, payload = packet
        if self.chance.random() < 0.5 and ssrc == (next(iter(self.rids)) if self.rids else HOST_VIDEO):
            sequence = sequence.to_bytes(2, "big")
            self.number[HOST_RTX] = (self.number.get(HOST_RTX, 0) + 1) & 0xFFFF
            self._send(HOST_RTX, RTX, self.number[HOST_RTX], sequence + payload)
        else:
            self._send(ssrc, payload_type, sequence, payload)

    def _send(self, ssrc, payload_type, sequence, payload):
        extension = self.chance.choice(
            [
                b"",
                b"\xbe\xde\x00\x02\x40v\x51" + (sequence ^ 77).to_bytes(2, "big") + b"\0\0\0",
                b"\x10\0\0\0",
                self._level(),
                self._level(),
            ]
        )
        if ssrc in self.rids:
            extension = simulcast_extension(self.rids[ssrc])
        elif self.rids and ssrc == HOST_RTX:
            extension = simulcast_extension("l", repair=True)
        elif ssrc not in (HOST_VIDEO, HOST_AUDIO, HOST_RTX):
            extension = b"\xbe\xde\x00\x01\x40v\x00\x00"  # bound by its mid
        self._each(
            lambda world: world.host.send_rtp(ssrc, payload_type, sequence, payload, extension=extension)
        )

    def speak(self):
        """The host is heard for certain."""
        self.number[HOST_AUDIO] = (self.number[HOST_AUDIO] + 1) & 0xFFFF
        for world in self.worlds:
            world.host.send_rtp(
                HOST_AUDIO, OPUS, self.number[HOST_AUDIO], b"hello", extension=b"\xbe\xde\x00\x01\x60\x85\0\0"
            )
        self._each(World.deliver)
        for world in self.worlds:
            world.clock.now_ns += 1_100_000_000
        self._each(World.tick)

    def _level(self):
        """How loud it is, told rightly, beside other extensions, and in ways that nobody should."""
        level = self.chance.randbytes(1)
        return self.chance.choice(
            [
                b"\xbe\xde\x00\x01\x60" + level + b"\0\0",
                b"\xbe\xde\x00\x02\x51\1\2\x60" + level + b"\0\0\0",
                b"\xbe\xde\x00\x02\x61" + level + b"\0\x60" + level + b"\0\0\0",
                b"\xbe\xde\x00\x01\xf0\0\x60" + level,
                b"\xbe\xde\x00\x01\0\0\0\x60",
            ]
        )

    def loudness(self):
        """Asked for, it begins anew."""
        self.media()
        taken = [
            [
                world.media._forwarder.take_audio_level(publication.encodings[0].fanout)
                for publication in world.media._participants["host"].publisher.publications.values()
            ]
            for world in self.worlds
        ]
        assert taken[0] == taken[1]

    def camera_anew(self):
        self.camera = self.chance.randrange(1 << 20, 1 << 21)
        if self.rids:
            former = self.chance.choice(list(self.rids))
            self.rids = {self.camera if ssrc == former else ssrc: rid for ssrc, rid in self.rids.items()}
        self.number[self.camera] = self.chance.choice([65000, 5])
        self.late.clear()

    def host_report(self):
        ssrc = self.chance.choice([*(self.rids or [self.camera]), HOST_AUDIO, 1])
        report = rtcp.SenderReport(ssrc, self.chance.getrandbits(64), self.chance.getrandbits(32), 5, 6)
        self._each(lambda world: world.host.send_rtcp(rtcp.sender_report(report)))
        self._each(World.deliver)

    def feedback(self):
        name, kind = self.chance.choice(list(VIEWERS)), self.chance.choice(["video", "video", "audio"])
        highest = 0
        packets = self.worlds[0].viewers[name].leg.packets
        own = self.worlds[0].viewers[name].ssrc(kind)
        highest = next((p.sequence for p in reversed(packets) if p.ssrc == own), 0)
        lost = sorted(
            (highest - self.chance.randint(-3, 60)) & 0xFFFF for _ in range(self.chance.randint(1, 30))
        )
        target = self.chance.choice([own] * 6 + [HOST_VIDEO, self.worlds[0].viewers["cohost"].ssrc()])
        packets = [
            rtcp.receiver_report(7, [rtcp.ReportBlock(target, 1, 2, 3, 4, 5, 6)]),
            rtcp.nack(7, target, lost),
            rtcp.picture_loss(7, target),
            rtcp._packet(4, 206, bytes(8) + target.to_bytes(4, "big") + bytes(4)),
            # Of numbers that were never sent: which packet has which number is each plane's own affair.
            rtcp.transport_cc(7, target, 1, [(30_005, 1000), (30_006, 2000)]),
            rtcp._packet(
                15, 206, bytes(8) + b"REMB\1" + self.chance.randbytes(3) + target.to_bytes(4, "big")
            ),
            self.chance.randbytes(4 * self.chance.randint(1, 8)),
            b"\xa1\xcd\x00\x04"
            + bytes(4)
            + target.to_bytes(4, "big")
            + lost[0].to_bytes(2, "big")
            + b"\xff\xff\0\0\0\4",
        ]
        compound = b"".join(self.chance.sample(packets, self.chance.randint(1, 3)))
        if compound[1] not in range(192, 224):
            compound = packets[0] + compound
        self._each(lambda world: world.viewers[name].leg.send_rtcp(compound))
        self._each(World.deliver)

    def pad(self):
        name = self.chance.choice(list(VIEWERS))
        if name in self.worlds[0].media._participants:
            size = self.chance.choice([0, 1, 500, 3000])
            sent = [self._pad(world, name, size) for world in self.worlds]
            assert sent[0] == sent[1]

    def _pad(self, world, name, size):
        sections = world.media._participants[name].subscriber._sections
        to = next(section.subscription for section in sections if section.offered.kind == "video")
        return 0 if to is None else world.media._forwarder.pad(to, size)

    async def gate(self):
        name = self.chance.choice(
            [name for name in ("payer", "guest") if name in self.worlds[0].media._participants]
        )
        allow_ms = self.chance.choice([None, 0, 40, 300, 300, 5000])
        opens = self.chance.random() < 0.6
        for world in self.worlds:
            if opens:
                await world.media.open_gate(name, allow_ms)
            else:
                self.reports.append(await world.media.close_gate(name))

    def pause(self):
        """Some viewer's camera or microphone stops, or goes on."""
        name, place = self.chance.choice(list(VIEWERS)), self.chance.randrange(2)
        paused = self.chance.random() < 0.5
        for world in self.worlds:
            participant = world.media._participants.get(name)
            if participant is not None:
                section = participant.subscriber._sections[place]
                world.media._forwarder.set_paused(section.subscription, paused)

    async def lease(self):
        ahead_ms = self.chance.choice([0, 30, 400, 3_600_000, 3_600_000])
        for world in self.worlds:
            await world.media.set_lease(world.clock.ms + ahead_ms)

    def time(self):
        step_ns = self.chance.choice([1, 1_000_000, 20_000_000, 110_000_000, 1_100_000_000])
        for world in self.worlds:
            world.clock.now_ns += step_ns
        self._each(World.tick)

    async def renegotiate(self):
        for world in self.worlds:
            await world.media.publish("host", world.host.offer(rids=tuple(self.rids.values())), {})

    def select(self):
        """Another encoding for somebody; the server's own choice follows at its next tick."""
        name, place = self.chance.choice(list(VIEWERS)), self.chance.randrange(3)
        for world in self.worlds:
            participant = world.media._participants.get(name)
            sections = [] if participant is None else participant.subscriber._sections
            for section in sections:
                if section.subscription is not None and section.offered.kind == "video":
                    publication = section.available.publication
                    publication.select(section.subscription, publication.encodings[place])

    async def view(self):
        name = self.chance.choice(["cohost", "payer"])
        sizes = self.chance.choice([{}, {"1": (100, 50)}, {"1": (600, 300)}, {"1": (0, 0)}])
        for world in self.worlds:
            await world.media.set_view(name, sizes)

    async def remove(self):
        for world in self.worlds:
            await world.media.remove_participant("guest")


@pytest.mark.parametrize(
    ("seed", "by_tcp"), [(seed, ("host", "payer") if seed % 4 == 0 else ()) for seed in range(20)]
)
async def test_both_planes_do_the_same(seed, by_tcp, monkeypatch):
    await both_do_the_same(seed, monkeypatch, by_tcp)


@pytest.mark.parametrize("seed", range(200, 216))
async def test_both_planes_switch_encodings_alike(seed, monkeypatch):
    await both_do_the_same(seed, monkeypatch, simulcast=True)


async def both_do_the_same(seed, monkeypatch, by_tcp=(), *, simulcast=False):
    monkeypatch.setattr(planes, "NativePlane", lambda *args: NativePlane(*args, stepped=True))
    async with World("python", by_tcp) as python, World("native", by_tcp) as native:
        assert isinstance(native.media._forwarder, NativePlane)
        for world in (python, native):
            await world.fill(rids=tuple(RIDS.values()) if simulcast else ())
        play = Play(seed, (python, native), simulcast=simulcast)
        weights = {"media": 60, "feedback": 20, "time": 25, "gate": 8, "pause": 6, "loudness": 9, "lease": 3, "host_report": 4, "camera_anew": 1,
                   "renegotiate": 1, "pad": 4}  # fmt: skip
        weights |= {"select": 15, "view": 4} if simulcast else {}
        moved = set()
        for step in range(STEPS):
            name = play.chance.choices(list(weights), weights.values())[0]
            name = "remove" if step == STEPS * 3 // 4 else name
            done = getattr(play, name)()
            if done is not None:
                await done
            moved |= {viewer_fanout(python, name) for name in VIEWERS}
            expected, found = await python.seen(), await native.seen()
            for part, (one, other) in enumerate(zip(expected, found, strict=True)):
                assert one == other, (step, name, part)
        assert play.reports[::2] == play.reports[1::2]
        assert python.viewers["cohost"].leg.packets
        play.speak()
        assert python.voices(), "nobody ever told how loud it is"
        assert len(moved - {None}) > 1 or not simulcast, "nobody was ever moved"


def viewer_fanout(world, name):
    """Where somebody's picture comes from now."""
    participant = world.media._participants.get(name)
    sections = [] if participant is None else participant.subscriber._sections
    return next(
        (s.subscription.fanout for s in sections if s.subscription and s.offered.kind == "video"), None
    )
