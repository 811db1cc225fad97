"""What the native data plane does differently from the Python one: work in portions, join what leaves, wait for sockets."""

import asyncio
import contextlib
import gc
import logging
import socket
import time
from types import SimpleNamespace

import pytest
from pylibsrtp import Policy

from mediaserver import planes, rtcp, rtp
from mediaserver.errors import NoNativePlaneError
from mediaserver.forwarder import Fanout, Packet, PacketForwarder, Splice, Subscription
from mediaserver.gate import Gate, Lease
from mediaserver.planes import NativePlane, open_plane
from mediaserver.transport import secure

from .fanning import KEY, Stage, session

needs_native = pytest.mark.skipif(planes.dataplane is None, reason="the native data plane is not compiled")
POOL_PACKETS = 1024
WAITED_FOR = 32  # so many viewers are worth it that a picture's packets wait for one another


def boot_ns():
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)


class Crowd:
    """Many subscribers of one publication, told apart by SSRC; a few sockets receive, so that none overflows between
    two calls on a machine with small buffers."""

    SINKS = 24

    def __init__(self, count, gates=()):
        self.lease = Lease()
        self.lease.until_ns = 1 << 62
        self.plane = NativePlane(self.lease, boot_ns, 1)
        self.socket, *self.sinks = (
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(1 + self.SINKS)
        )
        for sock in (self.socket, *self.sinks):
            sock.bind(("127.0.0.1", 0))
            sock.setblocking(False)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        self.port = self.plane.native.open_port(0, self.socket.fileno())
        self.fanout = Fanout(on_resume=lambda: None, cname="host", caching=True)
        self.subscriptions = [self._subscribe(1000 + n, gates) for n in range(count)]
        self.received = {}

    def _subscribe(self, ssrc, gates, fanout=None):
        link = self.plane.open_peer(self)
        sessions = session(Policy.SSRC_ANY_INBOUND), session(Policy.SSRC_ANY_OUTBOUND)
        secure(link, *sessions, viewer=True, gcm_key=KEY)
        self.plane.native.set_route(link, self.port, self.sinks[ssrc % self.SINKS].getsockname())
        egress = type("Egress", (), {"link": link, "send_rtcp": lambda *_: None})()
        subscription = Subscription(ssrc, 96, gates, egress, 100, rtx_ssrc=ssrc + 5000, rtx_payload_type=97)
        self.plane.add(fanout or self.fanout, subscription)
        return subscription

    def take_in(self, *numbers, size=100, whole=True, fanout=None):
        """As if they had arrived in one wake-up; nothing is sent yet. `whole`: the last one ends a picture."""
        self.plane._handing_on = True
        for number in numbers:
            marker = whole and number == numbers[-1]
            self.plane.forward(fanout or self.fanout, Packet(number, marker, False, 0, bytes(size)))
        self.plane._handing_on = False

    def work(self):
        self.plane.native.work()
        for sink in self.sinks:
            with contextlib.suppress(BlockingIOError):
                while True:
                    data = sink.recv(2048)
                    ssrc = int.from_bytes(data[8:12], "big")
                    self.received.setdefault(ssrc, []).append(int.from_bytes(data[2:4], "big"))

    def work_off(self):
        calls = 1
        self.work()
        while self.plane.native.backlog:
            self.work()
            calls += 1
        return calls

    def close(self):
        self.plane.native.close_port(self.port)
        for sock in (self.socket, *self.sinks):
            sock.close()


@pytest.fixture
def crowd():
    made = []

    def make(*args):
        made.append(Crowd(*args))
        return made[-1]

    yield make
    for one in made:
        one.close()


@needs_native
def test_a_long_fan_out_is_done_in_portions_and_everybody_gets_everything_once(crowd):
    many = crowd(600)
    many.take_in(*range(1, 9))
    assert many.work_off() > 1, "one call would have held the event loop"
    assert len(many.received) == 600
    assert all(numbers == list(range(100, 108)) for numbers in many.received.values())
    assert many.plane.native.free == POOL_PACKETS


@needs_native
@pytest.mark.parametrize("which", [0, 1, -1])
def test_who_is_removed_in_the_middle_gets_nothing_more_and_the_others_miss_nothing(crowd, which):
    many = crowd(600)
    many.take_in(*range(1, 9))
    many.work()
    assert many.plane.native.backlog
    served = sorted(many.received)
    removed = many.subscriptions[which]
    before = len(many.received.get(removed.ssrc, []))
    many.plane.remove(many.fanout, removed)
    many.work_off()
    assert len(many.received.pop(removed.ssrc, [])) == before
    assert before == (8 if removed.ssrc in served else 0)
    assert len(many.received) == 599
    assert all(numbers == list(range(100, 108)) for numbers in many.received.values())


