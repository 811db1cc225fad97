"""RTCP that we write is understood by aiortc's parser, and the other way round."""

from aiortc.rtp import (
    RTCP_PSFB_FIR,
    RTCP_PSFB_PLI,
    RTCP_RTPFB_NACK,
    RtcpByePacket,
    RtcpPacket,
    RtcpPsfbPacket,
    RtcpReceiverInfo,
    RtcpRrPacket,
    RtcpRtpfbPacket,
    RtcpSdesPacket,
    RtcpSenderInfo,
    RtcpSrPacket,
    pack_remb_fci,
)

from mediaserver import rtcp
from mediaserver.rtcp import ReportBlock, SenderReport

BLOCK = ReportBlock(7, 12, -3, 99, 4, 5, 6)


def test_a_sender_report_with_description_is_read_by_aiortc():
    data = rtcp.sender_report(SenderReport(1, 2 << 32, 3, 4, 5)) + rtcp.source_description(1, "name")
    report, description = RtcpPacket.parse(data)
    assert isinstance(report, RtcpSrPacket)
    assert isinstance(description, RtcpSdesPacket)
    assert report.sender_info == RtcpSenderInfo(
        ntp_timestamp=2 << 32, rtp_timestamp=3, packet_count=4, octet_count=5
    )
    assert description.chunks[0].items == [(1, b"name")]


def test_a_receiver_report_is_read_by_aiortc():
    (report,) = RtcpPacket.parse(rtcp.receiver_report(1, [BLOCK]))
    assert isinstance(report, RtcpRrPacket)
    assert report.reports[0].packets_lost == -3
    assert report.reports[0].highest_sequence == 99


def test_at_most_31_blocks_are_written():
    (report,) = RtcpPacket.parse(rtcp.receiver_report(1, [BLOCK] * 40))
    assert len(report.reports) == 31


def test_a_goodbye_a_picture_loss_and_a_nack_are_read_by_aiortc():
    lost = [10, 11, 27, 28, 65535]
    bye, pli, nack = RtcpPacket.parse(rtcp.goodbye(3) + rtcp.picture_loss(1, 2) + rtcp.nack(1, 2, lost))
    assert isinstance(bye, RtcpByePacket)
    assert (pli.fmt, pli.ssrc, pli.media_ssrc) == (RTCP_PSFB_PLI, 1, 2)
    assert nack.fmt == RTCP_RTPFB_NACK
    assert nack.lost == lost


def test_a_nack_spans_the_wrap_of_sequence_numbers():
    assert rtcp.parse(rtcp.nack(1, 2, [65535, 0, 3])).nacks == [(2, [65535, 0, 3])]


def test_what_aiortc_writes_is_read():
    info = RtcpReceiverInfo(
        ssrc=7, fraction_lost=12, packets_lost=-3, highest_sequence=99, jitter=4, lsr=5, dlsr=6
    )
    data = b"".join(
        bytes(packet)
        for packet in (
            RtcpRrPacket(ssrc=1, reports=[info]),
            RtcpRtpfbPacket(fmt=RTCP_RTPFB_NACK, ssrc=1, media_ssrc=2, lost=[5, 6, 30]),
            RtcpPsfbPacket(fmt=RTCP_PSFB_PLI, ssrc=1, media_ssrc=9),
            RtcpPsfbPacket(fmt=RTCP_PSFB_FIR, ssrc=1, media_ssrc=0, fci=b"\0\0\0\x0a\1\0\0\0"),
            RtcpPsfbPacket(fmt=15, ssrc=1, media_ssrc=0, fci=pack_remb_fci(250_000, [11])),
            RtcpByePacket(sources=[12]),
        )
    )
    feedback = rtcp.parse(data)
    assert feedback.reports == [BLOCK]
    assert feedback.nacks == [(2, [5, 6, 30])]
    assert feedback.keyframes == [9, 10]
    assert feedback.bitrates_bps == [(11, 250_000)]
    assert feedback.goodbyes == [12]
    assert feedback.sender_ssrcs[0] == 1


def test_a_sender_report_is_read():
    report = SenderReport(1, 2 << 32 | 5, 3, 4, 5)
    assert rtcp.parse(rtcp.sender_report(report)).sender_reports == [report]


def test_a_datagram_asks_for_at_most_512_packets():
    data = rtcp.nack(1, 2, range(0, 3000, 2)) * 2
    assert sum(len(lost) for _, lost in rtcp.parse(data).nacks) == rtcp.NACKS_MAX


def test_what_stands_before_a_fault_is_kept():
    feedback = rtcp.parse(rtcp.picture_loss(1, 2) + b"\x81\xce\xff\xff")
    assert feedback.keyframes == [2]


def read_transport_cc(data):
    """A second reading of the draft: {number: arrival in ticks of 250 us}."""
    assert (data[0] & 0x1F, data[1]) == (15, 205)
    end = len(data) - (data[-1] if data[0] & 0x20 else 0)
    assert int.from_bytes(data[2:4], "big") * 4 + 4 == len(data)
    base, count = int.from_bytes(data[12:14], "big"), int.from_bytes(data[14:16], "big")
    clock = int.from_bytes(data[16:19], "big") * 256
    at, symbols = 20, []
    while len(symbols) < count:
        word = int.from_bytes(data[at : at + 2], "big")
        assert word >> 14 == 3, "two-bit vectors alone are written"
        symbols += [word >> (12 - 2 * n) & 3 for n in range(7)]
        at += 2
    arrivals = {}
    for n, symbol in enumerate(symbols[:count]):
        if symbol:
            size = symbol
            clock += int.from_bytes(data[at : at + size], "big", signed=size == 2)
            at += size
            arrivals[(base + n) & 0xFFFF] = clock
    assert at == end, "every byte is accounted for"
    return arrivals


def test_transport_feedback_tells_each_arrival():
    start = 64_000 * 100
    arrivals = [(65530, start), (65531, start + 250), (65537, start + 100_000), (65538, start + 90_000)]
    assert read_transport_cc(rtcp.transport_cc(1, 2, 300, arrivals)) == {
        65530: 25600,
        65531: 25601,
        1: 26000,
        2: 25960,
    }


def test_transport_feedback_counts_modulo_256():
    assert rtcp.transport_cc(1, 2, 257, [(5, 0)])[19] == 1
