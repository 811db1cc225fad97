"""Random calls and hostile packets for the native data plane; run by `test_dataplane_sanitized.py` on a sanitized build.

    hostile.py FIRST_SEED STEPS SEEDS

Half of the planes have real SRTP, half have functions in its place that let everything pass, so that what libsrtp would
refuse reaches the parsers as well; half of the peers are encrypted for by `seal.c`. Invariants: no buffer is lost, no queue grows beyond its bound, and a peer that
is closed or a subscription that has ended is never heard of again.
"""

import ctypes
import random
import socket
import struct
import sys

from pylibsrtp import Policy, Session

from mediaserver import dataplane
from mediaserver.gate import Gate, Lease
from mediaserver.transport import secure, srtp_functions

KEY = bytes(range(28))
MTU = 1500
FUNCTION = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, ctypes.POINTER(ctypes.c_int))


def session(direction):
    policy = Policy(key=KEY, ssrc_type=direction, srtp_profile=Policy.SRTP_PROFILE_AEAD_AES_128_GCM)
    return Session(policy)


def open_all(_session, _packet, _length):
    return 0


def seal_all(_session, packet, length):
    """As long a trailer as libsrtp may write."""
    ctypes.memset(packet + length[0], 0xEE, 16)
    length[0] += 16
    return 0


# Ready-made header extensions, and where in them something is told of each packet.
EXTENSIONS = [
    (b"", {}),
    (b"\xbe\xde\0\1\x40v\0\0", {}),
    (bytes(64), {"transport_cc_at": 62, "send_time_at": 59, "level_at": 57, "level_id": 4}),
    (b"\xbe\xde\0\2\x31\0\0\x22\0\0\0\0", {"transport_cc_at": 5, "send_time_at": 8}),
]


class User:
    def __init__(self, link_of):
        self.closed = False
        self.link_of = link_of


class Stream:
    """A TCP connection that is full now and then."""

    def __init__(self, chance):
        self.chance = chance
        self.dropped = 0

    def send_to(self, data, _address):
        assert 0 < len(data) <= MTU + 148
        if self.chance.random() < 0.3:
            raise BlockingIOError