@needs_native
@pytest.mark.parametrize("which", [0, 1, -1])
def test_who_is_moved_in_the_middle_first_gets_what_was_taken_in_and_misses_nothing(crowd, which):
    many = crowd(600)
    other = Fanout(on_resume=lambda: None, cname="host", caching=True)
    many.take_in(*range(1, 9))
    many.work()
    assert many.plane.native.backlog
    many.take_in(*range(9, 12))
    moved = many.subscriptions[which]
    many.plane.move(moved, other, Splice(), 501)
    many.plane._handing_on = True
    for number in (500, 501, 502):
        many.plane.forward(other, Packet(number, number == 502, False, 0, b"of the other"))
    many.work_off()
    assert many.received.pop(moved.ssrc) == list(range(100, 100 + 11 + 2))
    assert all(numbers == list(range(100, 111)) for numbers in many.received.values())
    assert len(many.received) == 599


@needs_native
def test_the_newest_payload_is_known_before_and_after_it_was_sent(crowd):
    one = crowd(1)
    assert one.plane.newest(one.fanout) == b""
    one.take_in(1, 2, size=5)
    one.take_in(3, size=7)
    assert one.plane.newest(one.fanout) == bytes(7)
    one.work_off()
    assert one.plane.newest(one.fanout) == bytes(7)


@needs_native
def test_a_gate_that_closes_in_the_middle_stops_the_rest(crowd):
    gate = Gate(Lease(), lambda _: None)
    gate.open(None)
    many = crowd(600, (gate,))
    many.take_in(*range(1, 9))
    many.work()
    assert many.plane.native.backlog
    served = len(many.received)
    gate.close(boot_ns())
    many.work_off()
    assert len(many.received) == served


@needs_native
@pytest.mark.parametrize("which", [0, -1])
def test_who_is_paused_in_the_middle_goes_on_with_the_next_number(crowd, which):
    """Whether the packets under way had been sent to it already or not."""
    many = crowd(600)
    many.take_in(*range(1, 9))
    many.work()
    assert many.plane.native.backlog
    paused = many.subscriptions[which]
    served = paused.ssrc in many.received
    assert served == (which == 0)
    many.plane.set_paused(paused, True)
    many.work_off()
    many.take_in(9)
    many.work_off()
    many.plane.set_paused(paused, False)
    many.take_in(10)
    many.work_off()
    assert many.received[paused.ssrc] == list(range(100, 109 if served else 101))
    many.plane.resend(many.fanout, paused, [100])
    before = paused.egress.link.packets_out
    many.plane.set_paused(paused, True)
    many.plane.resend(many.fanout, paused, [100])
    assert paused.egress.link.packets_out == before


@needs_native
def test_packets_of_one_size_to_one_subscriber_leave_joined(crowd):
    two = crowd(2)
    two.take_in(*range(1, 9), size=1000)
    two.take_in(9, size=300)  # a shorter one may end a run
    two.take_in(10, size=1000)
    two.work_off()
    assert two.port.joined == 2
    assert all(numbers == list(range(100, 110)) for numbers in two.received.values())
    link = two.subscriptions[0].egress.link
    assert (link.packets_out, link.bytes_out) == (10, 9 * 1000 + 300 + 10 * (12 + 16))


@needs_native
def test_a_pictures_packets_wait_for_one_another_where_many_look_on(crowd):
    many = crowd(WAITED_FOR)
    many.take_in(1, 2, whole=False)
    many.work_off()
    assert many.received == {}
    many.take_in(3, whole=False)
    many.take_in(4)
    many.work_off()
    assert len(many.received) == many.port.joined == WAITED_FOR
    assert all(numbers == list(range(100, 104)) for numbers in many.received.values())


@needs_native
def test_nobody_waits_where_few_look_on(crowd):
    few = crowd(WAITED_FOR - 1)
    few.take_in(1, whole=False)
    few.work_off()
    assert len(few.received) == WAITED_FOR - 1


