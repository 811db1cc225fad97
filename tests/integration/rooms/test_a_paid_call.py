"""The whole of it: a host live, an order paid, media through an open segment, the cut at the limit."""

from pathlib import Path

from signaling.stores.schema import passes, segments, sessions
from tests.integration.harness import running_app


async def test_a_payer_buys_watches_and_is_cut_at_the_limit(tmp_path: Path) -> None:
    async with running_app(tmp_path) as app:
        room = await app.create_room()
        host = await app.host(room)
        order = await app.buy(room, "Ben")
        await host.wait("notice", kind="paid", name="Ben")
        await app.leave_ms(order, 3_000)
        payer = await app.payer(order)
        counting = await payer.wait("meter", state="counting")
        assert 0 < counting["remaining_ms"] <= 3_000
        await payer.watching()
        assert await payer.ended() == ("used_up", 4000)
        assert payer.messages["ended"][0]["charged"] == {"amount_minor": 500, "currency": "eur"}

        await app.settled()
        (row,) = await app.rows(passes)
        assert (row.state, row.used_ms) == ("used_up", 1_800_000)
        (segment,) = await app.rows(segments)
        assert segment.used_ms == 3_000
        (session,) = await app.rows(sessions)
        assert session.end_code == "used_up"
