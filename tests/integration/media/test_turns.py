"""Viewers take turns at choosing their pictures, so that the packets of a large room never wait for all of them."""

import asyncio

from mediaserver.events import RoomOptions
from mediaserver.server import TICK_S, TURNS

from .client import Hall


async def test_every_viewer_is_looked_at_four_times_a_second_and_never_all_at_once():
    looked_at: list[tuple[float, str]] = []
    loop = asyncio.get_running_loop()
    async with Hall() as hall:
        for n in range(3 * TURNS):
            name = f"viewer {n}"
            await hall.media.add_participant(
                "room", name, metered=True, may_publish=False, options=RoomOptions()
            )
            subscriber = hall.media._participants[name].subscriber
            subscriber.tick = lambda _, name=name: looked_at.append((loop.time(), name))
        looked_at.clear()
        while len(looked_at) < 6 * TURNS:
            await asyncio.sleep(TICK_S)
    first, second = looked_at[: 3 * TURNS], looked_at[3 * TURNS : 6 * TURNS]
    assert len({name for _, name in first}) == len({name for _, name in second}) == 3 * TURNS
    assert [name for _, name in first] == [name for _, name in second]
    assert first[-1][0] - first[0][0] > TICK_S * (TURNS - 2)
    assert all(later[0] - now[0] > TICK_S * (TURNS - 1) for now, later in zip(first, second, strict=True))
