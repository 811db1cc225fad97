"""What each packet to a viewer tells in its header extension, and padding, which passes like media and counts as none."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mediaserver import rtcp, rtp
from mediaserver.bandwidth import Line
from mediaserver.forwarder import Packet
from mediaserver.rtp import HeadExtension, head_extension

from .fanning import MS, START_NS

IDS = {"mid_id": 1, "send_time_id": 2, "transport_cc_id": 3, "level_id": 4}


def subscribe(stage, *gates, line=None, ids=IDS, **more):
    """The stage's viewer has one line: what goes to it shares its numbers."""
    return stage.subscribe(*gates, head_extension=head_extension(b"0", **ids), line=line or Line(), **more)


def told(packet, identifier):
    value = rtp.find_extension(packet.extensions, identifier)
    return None if value is None else int.from_bytes(value, "big")


def forward(stage, number, level=-1, *, voice=False):
    stage.forwarder.forward(stage.fanout, Packet(number, False, False, 0, b"sound", level, voice))


def test_every_packet_tells_its_number_its_time_and_where_it_belongs(stage):
    _, viewer = subscribe(stage)
    stage.send(1, 2, 3, at_ms=0)
    stage.send(4, at_ms=1500)
    assert [told(packet, 3) for packet in viewer.packets] == [1, 2, 3, 4]
    first, *_, last = (told(packet, 2) for packet in viewer.packets)
    assert (last - first) % (1 << 24) == pytest.approx(1.5 * (1 << 18), abs=1)
    assert {rtp.find_extension(packet.extensions, 1) for packet in viewer.packets} == {b"0"}


def test_retransmissions_and_padding_have_numbers_of_the_same_row(stage):
    to, viewer = subscribe(stage)
    stage.send(1, 2, 3, at_ms=0)
    stage.forwarder.resend(stage.fanout, to, [viewer.numbers[1]])
    assert stage.forwarder.pad(to, 300) == 504
    stage.send(4, at_ms=10)
    assert [told(packet, 3) for packet in viewer.packets] == [1, 2, 3, 4, 5, 6, 7]
    assert len({told(packet, 2) for packet in viewer.packets}) == 2


def test_the_level_is_told_where_the_publisher_tells_it(stage):
    _, viewer = subscribe(stage)
    forward(stage, 1, 30)
    forward(stage, 2, 127, voice=True)
    forward(stage, 3)
    assert [told(packet, 4) for packet in viewer.packets] == [30, 0xFF, None]
    assert {rtp.find_extension(packet.extensions, 1) for packet in viewer.packets} == {b"0"}
    assert {packet.payload for packet in viewer.packets} == {b"sound"}


def test_what_a_viewer_does_not_understand_is_not_told(stage):
    _, viewer = subscribe(stage, ids={"send_time_id": 7})
    forward(stage, 1, 30)
    (packet,) = viewer.packets
    assert [identifier for identifier in range(1, 15) if told(packet, identifier) is not None] == [7]


def test_a_packet_that_could_not_be_sent_leaves_its_number_to_the_next(stage):
    _, viewer = subscribe(stage)
    stage.send(1)
    viewer.accepting = False
    stage.send(2)
    viewer.accepting = True
    stage.send(3)
    assert [told(packet, 3) for packet in viewer.packets] == [1, 2]


@given(st.binary(min_size=1, max_size=20), st.fixed_dictionaries({name: st.integers(0, 14) for name in IDS}))
def test_an_extension_reads_back_whatever_is_in_it(mid, ids):
    distinct = {identifier for identifier in ids.values() if identifier}
    extension = head_extension(mid, **ids)
    block = extension.stamped(0x1234, 5_000_000_000, 9, voice=True)
    assert len(block) == len(extension.block)
    assert len(block) % 4 == 0
    if len(distinct) == sum(map(bool, ids.values())):
        packet = rtp.parse(bytes([0x90 if block else 0x80]) + bytes(11) + block)
        assert rtp.find_extension(packet.extensions, ids["mid_id"] or 15) == (
            mid if ids["mid_id"] and len(mid) <= 16 else None
        )
        assert not ids["transport_cc_id"] or told(packet, ids["transport_cc_id"]) == 0x1234
        assert not ids["send_time_id"] or told(packet, ids["send_time_id"]) == 5 << 18
        assert not ids["level_id"] or told(packet, ids["level_id"]) == 0x89


def test_a_level_that_is_not_known_is_padding():
    extension = head_extension(b"0", level_id=5, mid_id=1)
    assert rtp.find_extension(extension.stamped(0, 0, -1, voice=False)[4:], 5) is None
    assert HeadExtension().stamped(1, 2, 3, voice=False) == b""


# --- padding ---


def test_padding_is_a_retransmission_of_nothing(stage):
    to, viewer = subscribe(stage)
    stage.send(1)
    stage.forwarder.pad(to, 1)
    packet = viewer.packets[-1]
    assert (packet.ssrc, packet.payload_type, packet.padding) == (2000, 97, True)
    assert rtp.payload_bytes(packet) == 0


def test_padding_is_counted_as_no_media(stage):
    gate = stage.gate()
    gate.open(None)
    to, viewer = subscribe(stage, gate)
    stage.send(1, at_ms=0)
    before = stage.counted(to)
    stage.now_ns += 500 * MS
    assert stage.forwarder.pad(to, 2000) >= 2000
    assert len(viewer.packets) > 5
    assert stage.counted(to) == before
    report = gate.close(stage.now_ns)
    assert report.first_forwarded_ms == report.last_forwarded_ms == START_NS // MS


