"""What a real coturn makes of our credentials: the shared secret opens it, and then only toward the media server."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aioice import stun, turn

from signaling.clock import SystemClock
from signaling.rooms.turn import CREDENTIAL_S, Turn
from tests.browser.coturn import Coturn

SECRET = "the secret of both"


@pytest.fixture
def coturn(tmp_path: Path) -> Iterator[Coturn]:
    started = Coturn(tmp_path, SECRET)
    yield started
    started.stop()


class Receiver(asyncio.DatagramProtocol):
    def __init__(self) -> None:
        self.lost = asyncio.Event()

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost.set()


@asynccontextmanager
async def relay(
    coturn: Coturn, secret: str, wall_s: float, transport: str = "udp"
) -> AsyncIterator[asyncio.DatagramTransport]:
    """Given back before coturn ends: the last request would wait for an answer that nobody gives."""
    server = Turn((), secret).ice_server("par_1", wall_s)
    made, receiver = await turn.create_turn_endpoint(
        Receiver,
        server_addr=("127.0.0.1", coturn.port),
        username=server["username"],
        password=server["credential"],
        transport=transport,
    )
    assert isinstance(receiver, Receiver)
    try:
        yield made
    finally:
        made.close()
        await receiver.lost.wait()


@pytest.mark.parametrize("transport", ["udp", "tcp"])
async def test_a_participant_gets_a_relay(coturn: Coturn, transport: str) -> None:
    async with relay(coturn, SECRET, SystemClock().wall_s(), transport) as made:
        assert made.get_extra_info("sockname")[0] == "127.0.0.1"


@pytest.mark.parametrize(
    ("secret", "age_s"), [("another secret", 0), (SECRET, CREDENTIAL_S + 10)], ids=["forged", "expired"]
)
async def test_a_forged_and_an_expired_credential_open_nothing(
    coturn: Coturn, secret: str, age_s: int
) -> None:
    with pytest.raises(stun.TransactionFailed, match="401"):
        async with relay(coturn, secret, SystemClock().wall_s() - age_s):
            pass


async def test_a_relay_reaches_the_media_server_and_nobody_else(coturn: Coturn) -> None:
    async with relay(coturn, SECRET, SystemClock().wall_s()) as made:
        client = made._TurnTransport__inner_protocol  # type: ignore[attr-defined]
        await client.channel_bind(0x4000, ("127.0.0.1", 9))
        with pytest.raises(stun.TransactionFailed, match="403"):
            await client.channel_bind(0x4001, ("192.0.2.1", 9))
