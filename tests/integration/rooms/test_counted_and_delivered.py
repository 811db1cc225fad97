"""What is counted is what was delivered: the time between a payer's first and last packet, however the stay ends."""

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from signaling.stores.schema import segments
from tests.integration.harness import Client, running_app

APART_MS = 100
STAY_S = 3.0
PACKETS_PER_S = 60  # fifty of sound, ten or more of picture

Ending = Callable[[Client, Client], Awaitable[None]]


async def _leave(_host: Client, payer: Client) -> None:
    await payer.send("leave")


async def _kick(host: Client, payer: Client) -> None:
    await host.send("kick", participant_id=payer.messages["joined"][0]["participant_id"])


async def _wait_for_the_cut(_host: Client, _payer: Client) -> None:
    pass


@pytest.mark.parametrize(
    ("end", "code"),
    [
        pytest.param(_leave, "left", id="leave"),
        pytest.param(_kick, "kicked", id="kick"),
        pytest.param(_wait_for_the_cut, "used_up", id="cut"),
    ],
)
async def test_counted_time_is_within_100_ms_of_the_media_delivered(
    tmp_path: Path, end: Ending, code: str
) -> None:
    async with running_app(tmp_path) as app:
        room = await app.create_room()
        host = await app.host(room)
        order = await app.buy(room)
        if code == "used_up":
            await app.leave_ms(order, int(STAY_S * 1000))
        payer = await app.payer(order)
        await payer.wait("meter", state="counting")
        if code != "used_up":
            await payer.receiving(int(STAY_S * PACKETS_PER_S * 0.8))
        await end(host, payer)
        assert (await payer.ended())[0] == code
        delivered_ms = (payer.media_s[-1] - payer.media_s[0]) * 1000
        await app.settled()
        used_ms = sum(row.used_ms for row in await app.rows(segments))
        assert abs(used_ms - delivered_ms) <= APART_MS, (used_ms, delivered_ms)
        assert used_ms > STAY_S * 1000 / 2