@needs_native
def test_the_rest_of_a_picture_is_waited_for_for_a_millisecond(crowd):
    many = crowd(WAITED_FOR)
    before_ns = time.monotonic_ns()
    many.take_in(1, whole=False)
    while not many.received:
        many.work()
    assert time.monotonic_ns() - before_ns >= 1_000_000
    assert len(many.received) == WAITED_FOR
    assert many.plane.native.held == 0


@needs_native
async def test_what_waits_in_vain_leaves_though_nothing_else_happens(crowd):
    many = crowd(WAITED_FOR)
    many.plane.forward(many.fanout, Packet(1, False, False, 0, b"the rest is lost"))
    assert many.plane.native.held == 1
    await asyncio.wait_for(asyncio.get_running_loop().sock_recv(many.sinks[0], 2048), 5)
    assert many.plane.native.held == 0


@needs_native
def test_others_go_past_what_waits(crowd):
    many = crowd(WAITED_FOR)
    sound = Fanout(on_resume=lambda: None, cname="host", caching=False)
    heard = many._subscribe(5000, (), sound).ssrc
    many.take_in(1, whole=False)
    many.take_in(1, whole=False, fanout=sound)
    many.work_off()
    assert list(many.received) == [heard]
    many.take_in(2)
    many.work_off()
    assert len(many.received) == 1 + WAITED_FOR


@needs_native
def test_many_packets_of_a_picture_do_not_wait(crowd):
    many = crowd(WAITED_FOR)
    many.take_in(*range(1, 32), whole=False)
    many.work_off()
    assert many.received == {}
    many.take_in(32, whole=False)
    many.work_off()
    assert all(numbers == list(range(100, 132)) for numbers in many.received.values())
    assert len(many.received) == WAITED_FOR


@needs_native
def test_who_is_removed_while_a_picture_waits_gets_nothing_of_it(crowd):
    many = crowd(WAITED_FOR + 1)
    many.take_in(1, whole=False)
    many.work_off()
    removed = many.subscriptions[3]
    many.plane.remove(many.fanout, removed)
    many.take_in(2)
    many.work_off()
    assert removed.ssrc not in many.received
    assert all(numbers == [100, 101] for numbers in many.received.values())


@needs_native
def test_who_is_moved_while_a_picture_waits_gets_it_once(crowd):
    many = crowd(WAITED_FOR + 1)
    other = Fanout(on_resume=lambda: None, cname="host", caching=True)
    many.take_in(1, whole=False)
    many.work_off()
    moved = many.subscriptions[0]
    many.plane.move(moved, other, Splice(), 501)
    many.take_in(2)
    many.take_in(501, fanout=other)
    many.work_off()
    assert many.received.pop(moved.ssrc) == [100, 101]
    assert all(numbers == [100, 101] for numbers in many.received.values())


@needs_native
def test_a_publication_that_is_dropped_while_a_picture_waits_is_no_harm(crowd):
    many = crowd(WAITED_FOR)
    many.take_in(1, whole=False)
    many.work_off()
    for subscription in many.subscriptions:
        many.plane.remove(many.fanout, subscription)
        subscription.fanout = subscription.link = None
    many.fanout.link = None
    gc.collect()
    many.work_off()
    assert many.received == {}
    assert many.plane.native.free == POOL_PACKETS


@needs_native
def test_the_parts_of_a_picture_that_differ_by_a_byte_leave_joined():
    """As Chromium sends them, the shorter ones first. What is added to these is padding, also when they are repeated."""
    stage = Stage("native")
    subscription, inbox = stage.subscribe()
    payloads = [bytes([n]) * size for n, size in enumerate((999, 999, 1000, 1000, 700))]
    stage.forwarder._handing_on = True
    for number, payload in enumerate(payloads, 1):
        stage.forwarder.forward(stage.fanout, Packet(number, number == 5, False, 90, payload))
    stage.forwarder._handing_on = False
    stage.forwarder.flush()
    assert stage.port.joined == 1
    stage.forwarder.resend(stage.fanout, subscription, [100])
    *whole, again = inbox.packets
    assert [
        packet.payload[: len(payload)] for packet, payload in zip(whole, payloads, strict=True)
    ] == payloads
    assert [(packet.padding, packet.payload[-1]) for packet in whole[:2]] == [(True, 1)] * 2
    assert not any(packet.padding for packet in whole[2:])
    assert (again.padding, again.payload[2:]) == (True, whole[0].payload)
    stage.close()