class Fuzz:
    def __init__(self, seed):
        self.chance = random.Random(seed)
        self.clock = 1_000_000_000
        self.lease = Lease()
        self.lease.until_ns = 1 << 61
        self.plain = seed % 2 == 0
        self.keep = [FUNCTION(seal_all), FUNCTION(open_all)]
        pointers = [ctypes.cast(function, ctypes.c_void_p).value for function in self.keep]
        functions = (*pointers, *pointers) if self.plain else srtp_functions()
        self.plane = dataplane.DataPlane(
            self.lease.state, functions, self.now_ns, seed, stepped=seed % 3 == 0
        )
        self.sockets = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2)]
        for sock in self.sockets:
            sock.bind(("127.0.0.1", 0))
            sock.setblocking(False)
        self.ports = [self.plane.open_port(n, sock.fileno()) for n, sock in enumerate(self.sockets)]
        self.sink = self.sockets[0].getsockname()
        self.peers, self.publications, self.subscriptions, self.gates = [], [], [], []
        self.ended = set()
        self.ssrc = 0
        self.number = 70000

    def now_ns(self):
        self.clock += 1000
        return self.clock

    # --- calls ---

    def open_peer(self):
        if len(self.peers) < 12:
            user = User(None)
            link = self.plane.open_peer(user)
            address = ("127.0.0.1", 1000 + self.chance.randrange(20))
            self.plane.add_address(link, self.chance.randrange(2), address)
            sessions = session(Policy.SSRC_ANY_INBOUND), session(Policy.SSRC_ANY_OUTBOUND)
            if self.chance.random() < 0.9:
                key = self.chance.choice([KEY, b""])
                secure(link, *sessions, viewer=self.chance.random() < 0.5, gcm_key=key)
                self.plane.set_route(link, self.chance.choice(self.ports), self.sink)
            for ssrc in range(1, 9):
                link.know(ssrc)
            sender = session(Policy.SSRC_ANY_OUTBOUND)
            self.peers.append((link, user, address, sender))

    def close_peer(self):
        if self.peers:
            link, user, _, _ = self.peers.pop(self.chance.randrange(len(self.peers)))
            self.plane.close_peer(link)
            user.closed = True
            self.ended.update(id(sub) for sub, peer in self.subscriptions if peer is link)
            self.subscriptions = [(sub, peer) for sub, peer in self.subscriptions if peer is not link]
            if self.chance.random() < 0.3:
                self.plane.close_peer(link)
                link.know(1)
                assert self.plane.take(link, b"\x16dtls")

    def move_peer(self):
        if self.peers:
            link = self.chance.choice(self.peers)[0]
            address = ("127.0.0.1", 1000 + self.chance.randrange(20))
            if self.chance.random() < 0.5:
                self.plane.add_address(link, self.chance.randrange(2), address)
            else:
                self.plane.remove_address(self.chance.randrange(2), address)
            if self.chance.random() < 0.3:
                self.plane.set_route(link, self.chance.choice([*self.ports, None]), self.sink)
            elif self.chance.random() < 0.3:
                self.plane.set_stream(link, Stream(self.chance))

    def open_publication(self):
        if len(self.publications) < 6:
            self.publications.append(self.plane.open_publication(caching=self.chance.random() < 0.7))

    def take_audio_level(self):
        if self.publications:
            assert -1 <= self.chance.choice(self.publications).take_audio_level() <= 127

    def drop_publication(self):
        if self.publications:
            self.publications.pop(self.chance.randrange(len(self.publications)))

    def subscribe(self):
        if self.peers and self.publications and len(self.subscriptions) < 40:
            link = self.chance.choice(self.peers)[0]
            gates = [Gate(self.lease, lambda _: None) for _ in range(self.chance.choice([0, 0, 0, 1, 2]))]
            self.gates += gates
            self.ssrc += 1
            extension, places = self.chance.choice(EXTENSIONS)
            subscription = self.plane.subscribe(
                self.chance.choice(self.publications), link, self.ssrc, tuple(gates), [gate.state for gate in gates],
                ssrc=self.ssrc % 200, payload_type=self.chance.randrange(128), first_number=self.chance.randrange(1 << 15),
                head_extension=extension, **places, descriptor_id=self.chance.choice([0, 5]) if extension else 0,
                rtx_ssrc=1000 + self.ssrc, rtx_payload_type=self.chance.choice([-1, 97]), rtx_number=7,
            )  # fmt: skip
            self.subscriptions.append((subscription, link))

    def unsubscribe(self):
        if self.subscriptions:
            subscription, _ = self.subscriptions.pop(self.chance.randrange(len(self.subscriptions)))
            self.plane.unsubscribe(subscription)
            self.plane.unsubscribe(subscription)
            self.ended.add(id(subscription))

    def move(self):
        """To another encoding; the former one may be dropped at once."""
        if self.subscriptions and self.publications:
            subscription, _ = self.chance.choice(self.subscriptions)
            self.plane.newest(self.chance.choice(self.publications))
            self.plane.move(
                subscription, self.chance.choice(self.publications), start=self.chance.choice([-1, self.number + 1, self.number - 9]),
                timestamp=self.chance.getrandbits(32), picture_id=self.chance.choice([0, 1, 0x7FFF]),
                tl0_picture_index=self.chance.choice([0, 200]), key_index=self.chance.choice([0, 31]),
            )  # fmt: skip
            if self.chance.random() < 0.2:
                self.drop_publication()

    def pause(self):
        if self.subscriptions:
            subscription, _ = self.chance.choice(self.subscriptions)
            subscription.paused = self.chance.random() < 0.5

    def follow(self):
        if self.peers and self.publications:
            link = self.chance.choice(self.peers)[0]
            act = self.chance.randrange(5)
            ssrc = self.chance.randrange(1, 9)
            if act == 0:
                self.plane.unfollow_all(link)
            elif act == 1:
                link.forget(ssrc)
                link.know(ssrc)
            else:
                self.plane.follow(
                    link, ssrc, self.chance.choice(self.publications), payload_type=96,
                    highest=self.chance.choice([65536, 70000, 70000, -1, 1 << 40]), shift=self.chance.choice([self.number - 70000, 0, -70000]),
                    timestamp_shift=self.chance.randrange(-(1 << 33), 1 << 33), transport_cc_id=self.chance.randrange(16),
                    audio_level_id=self.chance.randrange(16),
                )  # fmt: skip

    def gate(self):
        if self.gates:
            gate = self.chance.choice(self.gates[-40:])
            if self.chance.random() < 0.8:
                gate.open(self.chance.choice([None, 0, 1, 1000, 1 << 40]))
            else:
                gate.close(self.clock)
        if self.chance.random() < 0.1:
            self.lease.until_ns = self.chance.choice([0, self.clock, 1 << 61, 1 << 61])

    def forward(self):
        if self.publications:
            for _ in range(self.chance.choice([1, 8, 70])):
                size = self.chance.choice([0, 1, 900, 1100, 1100, 1330, 1420, 1500, 1501, 3000])
                payload = self.descriptor()[:size] + bytes(max(0, size - 6))
                self.number += 1
                number = self.number - self.chance.choice([0, 0, 0, 0, 0, 3, 2000, 1 << 30])
                self.plane.forward(self.chance.choice(self.publications), number, 5, True, False, payload,
                                   audio_level=self.chance.choice([-1, 0, 127]),
                                   descriptor=bytes(self.chance.choice([0, 0, 3, 16, 70, 255, 256])))  # fmt: skip

    def descriptor(self):
        """As VP8 begins its payloads, whole or cut off."""
        data = (
            bytes([0x90, self.chance.randrange(256), self.chance.choice([0x80, 0xFF, 0x7F])])
            + b"\xff\xff\xff"
        )
        return data[: self.chance.choice([0, 1, 2, 3, 4, 5, 6, 6, 6])]

    def resend(self):
        if self.subscriptions:
            subscription, _ = self.chance.choice(self.subscriptions)
            self.plane.resend(
                subscription, [self.chance.randrange(1 << 16) for _ in range(self.chance.randrange(700))]
            )

    def pad(self):
        if self.subscriptions:
            subscription, _ = self.chance.choice(self.subscriptions)
            self.plane.pad(subscription, self.chance.choice([-5, 0, 1, 3000, 200_000]))

    def line(self):
        """Probes begin and end at any time, and what is known of a line is read."""
        if self.peers:
            link = self.chance.choice(self.peers)[0]
            act = self.chance.randrange(4)
            if act == 0:
                link.begin_probe()
            elif act == 1:
                link.end_probe(self.clock)
            elif act == 2:
                link.check_probe(self.clock)
            else:
                link.note_feedback(self.rtcp(), self.clock)
            assert 30_000 <= link.estimate_bps <= 100_000_000
            assert 0 <= link.loss <= 1
            assert 0 <= link.told_bps <= 100_000_000

    def work(self):
        self.told(self.plane.work())

    def drain(self):
        """The sockets hold what was sent to the sink, and strangers' noise."""
        port = self.chance.randrange(2)
        self.sockets[1].sendto(
            self.chance.randbytes(self.chance.choice([0, 1, 40, 1500, 1501, 4000])), self.sink
        )
        self.told(self.plane.drain(self.ports[port]))

    def writable(self):
        self.plane.writable(self.chance.choice(self.ports))

    # --- packets ---

    def accept(self):
        if self.peers:
            for _ in range(self.chance.randrange(1, 40)):
                link, _, address, sender = self.chance.choice(self.peers)
                data = self.chance.choice([self.rtp, self.rtp, self.rtcp, self.noise])()
                if not self.plain and len(data) < MTU - 150:
                    try:
                        data = (sender.protect_rtcp if 192 <= data[1] <= 223 else sender.protect)(data)
                    except Exception:  # noqa: BLE001 - libsrtp would not have sent it
                        continue
                if self.chance.random() < 0.3:
                    self.plane.take(link, self.spoiled(data))
                else:
                    self.plane.accept(self.chance.choice(self.ports), address, self.spoiled(data))

    def spoiled(self, data):
        act = self.chance.randrange(12)
        if act == 0:
            return data[: self.chance.randrange(len(data) + 1)]
        if act == 1:
            return data + bytes(self.chance.choice([1, 600, 2000]))
        return data

    def rtp(self):
        first = self.chance.choice([0x80, 0x80, 0x90, 0x90, self.chance.randrange(0x80, 0xC0)])
        self.ssrc += 1
        head = struct.pack(
            "!BBHII",
            first,
            self.chance.choice([96, 96, 224, 100]),
            self.ssrc & 0xFFFF,
            5,
            self.chance.randrange(1, 10),
        )
        extension = struct.pack(
            "!HH", self.chance.choice([0xBEDE, 0x1000]), self.chance.choice([0, 1, 2, 400, 0xFFFF])
        )
        return (
            head
            + self.chance.choice([b"", extension + self.chance.randbytes(8)])
            + bytes(self.chance.choice([0, 3, 1000, 1300]))
        )

    def rtcp(self):
        parts = []
        for _ in range(self.chance.randrange(1, 6)):
            body = struct.pack("!II", self.chance.randrange(1, 9), self.chance.randrange(200))
            body += self.chance.choice([b"", b"", b"", b"REMB", self.arrivals()])
            body += self.chance.randbytes(4 * self.chance.choice([0, 1, 2, 30, 100]))
            words = self.chance.choice([len(body) // 4] * 6 + [0, 1, 0xFFFF])
            flags = self.chance.choice([1, 4, 15, self.chance.randrange(64)])
            parts.append(
                struct.pack("!BBH", 0x80 | flags, self.chance.choice([200, 201, 205, 205, 206]), words) + body
            )
        return b"".join(parts)[: MTU - 160]

    def arrivals(self):
        """As transport-wide feedback begins: likely numbers, any count, runs that are short or endless."""
        count = self.chance.choice([1, 7, 60, 2048, 2049, 0xFFFF])
        head = struct.pack("!HHI", self.chance.choice([1, 1, 40, 0xFFF0]), count, self.chance.getrandbits(32))
        chunks = [0x2000 | count & 0x1FFF, 0x1FFF, 0xD555, 0xBFFF, self.chance.getrandbits(16)]
        return head + b"".join(
            struct.pack("!H", self.chance.choice(chunks)) for _ in range(self.chance.choice([2, 6]))
        )

    def noise(self):
        return bytes([self.chance.choice([0, 22, 128, 144, 255])]) + self.chance.randbytes(
            self.chance.choice([0, 1, 7, 11, 60]) or 1
        )

    # --- what is told ---

    def told(self, items):
        for kind, *what in items:
            if isinstance(what[0], User):
                assert not what[0].closed, kind
        for port in self.ports:
            assert port.waiting <= 1024

    def step(self):
        act = self.chance.choices(
            [self.open_peer, self.close_peer, self.move_peer, self.open_publication, self.drop_publication, self.subscribe,
             self.unsubscribe, self.follow, self.gate, self.forward, self.resend, self.work, self.drain, self.writable,
             self.accept, self.pause, self.take_audio_level, self.move, self.pad, self.line],
            [5, 1, 3, 3, 1, 10, 3, 8, 15, 6, 4, 12, 6, 4, 15, 3, 3, 6, 4, 6],
        )[0]  # fmt: skip
        act()

    def finish(self):
        """Every buffer has come back."""
        for sock in self.sockets:
            try:
                while True:
                    sock.recv(1)
            except BlockingIOError:
                pass
        self.told(self.plane.work())
        while self.plane.backlog:
            self.told(self.plane.drain(self.ports[0]))
        assert self.plane.free == 1024, self.plane.free
        sent = sum(link.packets_out for link, *_ in self.peers)
        for link, *_ in self.peers:
            self.plane.close_peer(link)
        for port in self.ports:
            assert port.waiting == 0 or port.blocked
            self.plane.close_port(port)
            assert port.waiting == 0
        for sock in self.sockets:
            sock.close()
        return sent


def main(seed, steps):
    fuzz = Fuzz(seed)
    for _ in range(steps):
        fuzz.step()
    sys.stdout.write(f"{seed} sent {fuzz.finish()} packets, joined {[port.joined for port in fuzz.ports]}\n")


if __name__ == "__main__":
    for number in range(int(sys.argv[1]), int(sys.argv[1]) + int(sys.argv[3])):
        main(number, int(sys.argv[2]))
