"""A load viewer's receiving half with a datagram socket pair in place of the network."""

import ctypes
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from bench.native import Sink

VIDEO, AUDIO, RTX = 96, 111, 97
KINDS = {VIDEO: "video", AUDIO: "audio", RTX: "rtx"}
SSRC = 0x1234
TRANSPORT_SEQ_ID = 3

# int srtp_protect_rtcp(session, packet, length), of a session that leaves packets as they are.
PROTECT = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, ctypes.POINTER(ctypes.c_int))
as_it_is = PROTECT(lambda _session, _packet, _length: 0)


def rtp(seq: int, *, ssrc: int = SSRC, pt: int = VIDEO, transport_seq: int | None = None) -> bytes:
    head = struct.pack("!BBHII", 0x80 if transport_seq is None else 0x90, pt, seq & 0xFFFF, 0, ssrc)
    if transport_seq is None:
        return head + b"payload"
    value = struct.pack("!BHx", TRANSPORT_SEQ_ID << 4 | 1, transport_seq & 0xFFFF)
    return head + struct.pack("!HH", 0xBEDE, 1) + value + b"payload"


@dataclass
class Watching:
    """One viewer: what is sent to it, what it counted, what it said."""

    sink: Sink
    near: socket.socket
    far: socket.socket
    transport_seq_id: int
    index: int = 0
    records: list[bytes] = field(default_factory=list)

    def join(self, random: int = 77) -> None:
        self.index = self.sink.add(
            self.near.fileno(),
            0,
            transport_seq_id=self.transport_seq_id,
            kinds=KINDS,
            random=random,
            on_record=lambda data, _arrival_ns: self.records.append(data),
        )

    def receive(self, *seqs: int, **more: int) -> None:
        self.take(*(rtp(seq, **more) for seq in seqs))

    def take(self, *packets: bytes) -> None:
        for packet in packets:
            self.far.send(packet)
            self.sink.turn()

    def counts(self) -> dict[str, int]:
        return self.sink.counts()

    def said(self) -> list[bytes]:
        found = []
        while True:
            try:
                found.append(self.far.recv(2000))
            except BlockingIOError:
                return found


@contextmanager
def watching(*, speaks: bool = False, transport_seq_id: int = 0, random: int = 77) -> Iterator[Watching]:
    near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    far.setblocking(False)
    sink = Sink(ctypes.cast(as_it_is, ctypes.c_void_p).value if speaks else None)
    viewer = Watching(sink, near, far, transport_seq_id)
    viewer.join(random)
    try:
        yield viewer
    finally:
        sink.remove(viewer.index)
        sink.close()
        near.close()
        far.close()
