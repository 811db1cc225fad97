"""A host who goes live from an encoder, a payer who watches in a player: the same room, the same meter."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from signaling.stores.schema import segments, sessions
from tests.integration.harness import App, running_app
from tests.integration.rooms.streaming import encoder, order_key, player, room_key


@pytest.fixture
async def app(tmp_path: Path) -> AsyncIterator[App]:
    async with running_app(tmp_path) as running:
        yield running


async def test_a_host_goes_live_from_an_encoder_and_a_payer_watches_in_a_player(app: App) -> None:
    room = await app.create_room()
    async with encoder(app, await room_key(app, room)) as obs:
        await obs.start()
        await app.until_state(room, "live")
        order = await app.buy(room)
        async with player(app, await order_key(app, order)) as vlc:
            await vlc.start()
            await vlc.watching()
            assert (await app.rows(segments))[0].closed_ms is None, "its time is counted"
            assert await vlc.stop() == 200
            await vlc.gone()
        await app.settled()
        assert [row.end_code for row in await app.rows(sessions)] == ["left"]
        assert (await app.state(order))["pass"]["used_ms"] > 0
        assert await obs.stop() == 200
        await app.until_state(room, "away")