def test_padding_passes_no_gate_that_nothing_has_passed(stage):
    gate = stage.gate()
    to, viewer = subscribe(stage, gate)
    for opened in (False, True):
        if opened:
            gate.open(1000)
        assert stage.forwarder.pad(to, 500) == 0
    assert stage.firsts == []
    stage.send(1, at_ms=0)
    assert stage.forwarder.pad(to, 500) > 0
    seen = len(viewer.packets)
    stage.now_ns = START_NS + 1000 * MS
    assert stage.forwarder.pad(to, 500) == 0
    gate.close(stage.now_ns)
    assert stage.forwarder.pad(to, 500) == 0
    stage.lease.until_ns = stage.now_ns
    assert len(viewer.packets) == seen


def test_padding_heeds_the_lease(stage):
    to, viewer = subscribe(stage)
    stage.send(1)
    stage.lease.until_ns = stage.now_ns
    assert stage.forwarder.pad(to, 500) == 0
    assert len(viewer.packets) == 1


def test_a_paused_picture_carries_padding(stage):
    gate = stage.gate()
    gate.open(None)
    to, viewer = subscribe(stage, gate)
    stage.send(1)
    stage.forwarder.set_paused(to, True)
    stage.send(2)
    assert stage.forwarder.pad(to, 500) > 0
    assert {packet.ssrc for packet in viewer.packets[1:]} == {2000}
    stage.forwarder.set_paused(to, False)
    stage.send(3)
    assert [packet.sequence for packet in viewer.packets if packet.ssrc == 1000] == [100, 101]


def test_without_retransmission_there_is_nothing_to_pad_with(stage):
    to, viewer = subscribe(stage, rtx_payload_type=None)
    stage.send(1)
    assert stage.forwarder.pad(to, 500) == 0
    assert len(viewer.packets) == 1


# --- feedback, as it is written elsewhere ---


def write(base, reference, symbols, deltas, *, runs):
    """Transport-wide feedback by the draft's pictures: run-length chunks, else vectors of one bit where they do."""
    chunks = b""
    at = 0
    while at < len(symbols):
        run = next((n for n, s in enumerate(symbols[at:]) if s != symbols[at]), len(symbols) - at)
        if runs and run >= 7:
            chunks += (symbols[at] << 13 | run).to_bytes(2, "big")
            at += run
        elif 2 not in symbols[at : at + 14]:
            bits = "".join(str(s) for s in symbols[at : at + 14]).ljust(14, "0")
            chunks += int("10" + bits, 2).to_bytes(2, "big")
            at += 14
        else:
            bits = "".join(f"{s:02b}" for s in symbols[at : at + 7]).ljust(14, "0")
            chunks += int("11" + bits, 2).to_bytes(2, "big")
            at += 7
    body = b"".join(
        d.to_bytes(1 if s == 1 else 2, "big", signed=s == 2)
        for s, d in zip(symbols, deltas, strict=True)
        if s
    )
    data = (
        bytes(8) + base.to_bytes(2, "big") + len(symbols).to_bytes(2, "big") + reference.to_bytes(3, "big") + b"\7" + chunks + body
    )  # fmt: skip
    padding = -len(data) % 4
    data += (bytes(padding - 1) + bytes([padding])) if padding else b""
    return bytes([0x8F | (0x20 if padding else 0), 205]) + (len(data) // 4).to_bytes(2, "big") + data


ARRIVAL = st.one_of(
    st.just((0, 0)),
    st.tuples(st.just(1), st.integers(0, 255)),
    st.tuples(st.just(2), st.integers(-32768, 32767)),
)


@given(
    st.integers(0, 0xFFFF),
    st.integers(0, 0xFFFFFF),
    st.lists(st.tuples(ARRIVAL, st.integers(1, 30)), min_size=1, max_size=30),
    st.booleans(),
)
def test_feedback_reads_as_it_was_written(base, reference, pieces, runs):
    arrivals = [arrival for arrival, times in pieces for _ in range(times)]
    symbols, deltas = zip(*arrivals, strict=True)
    (feedback,) = rtcp.parse(write(base, reference, symbols, deltas, runs=runs)).transport
    assert (feedback.base, feedback.reference) == (base, reference)
    assert feedback.deltas == tuple(delta if symbol else None for symbol, delta in arrivals)


@pytest.mark.parametrize("cut", range(1, 12))
def test_feedback_that_is_cut_off_says_nothing(cut):
    data = write(5, 6, [1, 2] * 20, [3, -4] * 20, runs=False)
    body = data[4:] if not data[0] & 0x20 else data[4 : len(data) - data[-1]]
    body = body[: len(body) - cut]
    padding = -len(body) % 4
    data = rtcp._packet(
        15 | (0x20 if padding else 0), 205, body + (bytes(padding - 1) + bytes([padding]) if padding else b"")
    )
    assert rtcp.parse(data).transport == []


def test_feedback_on_more_than_anybody_remembers_says_nothing():
    head = (1).to_bytes(2, "big") + (0xFFFF).to_bytes(2, "big") + bytes(4)
    assert rtcp.parse(rtcp._packet(15, 205, bytes(8) + head + b"\x1f\xff" * 9)).transport == []
