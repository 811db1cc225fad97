"""Media over TCP (RFC 6544, RFC 4571): the same checks as on UDP, and nothing to gain for who breaks the framing."""

import asyncio
import os
import socket
import struct
from contextlib import ExitStack

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mediaserver import icetcp
from mediaserver.errors import PortInUseError
from mediaserver.events import Closed, MediaConfig
from mediaserver.ice import DATAGRAM_BYTES_MAX
from mediaserver.server import MediaServer

from .client import Clock, Hall, Viewer, settle, until
from .tcp import Caller, TcpLeg, framed, tcp_leg


async def tcp_viewer(hall: Hall, name: str) -> tuple[Viewer, TcpLeg]:
    leg = tcp_leg(hall)
    viewer = Viewer(hall, name, leg)
    await viewer.follow()
    await leg.connect(viewer.offers[-1].sdp)
    return viewer, leg


async def host_and_tcp_viewer(hall: Hall) -> tuple[TcpLeg, TcpLeg]:
    """A host who publishes over TCP too."""
    await hall.add("host")
    host = tcp_leg(hall)
    await host.connect(await hall.media.publish("host", host.offer(), {}))
    await hall.add("viewer")
    _, leg = await tcp_viewer(hall, "viewer")
    return host, leg


def port_of(hall: Hall, name: str) -> icetcp.TcpConnection:
    """The server's end of the connection that a viewer receives by."""
    return next(peer.agent.route[0] for _, peer in hall.media._participants[name].peers())


def connections(hall: Hall) -> int:
    return hall.media._tcp.connections


async def test_a_host_and_a_viewer_without_udp_reach_each_other(hall):
    host, viewer = await host_and_tcp_viewer(hall)
    host.video(1, 2, 3)
    await until(lambda: len(viewer.packets) == 3, "three packets by TCP")
    stats = hall.media.stats().participants["viewer"]["subscribe"]
    assert stats.packets_out == 3


async def test_descriptions_name_every_address_by_udp_first_and_then_by_tcp_on_the_same_port(hall):
    await hall.add("host")
    answer = await hall.media.publish("host", hall.leg().offer(), {})
    found = [line.split() for line in answer.splitlines() if line.startswith("a=candidate")]
    assert [line[2] for line in found[:2]] == ["udp", "tcp"]
    udp, tcp = found[:2]
    assert udp[4:6] == tcp[4:6] == ["127.0.0.1", str(hall.media.port)]
    assert tcp[6:] == ["typ", "host", "tcptype", "passive"]
    assert int(tcp[3]) < int(udp[3])


async def test_packets_cut_and_joined_anyhow_by_the_network_arrive_whole(hall):
    await hall.add("host")
    host = tcp_leg(hall)
    host.learn(await hall.media.publish("host", host.offer(), {}))
    check = framed(host.check())
    for byte in check[:-1]:
        host.connection.sendall(bytes([byte]))
    await settle()
    assert host.responses == []
    host.connection.sendall(check[-1:] + check + framed(b"") + check)
    await until(lambda: len(host.responses) == 3, "three answers")


async def test_media_moves_from_udp_to_tcp_and_back_as_the_client_nominates(hall):
    await hall.add("host")
    host = await hall.publish("host")
    await hall.add("viewer")
    viewer = await hall.view("viewer")
    other = tcp_leg(hall)
    other.remote_ufrag, other.remote_password = viewer.leg.remote_ufrag, viewer.leg.remote_password
    other._secure = viewer.leg._secure
    # Both nominated at once, as some browsers do: UDP is kept.
    await other.nominate()
    host.video(1)
    await until(lambda: len(viewer.leg.packets) == 1, "media by UDP")
    # Later a nomination is a wish.
    hall.clock.ahead_ns += 3_000_000_000
    await other.nominate()
    host.video(2)
    await until(lambda: len(other.packets) == 1, "media by TCP")
    await viewer.leg.nominate()
    host.video(3)
    await until(lambda: len(viewer.leg.packets) == 2, "media by UDP again")


async def test_a_broken_connection_ends_nothing_and_media_goes_on_by_the_next_one(hall):
    host, viewer = await host_and_tcp_viewer(hall)
    viewer.hang_up()
    await until(lambda: connections(hall) == 1, "the server noticed")
    host.video(1)
    await settle()
    again = tcp_leg(hall)
    again.remote_ufrag, again.remote_password = viewer.remote_ufrag, viewer.remote_password
    again._secure = viewer._secure
    await again.nominate()
    host.video(2)
    await until(lambda: len(again.packets) == 1, "media by the new connection")
    assert hall.of(Closed, "viewer") == []