@needs_native
@pytest.mark.parametrize(
    ("sizes", "times"),
    [((995, 1000), (90, 90)), ((999, 1000), (90, 180))],
    ids=["too much", "of two pictures"],
)
def test_what_differs_by_more_than_a_split_picture_stays_as_it_is(sizes, times):
    stage = Stage("native")
    inbox = stage.subscribe()[1]
    stage.forwarder._handing_on = True
    for number, (size, at) in enumerate(zip(sizes, times, strict=True), 1):
        stage.forwarder.forward(stage.fanout, Packet(number, True, False, at, bytes(size)))
    stage.forwarder._handing_on = False
    stage.forwarder.flush()
    assert [(packet.padding, len(packet.payload)) for packet in inbox.packets] == [
        (False, size) for size in sizes
    ]
    stage.close()


@needs_native
def test_what_is_padded_already_keeps_its_own(crowd):
    stage = Stage("native")
    inbox = stage.subscribe()[1]
    stage.forwarder._handing_on = True
    for number, padding in ((1, True), (2, False)):
        body = bytes(995) + b"\0\0\0\4" if padding else bytes(1000)
        stage.forwarder.forward(stage.fanout, Packet(number, not padding, padding, 90, body))
    stage.forwarder._handing_on = False
    stage.forwarder.flush()
    assert [(packet.padding, len(packet.payload)) for packet in inbox.packets] == [(True, 999), (False, 1000)]
    stage.close()


@needs_native
def test_what_is_taken_in_is_bounded(crowd):
    one = crowd(1)
    one.take_in(*range(1, POOL_PACKETS + 51))
    assert one.plane.native.dropped == 50
    one.work_off()
    assert one.subscriptions[0].link.packets == POOL_PACKETS
    assert one.plane.native.free == POOL_PACKETS


@needs_native
def test_what_was_read_and_not_looked_at_in_time_is_looked_at_in_the_next_call(crowd):
    """Twelve viewers ask for so much at once that the time is up before the last datagram's turn."""
    many = crowd(12)
    for subscription in many.subscriptions:
        subscription.egress.link.know(7)
    many.take_in(*range(1, 513), size=1000)
    many.work_off()
    many.plane.native.work()
    nacks = rtcp.nack(7, 0, range(100, 612))
    with contextlib.ExitStack() as open_sockets:
        for subscription in many.subscriptions:
            client = open_sockets.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
            client.bind(("127.0.0.1", 0))
            many.plane.native.add_address(subscription.egress.link, 0, client.getsockname())
            asking = nacks[:8] + subscription.ssrc.to_bytes(4, "big") + nacks[12:]
            client.sendto(session(Policy.SSRC_ANY_OUTBOUND).protect_rtcp(asking), many.socket.getsockname())
        stranger = open_sockets.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        stranger.sendto(b"\0check", many.socket.getsockname())
        told = many.plane.native.drain(many.port)
        assert told == []
        assert many.plane.native.backlog, "the time was not up: the test asks for too little"
        while many.plane.native.backlog:
            told += many.plane.native.work()
    assert [kind for kind, *_ in told] == [planes.dataplane.STUN]
    assert many.plane.native.free == POOL_PACKETS


@needs_native
def test_what_was_forwarded_is_told_in_runs_of_one_publisher(crowd):
    one = crowd(1)
    native = one.plane.native
    hosts = []
    for n in range(2):
        link = native.open_peer(f"host {n}")
        secure(link, session(Policy.SSRC_ANY_INBOUND), session(Policy.SSRC_ANY_OUTBOUND), viewer=False)
        address = ("192.0.2.1", 1000 + n)
        native.add_address(link, 0, address)
        link.know(7)
        native.follow(
            link, 7, one.plane._publication(one.fanout if n == 0 else Fanout(lambda: None, "host", True)),
            payload_type=96, highest=9, shift=0, timestamp_shift=0, transport_cc_id=0,
        )  # fmt: skip
        hosts.append((address, session(Policy.SSRC_ANY_OUTBOUND)))
    began_ns = boot_ns()
    for n, number in ((0, 10), (0, 11), (1, 10), (0, 13)):
        address, protection = hosts[n]
        packet = (
            bytes([0x80, 96]) + number.to_bytes(2, "big") + bytes([0, 0, 0, number, 0, 0, 0, 7]) + b"media"
        )
        assert native.accept(one.port, address, protection.protect(packet))
    told = [what for kind, *what in native.work() if kind == planes.dataplane.FORWARDED]
    assert [(user, [packet[:4] for packet in packets]) for user, packets in told] == [
        ("host 0", [(7, 10, 10, -1), (7, 11, 11, -1)]),
        ("host 1", [(7, 10, 10, -1)]),
        ("host 0", [(7, 13, 13, -1)]),
    ]
    assert all(began_ns <= packet[4] <= boot_ns() for _, packets in told for packet in packets)


