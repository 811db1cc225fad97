"""A forwarder on an invented clock, and subscribers that write down what they are sent.

With the Python forwarder their egress is in memory. The native plane sends by itself: there each subscriber is a real
socket on loopback with real SRTP, read and decrypted as soon as something was sent.
"""

import contextlib
import itertools
import socket

from pylibsrtp import Policy, Session

from mediaserver import rtcp, rtp
from mediaserver.forwarder import Fanout, Packet, PacketForwarder, Subscription
from mediaserver.gate import Gate, Lease
from mediaserver.planes import NativePlane
from mediaserver.transport import secure

MS = 1_000_000
START_NS = 1_000_000 * MS
PROFILE = Policy.SRTP_PROFILE_AEAD_AES_128_GCM
WINDOW = 1024


KEY = bytes(range(28))


def session(direction, key=KEY):
    policy = Policy(key=key, ssrc_type=direction, srtp_profile=PROFILE)
    policy.window_size = WINDOW
    policy.allow_repeat_tx = False
    return Session(policy)


class Inbox:
    """An Egress in memory."""

    def __init__(self):
        self.packets = []
        self.control = []
        self.accepting = True

    def send_rtp(self, head, payload):
        if self.accepting:
            self.packets.append(rtp.parse(head + payload))
        return self.accepting

    def send_rtcp(self, data):
        self.control.append(rtcp.parse(data))

    @property
    def numbers(self):
        return [packet.sequence for packet in self.packets]


class Mailbox(Inbox):
    """The far end of one peer of the native plane. `gcm_key`: empty where libsrtp is to encrypt."""

    def __init__(self, plane, port, gcm_key=KEY):
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        self.socket.bind(("127.0.0.1", 0))
        self.socket.setblocking(False)
        self.link = plane.open_peer(self)
        self.sessions = session(Policy.SSRC_ANY_INBOUND), session(Policy.SSRC_ANY_OUTBOUND)
        secure(self.link, *self.sessions, viewer=True, gcm_key=gcm_key)
        self._decrypting = session(Policy.SSRC_ANY_INBOUND)
        self._plane, self._port, self._packets = plane, port, []
        super().__init__()

    @property
    def accepting(self):
        return self._accepting

    @accepting.setter
    def accepting(self, accepting):
        self._accepting = accepting
        self._plane.native.set_route(self.link, self._port if accepting else None, self.socket.getsockname())

    @property
    def packets(self):
        with contextlib.suppress(BlockingIOError):
            while True:
                self._packets.append(rtp.parse(self._decrypting.unprotect(self.socket.recv(2048))))
        return self._packets

    @packets.setter
    def packets(self, packets):
        self._packets = packets

    def send_rtp(self, head, payload):
        raise AssertionError("the native plane sends RTP by itself")


class Stage:
    """One publication, any number of subscribers, one clock. `times`: what the clock says the next times it is asked.
    `plane`: python, native, or libsrtp (the native one where it encrypts with that)."""

    def __init__(self, plane="python"):
        self.now_ns = START_NS
        self.times = iter(())
        self.lease = Lease()
        self.lease.until_ns = START_NS + 3_600_000 * MS
        self.keyframes = 0
        self.firsts = []
        self.inboxes = []
        self._ssrcs = itertools.count(1000)
        self.fanout = Fanout(on_resume=self._on_resume, cname="host", caching=True)
        self.native = plane != "python"
        self._gcm_key = KEY if plane == "native" else b""
        if self.native:
            self.forwarder = NativePlane(self.lease, self.clock, 1, stepped=True)
            self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            self.socket.bind(("127.0.0.1", 0))
            self.port = self.forwarder.native.open_port(0, self.socket.fileno())
        else:
            self.forwarder = PacketForwarder(self.lease, self.clock)

    def close(self):
        if self.native:
            self.forwarder.native.close_port(self.port)
            for open_socket in (self.socket, *(inbox.socket for inbox in self.inboxes)):
                open_socket.close()

    def clock(self):
        return next(self.times, self.now_ns)

    def _on_resume(self):
        self.keyframes += 1

    def gate(self):
        return Gate(self.lease, self.firsts.append)

    def subscribe(self, *gates, first_number=100, **more):
        inbox = Mailbox(self.forwarder, self.port, self._gcm_key) if self.native else Inbox()
        self.inboxes.append(inbox)
        fields = {"ssrc": 1000, "payload_type": 96, "rtx_ssrc": 2000, "rtx_payload_type": 97} | more
        subscription = Subscription(gates=gates, egress=inbox, first_number=first_number, **fields)
        self.forwarder.add(self.fanout, subscription)
        return subscription, inbox

    def send(self, *numbers, payload=b"media", marker=False, at_ms=None):
        if at_ms is not None:
            self.now_ns = START_NS + round(at_ms * MS)
        for number in numbers:
            self.forwarder.forward(self.fanout, Packet(number, marker, False, number * 10, payload))
            for inbox in self.inboxes:
                inbox.numbers  # noqa: B018 - read it, so that no socket overflows

    def counted(self, subscription):
        """(packets, octets, time of the last) of a subscription."""
        kept = subscription.link or subscription
        return kept.packets, kept.octets, kept.last_ns