async def test_closing_says_goodbye_first_and_then_hangs_up(hall):
    _, viewer = await host_and_tcp_viewer(hall)
    await hall.media.remove_participant("viewer")
    await until(lambda: viewer.gone, "close_notify")
    await until(lambda: viewer.hung_up, "the end of the connection")
    assert connections(hall) == 1


async def test_a_client_that_does_not_read_costs_bounded_memory_and_harms_nobody(hall):
    host, slow = await host_and_tcp_viewer(hall)
    await hall.add("other")
    other = await hall.view("other")
    slow.stop_reading()
    sent = 0
    host.on_wire.clear()
    port = port_of(hall, "viewer")
    while port._full_since_ns is None:
        for _ in range(20):
            sent += 1
            host.video(sent, payload=bytes(1100))
        await until(lambda: len(other.leg.packets) == len(host.on_wire), "everything for the other one")
        assert port._transport.get_write_buffer_size() <= icetcp.SEND_BUFFER_BYTES_MAX
        assert sent < 60_000
    slow.read_again()
    await until(lambda: port._transport.get_write_buffer_size() == 0, "it caught up")
    await settle()
    caught = len(slow.packets)
    assert 0 < caught < sent
    host.video(sent + 1)
    await until(lambda: len(slow.packets) == caught + 1, "media goes on, whole packets only")


@pytest.mark.parametrize("cut", ["gate", "limit", "lease"])
async def test_after_a_cut_nothing_more_is_put_behind_what_waits_for_a_slow_client(hall, cut):
    await hall.add("host")
    host = await hall.publish("host")
    await hall.add("viewer", metered=True)
    _, slow = await tcp_viewer(hall, "viewer")
    await hall.media.open_gate("viewer", 20_000)
    slow.stop_reading()
    port, sent = port_of(hall, "viewer"), 0
    while port._transport.get_write_buffer_size() < icetcp.SEND_BUFFER_BYTES_MAX // 2:
        host.video(*range(sent, sent + 20), payload=bytes(1100))
        sent += 20
        await asyncio.sleep(0.002)
        assert sent < 60_000
    if cut == "gate":
        await hall.media.close_gate("viewer")
    elif cut == "limit":
        hall.clock.ahead_ns += 20_000_000_000
    else:
        await hall.media.set_lease(hall.clock.ms)
    passed = hall.media.stats().participants["viewer"]["subscribe"].packets_out
    waits = port._transport.get_write_buffer_size()
    host.video(*range(sent, sent + 20), payload=bytes(1100))
    await settle()
    assert port._transport.get_write_buffer_size() <= waits
    slow.read_again()
    await until(lambda: len(slow.packets) == passed, "all that had passed before")
    await settle()
    assert len(slow.packets) == passed


async def test_a_client_that_reads_nothing_for_ten_seconds_is_hung_up_on(hall):
    host, slow = await host_and_tcp_viewer(hall)
    slow.stop_reading()
    port = port_of(hall, "viewer")
    sent, since, rounds_full = 0, None, 0
    # Until the kernel takes no more either: nothing has fitted for several rounds.
    while rounds_full < 10:
        host.video(*range(sent, sent + 20), payload=bytes(1100))
        sent += 20
        await asyncio.sleep(0.005)
        rounds_full = rounds_full + 1 if since is not None and port._full_since_ns == since else 0
        since = port._full_since_ns
        assert sent < 60_000
    hall.clock.ahead_ns += icetcp.STALLED_NS
    before = connections(hall)
    host.video(sent, payload=bytes(1100))
    await until(lambda: connections(hall) == before - 1, "the slow one is gone")


@pytest.mark.parametrize(
    "first",
    [
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        (DATAGRAM_BYTES_MAX + 1).to_bytes(2, "big"),
        framed(b"\x16\xfe\xff stranger's ClientHello"),
        framed(b"\x80" + bytes(40)),
        framed(b"\x00\x01\x00\x00\x21\x12\xa4\x42" + bytes(12)),
        framed(b"\x00"),
    ],
    ids=["http", "too long", "dtls", "srtp", "no username", "one byte"],
)
async def test_whoever_does_not_begin_with_a_valid_check_is_hung_up_on(hall, first):
    caller = Caller(hall)
    caller.send(first)
    await caller.until_hung_up()
    caller.close()
    await until(lambda: connections(hall) == 0, "nothing is kept of it")


