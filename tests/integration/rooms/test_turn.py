"""What a real coturn makes of our credentials: the shared secret opens it, and then only toward the media server."""

import asyncio
from collections.abc import Iterator
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


async def relay(
    coturn: Coturn, secret: str, wall_s: float, transport: str = "udp"
) -> asyncio.DatagramTransport:
    server = Turn((), secret).ice_server("par_1", wall_s)
    made, _ = await turn.create_turn_endpoint(
        asyncio.DatagramProtocol,
        server_addr=("127.0.0.1", coturn.port),
        username=server["username"],
        password=server["credential"],
        transport=transport,
    )
    return made


@pytest.mark.parametrize("transport", ["udp", "tcp"])
async def test_a_participant_gets_a_relay(coturn: Coturn, transport: str) -> None:
    made = await relay(coturn, SECRET, SystemClock().wall_s(), transport)
    assert made.get_extra_info("sockname")[0] == "127.0.0.1"
    made.close()


@pytest.mark.parametrize(
    ("secret", "age_s"), [("another secret", 0), (SECRET, CREDENTIAL_S + 10)], ids=["forged", "expired"]
)
async def test_a_forged_and_an_expired_credential_open_nothing(
    coturn: Coturn, secret: str, age_s: int
) -> None:
    with pytest.raises(stun.TransactionFailed, match="401"):
        await relay(coturn, secret, SystemClock().wall_s() - age_s)


async def test_a_relay_reaches_the_media_server_and_nobody_else(coturn: Coturn) -> None:
    made = await relay(coturn, SECRET, SystemClock().wall_s())
    client = made._TurnTransport__inner_protocol  # type: ignore[attr-defined]
    await client.channel_bind(0x4000, ("127.0.0.1", 9))
    with pytest.raises(stun.TransactionFailed, match="403"):
        await client.channel_bind(0x4001, ("192.0.2.1", 9))
    made.close()
