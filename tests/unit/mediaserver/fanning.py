"""A forwarder on an invented clock, and subscribers that write down what they are sent."""

from mediaserver import rtcp, rtp
from mediaserver.forwarder import Fanout, Packet, PacketForwarder, Subscription
from mediaserver.gate import Gate, Lease

MS = 1_000_000
START_NS = 1_000_000 * MS


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


class Stage:
    """One publication, any number of subscribers, one clock."""

    def __init__(self):
        self.now_ns = START_NS
        self.lease = Lease()
        self.lease.until_ns = START_NS + 3_600_000 * MS
        self.forwarder = PacketForwarder(self.lease, lambda: self.now_ns)
        self.keyframes = 0
        self.firsts = []
        self.fanout = Fanout(on_resume=self._on_resume, cname="host", caching=True)

    def _on_resume(self):
        self.keyframes += 1

    def gate(self):
        return Gate(self.lease, self.firsts.append)

    def subscribe(self, *gates, first_number=100, **more):
        inbox = Inbox()
        fields = {"ssrc": 1000, "payload_type": 96, "rtx_ssrc": 2000, "rtx_payload_type": 97} | more
        subscription = Subscription(gates=gates, egress=inbox, first_number=first_number, **fields)
        self.forwarder.add(self.fanout, subscription)
        return subscription, inbox

    def send(self, *numbers, payload=b"media", marker=False, at_ms=None):
        if at_ms is not None:
            self.now_ns = START_NS + round(at_ms * MS)
        for number in numbers:
            self.forwarder.forward(self.fanout, Packet(number, marker, False, number * 10, payload))
