"""RTP headers as the forwarder reads and writes them."""

import pytest

from mediaserver import rtp


def packet(*, first=0x90, extension=b"\xbe\xde\x00\x01\x10\x30\x00\x00", payload=b"media"):
    return bytes([first, 0xE0]) + b"\x12\x34\x00\x00\x56\x78\xca\xfe\xba\xbe" + extension + payload


def test_a_packet_with_an_extension_is_read():
    parsed = rtp.parse(packet())
    assert (parsed.marker, parsed.payload_type, parsed.sequence) == (True, 0x60, 0x1234)
    assert (parsed.timestamp, parsed.ssrc, parsed.payload) == (0x5678, 0xCAFEBABE, b"media")
    assert rtp.find_extension(parsed.extensions, 1) == b"0"


def test_contributing_sources_are_skipped():
    parsed = rtp.parse(packet(first=0x82, extension=b"\0\0\0\1\0\0\0\2"))
    assert parsed.payload == b"media"


@pytest.mark.parametrize(
    "data",
    [b"", packet()[:11], packet(first=0x10), packet(extension=b"\xbe\xde\xff\xff"), packet(first=0x9F)[:30]],
)
def test_what_is_not_rtp_raises_value_error(data):
    with pytest.raises(ValueError, match="RTP"):
        rtp.parse(data)


def test_two_byte_extensions_are_read_short_and_long():
    long = bytes(range(17))
    elements = b"\x01\x01\x30" + b"\0" + b"\x0c\x11" + long + b"\x03\x02ab" + b"\x14\x01x"
    elements += bytes(-len(elements) % 4)
    block = b"\x10\x00" + (len(elements) // 4).to_bytes(2, "big") + elements
    parsed = rtp.parse(packet(extension=block))
    assert rtp.find_extension(parsed.extensions, 1) == b"0"
    found = [rtp.extension_of(parsed, identifier) for identifier in (1, 3, 12, 20, 5)]
    assert found == [b"0", b"ab", long, b"x", None]
    assert parsed.payload == b"media"


def test_empty_and_truncated_two_byte_extensions_end_quietly():
    parsed = rtp.parse(packet(extension=b"\x10\x00\x00\x01\x01\x00\x02\xff"))
    assert [rtp.extension_of(parsed, identifier) for identifier in (1, 2)] == [b"", b""]


def test_an_extension_is_found_behind_padding_and_a_truncated_list_ends_quietly():
    assert rtp.find_extension(b"\0\0\x31ab\x52xyz", 5) == b"xyz"
    assert rtp.find_extension(b"\x31ab", 5) is None
    assert rtp.find_extension(b"\xf0\x30\x50x", 5) is None
    assert rtp.find_extension(b"\x5f", 5) == b""


@pytest.mark.parametrize("mid", [b"0", b"17", b"1234567", b"0123456789abcdef"])
def test_a_written_extension_reads_back(mid):
    block = rtp.head_extension(mid, mid_id=1).block
    assert len(block) % 4 == 0
    parsed = rtp.parse(packet(extension=block))
    assert rtp.find_extension(parsed.extensions, 1) == mid
    assert parsed.payload == b"media"


def test_padding_does_not_count_as_payload():
    assert rtp.payload_bytes(rtp.parse(packet(first=0xB0, payload=b"ab\0\0\3"))) == 2
    assert rtp.payload_bytes(rtp.parse(packet(first=0xB0, payload=b"\0\0\x09"))) == 0


@pytest.mark.parametrize(
    ("sequence", "reference", "number"),
    [
        (5, 65536 + 3, 65536 + 5),
        (1, 65536 + 65535, 2 * 65536 + 1),
        (65535, 2 * 65536 + 1, 65536 + 65535),
        (3, 65536 + 3, 65536 + 3),
    ],
)
def test_sequence_numbers_unwrap_to_the_nearest(sequence, reference, number):
    assert rtp.unwrap_sequence(sequence, reference) == number


def test_rtcp_is_told_from_rtp_by_its_second_byte():
    assert rtp.is_rtcp(b"\x80\xc8")
    assert rtp.is_rtcp(b"\x81\xce")
    assert not rtp.is_rtcp(b"\x80\x60")
    assert not rtp.is_rtcp(b"\x80\xe0")