@needs_native
def test_a_publication_that_is_dropped_with_packets_still_to_send_is_no_harm(crowd):
    one = crowd(1)
    one.take_in(1, 2, 3)
    one.plane.remove(one.fanout, one.subscriptions.pop())
    one.fanout = None
    one.work_off()
    assert one.received == {}
    assert one.plane.native.free == POOL_PACKETS


@needs_native
def test_a_closed_peer_is_sent_nothing_whatever_still_waits(crowd):
    many = crowd(2)
    many.take_in(1, 2)
    link = many.subscriptions[0].egress.link
    many.plane.close_peer(link)
    many.plane.close_peer(link)
    many.work_off()
    assert list(many.received) == [1001]


@needs_native
def test_an_address_of_either_family_is_found_again():
    lease = Lease()
    plane = planes.dataplane.DataPlane(lease.state, planes.srtp_functions(), boot_ns, 5)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        port = plane.open_port(3, sock.fileno())
        told = []
        for number, address in enumerate(
            [("192.0.2.1", 5), ("2001:db8::1", 5, 0, 0), ("fe80::1%lo", 5, 0, 1)]
        ):
            link = plane.open_peer(number)
            plane.add_address(link, 3, address)
            assert plane.accept(port, address, b"\x16dtls")
            told.append((planes.dataplane.DATAGRAM, number, b"\x16dtls"))
            assert plane.accept(port, (address[0], 6, *address[2:]), b"\x16dtls")
            assert plane.accept(port, address, b"\x00\x01check")
            bare = (address[0].partition("%")[0], *address[1:])
            told.append((planes.dataplane.STUN, 3, bare, b"\x00\x01check"))
        assert plane.work() == told
        assert port.dropped == 3
        plane.close_port(port)


def test_the_plane_can_be_chosen_and_says_what_it_is(caplog, monkeypatch):
    caplog.set_level(logging.INFO)
    forwarder, native = open_plane("python", Lease(), boot_ns, bytes)
    assert isinstance(forwarder, PacketForwarder)
    assert native is None
    monkeypatch.setattr(planes, "dataplane", None)
    forwarder, native = open_plane("auto", Lease(), boot_ns, bytes)
    assert isinstance(forwarder, PacketForwarder)
    assert "not compiled" in caplog.messages[-1]
    with pytest.raises(NoNativePlaneError):
        open_plane("native", Lease(), boot_ns, bytes)


@needs_native
def test_the_native_plane_is_the_first_choice(caplog):
    caplog.set_level(logging.INFO)
    for choice in ("auto", "native"):
        forwarder, native = open_plane(choice, Lease(), boot_ns, bytes)
        assert isinstance(forwarder, NativePlane)
        assert forwarder is native
        assert "native" in caplog.messages[-1]


def test_the_caches_and_bounds_of_both_planes_are_the_same():
    """The native source repeats constants of the Python one."""
    from pathlib import Path

    from mediaserver import forwarder, rtcp

    source = Path(planes.__file__).with_name("dataplane.pyx").read_text()
    for module, name in [(forwarder, "CACHE_PACKETS"), (forwarder, "OFFSETS_KEPT"), (forwarder, "LATE_PACKETS_MAX"),
                         (forwarder, "RESENDS_PER_SECOND_MAX"), (rtcp, "NACKS_MAX")]:  # fmt: skip
        assert f"    {name} = {getattr(module, name)}" in source
    assert rtp.HEADER_BYTES == 12


@pytest.mark.parametrize("seals", [True, False, None])
def test_only_a_plane_that_can_encrypt_by_itself_is_given_the_key(seals):
    """None: compiled from sources of before it could."""
    given = {}
    link = SimpleNamespace(secure=lambda *_, **more: given.update(more))
    if seals is not None:
        link.seals = seals
    secure(
        link, session(Policy.SSRC_ANY_INBOUND), session(Policy.SSRC_ANY_OUTBOUND), viewer=True, gcm_key=KEY
    )
    assert given == ({"feedback": True, "key": KEY} if seals else {"feedback": True})