async def test_a_check_with_a_wrong_password_ends_that_connection_only(hall):
    await hall.add("host")
    host = tcp_leg(hall)
    await host.connect(await hall.media.publish("host", host.offer(), {}))
    caller = Caller(hall)
    caller.send(framed(host.check(password="wrong")))
    await caller.until_hung_up()
    caller.close()
    await host.nominate()


async def test_broken_framing_after_a_valid_check_ends_that_connection_only(hall):
    await hall.add("host")
    host = await hall.publish("host")
    second = Caller(hall)
    second.send(framed(host.check()))
    await settle()
    assert not second.hung_up
    second.send(b"\xff\xff")
    await second.until_hung_up()
    second.close()
    await host.nominate()
    assert hall.of(Closed, "host") == []


async def test_connections_that_are_reset_at_once_or_half_way_leave_nothing(hall):
    for data in [b"", b"\x00", framed(bytes(20))[:9]] * 20:
        caller = Caller(hall)
        caller.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        caller.send(data)
        caller.close()
    await settle()
    await until(lambda: connections(hall) == 0, "all are gone")


async def test_idle_strangers_make_room_for_newcomers_and_are_hung_up_on_in_time(hall, monkeypatch):
    monkeypatch.setattr(icetcp, "UNVERIFIED_MAX", 3)
    await hall.add("host")
    host = tcp_leg(hall)
    await host.connect(await hall.media.publish("host", host.offer(), {}))
    with ExitStack() as stack:
        callers = [Caller(hall) for _ in range(5)]
        for caller in callers:
            stack.callback(caller.close)
        await callers[0].until_hung_up()
        await callers[1].until_hung_up()
        assert connections(hall) == 4
        monkeypatch.setattr(icetcp, "UNVERIFIED_S", 0.05)
        late = Caller(hall)
        stack.callback(late.close)
        await late.until_hung_up()
        await host.nominate()


async def test_one_participant_holds_only_so_many_connections(hall):
    await hall.add("host")
    host = tcp_leg(hall)
    await host.connect(await hall.media.publish("host", host.offer(), {}))
    with ExitStack() as stack:
        callers = [Caller(hall) for _ in range(12)]
        for caller in callers:
            stack.callback(caller.close)
            caller.send(framed(host.check()))
            await asyncio.sleep(0.002)
        await until(lambda: connections(hall) <= 8, "the oldest are hung up on")


async def test_a_taken_tcp_port_is_told_and_leaves_nothing_bound():
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        taken = other.getsockname()[1]
        config = MediaConfig(port=taken, addresses=("127.0.0.1",))
        media = MediaServer(config, now_ns=Clock(), random_bytes=os.urandom, on_event=lambda _: None)
        with pytest.raises(PortInUseError, match=f"TCP port {taken}"):
            await media.start()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as again:
            again.bind(("127.0.0.1", taken))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.binary(max_size=300), max_size=8))
def test_random_bytes_after_a_valid_check_never_raise(chunks):
    """Any cut of any bytes: the parser keeps at most its buffer, and ends at the first impossible length."""
    ice = FakeIce()
    connection = icetcp.TcpConnection(icetcp.TcpServer(ice, lambda: 0))
    connection.agents[()] = ice.agent
    stream = b"".join(chunks)
    for chunk in chunks:
        for at in range(0, len(chunk), 100):
            part = chunk[at : at + 100]
            room = connection.get_buffer(-1)
            assert len(room) >= len(part)
            room[: len(part)] = part
            connection.buffer_updated(len(part))
    assert ice.taken == expected(stream)


def expected(stream: bytes) -> list[bytes]:
    packets = []
    while len(stream) >= 2:
        size = int.from_bytes(stream[:2], "big")
        if size > DATAGRAM_BYTES_MAX or len(stream) < 2 + size:
            break
        packets.append(stream[2 : 2 + size])
        stream = stream[2 + size :]
    return [packet for packet in packets if packet]


class FakeIce:
    """Notes every packet that the framing gave, checks and others."""

    def __init__(self) -> None:
        self.taken: list[bytes] = []
        self.agent = self

    def check(self, _port: object, packet: bytes, _address: object) -> None:
        self.taken.append(packet)

    def receive(self, _agent: object, packet: bytes) -> None:
        self.taken.append(packet)

    def flush(self) -> None:
        pass

    def lost(self, *_: object) -> None:
        pass
