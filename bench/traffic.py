"""What the host sends: VP8-shaped frames and Opus-shaped packets, each carrying its send time."""

import struct
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass, field

from bench.cases import FRAMES_PER_S, Send
from bench.light import LightTransport, monotonic_ns
from bench.sdp import AUDIO_LEVEL, AUDIO_PT, MID, SEND_TIME, TRANSPORT_SEQ, VIDEO_PT

AUDIO_SSRC = 0x0A0D_1001
VIDEO_SSRC = 0x0F1D_2001
TIME = struct.Struct("!Q")
HEADER = struct.Struct("!BBHII")


def sent_ns(packet: bytes) -> int:
    """When the host sent this (decrypted) packet: its last eight bytes before any padding (RFC 3550 section 5.1)."""
    padding = packet[-1] if packet[0] & 0x20 else 0
    return int(TIME.unpack_from(packet, len(packet) - padding - 8)[0])


def is_keyframe_request(rtcp: bytes) -> bool:
    """PLI (RFC 4585 section 6.3.1) or FIR (RFC 5104 section 4.3.1) anywhere in a compound packet."""
    at = 0
    while at + 4 <= len(rtcp):
        if rtcp[at + 1] == 206 and rtcp[at] & 31 in (1, 4):
            return True
        at += 4 + 4 * int.from_bytes(rtcp[at + 2 : at + 4], "big")
    return False


@dataclass
class Stream:
    """One outgoing RTP stream; `extensions` are the URIs' ids that the server accepted."""

    ssrc: int
    pt: int
    ticks_per_s: int
    mid: str
    extensions: dict[str, int]
    seq: int = 1000
    sent: int = 0
    filler: bytes = field(default=bytes(range(256)) * 6)

    def packet(self, body: bytes, size: int, timestamp: int, *, marker: bool, now_ns: int) -> bytes:
        """An RTP packet of `size` bytes in all (before SRTP's tag; more when it must) that starts its payload with `body`."""
        self.seq = (self.seq + 1) & 0xFFFF
        self.sent += 1
        header = HEADER.pack(0x90, self.pt | marker << 7, self.seq, timestamp & 0xFFFFFFFF, self.ssrc)
        head = header + self._extension(now_ns) + body
        return head + self.filler[: max(0, size - len(head) - 8)] + TIME.pack(now_ns)

    def _extension(self, now_ns: int) -> bytes:
        """RFC 8285 one-byte header, with the values a browser would send."""
        values = {
            SEND_TIME: ((now_ns << 18) // 1_000_000_000 & 0xFFFFFF).to_bytes(3, "big"),
            TRANSPORT_SEQ: self.seq.to_bytes(2, "big"),
            MID: self.mid.encode(),
            AUDIO_LEVEL: b"\x9e",
        }
        body = b"".join(
            bytes((number << 4 | len(values[uri]) - 1,)) + values[uri]
            for uri, number in self.extensions.items()
            if uri in values
        )
        body += bytes(-len(body) % 4)
        return struct.pack("!HH", 0xBEDE, len(body) // 4) + body


class Host:
    """One publisher: plays a case from a thread of its own, since an event loop wakes too coarsely for it. A keyframe
    request makes the next frame a keyframe."""

    def __init__(self, transport: LightTransport, number: int, extensions: dict[str, dict[str, int]]) -> None:
        self.audio = Stream(AUDIO_SSRC + number, AUDIO_PT, 48_000, "0", extensions["audio"])
        self.video = Stream(VIDEO_SSRC + 16 * number, VIDEO_PT, 90_000, "1", extensions["video"])
        self.keyframes = 0
        self._transport = transport
        self._wants_keyframe = True
        self._key = False
        self._stopped = threading.Event()

    @property
    def sent(self) -> int:
        return self.audio.sent + self.video.sent

    def on_rtcp(self, rtcp: bytes) -> None:
        if is_keyframe_request(rtcp):
            self._wants_keyframe = True

    def stop(self) -> None:
        self._stopped.set()

    def run(self, sends: Iterable[Send]) -> None:
        """Until stopped. Never drifts; catches up after a stall."""
        start_ns = monotonic_ns()
        for send in sends:
            wait_s = start_ns / 1e9 + send.at_s - monotonic_ns() / 1e9
            if wait_s > 0:
                time.sleep(wait_s)
            if self._stopped.is_set():
                return
            self._send_audio(send) if send.kind == "audio" else self._send_video(send)

    def _send_audio(self, send: Send) -> None:
        packet = self.audio.packet(b"", send.bytes, send.frame * 960, marker=False, now_ns=monotonic_ns())
        self._transport.send_rtp(packet)

    def _send_video(self, send: Send) -> None:
        if send.first:
            self._key, self._wants_keyframe = self._wants_keyframe, False
            self.keyframes += self._key
        body = vp8(send.frame, key=self._key, first=send.first)
        timestamp = send.frame * 90_000 // FRAMES_PER_S
        packet = self.video.packet(body, send.bytes, timestamp, marker=send.last, now_ns=monotonic_ns())
        self._transport.send_rtp(packet)


def vp8(frame: int, *, key: bool, first: bool) -> bytes:
    """RFC 7741: descriptor with a 15-bit picture id, and a payload header on the frame's first packet."""
    descriptor = bytes((0x80 | first << 4, 0x80)) + (0x8000 | frame & 0x7FFF).to_bytes(2, "big")
    if not first:
        return descriptor
    if key:
        return descriptor + b"\x10\x02\x00\x9d\x01\x2a" + struct.pack("<HH", 640, 360)
    return descriptor + b"\x11\x02\x00"
