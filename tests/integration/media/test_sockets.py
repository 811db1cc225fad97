"""The shared socket: fair to the event loop, and gone when closed."""

import socket

import pytest

from mediaserver import planes
from mediaserver.errors import PortInUseError
from mediaserver.gate import Lease
from mediaserver.ice import DRAIN_NS_MAX, DRAIN_PACKETS_MAX, IceServer, UdpPort
from mediaserver.planes import NativePlane


class Steps:
    """A clock that moves by `step_ns` whenever it is read."""

    def __init__(self, step_ns):
        self.now_ns, self.step_ns = 0, step_ns

    def __call__(self):
        self.now_ns += self.step_ns
        return self.now_ns


def filled(port, count):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        for _ in range(count):
            sender.sendto(b"\x80noise", ("127.0.0.1", port.port))


@pytest.mark.parametrize(
    ("step_ns", "expected"), [(0, DRAIN_PACKETS_MAX), (DRAIN_NS_MAX // 10, 10), (DRAIN_NS_MAX, 1)]
)
async def test_one_wake_up_reads_only_so_many_packets_and_only_so_long(step_ns, expected):
    port = UdpPort("127.0.0.1", 0, Steps(step_ns))
    port.start(lambda *_: None)
    filled(port, DRAIN_PACKETS_MAX + 10)
    port._drain()
    assert port.dropped == expected
    port.close()
    port.close()


@pytest.mark.skipif(planes.dataplane is None, reason="the native data plane is not compiled")
async def test_one_native_call_reads_as_many():
    native = NativePlane(Lease(), lambda: 1, 1)
    port = UdpPort("127.0.0.1", 0, lambda: 1, native)
    port.start(lambda *_: None)
    filled(port, DRAIN_PACKETS_MAX + 10)
    port._drain()
    assert native.dropped == DRAIN_PACKETS_MAX
    port._drain()
    assert native.dropped == DRAIN_PACKETS_MAX + 10
    port.close()
    port.close()


async def test_a_port_that_is_taken_on_one_address_releases_the_others():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.2", 0))
        taken = other.getsockname()[1]
        server = IceServer(Steps(0), bytes)
        with pytest.raises(PortInUseError, match=r"127\.0\.0\.2"):
            server.start(("127.0.0.1", "127.0.0.2"), taken)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as again:
            again.bind(("127.0.0.1", taken))
