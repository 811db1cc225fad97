"""One host and fifty payers who bought, joined and watch: each gets pictures, each is cut at its own limit."""

import asyncio
from collections import Counter
from pathlib import Path

from mediaserver.events import GateReport
from signaling.stores.schema import passes, segments
from tests.integration.harness import App, Client, Order, Room, running_app

PAYERS = 50
LEFT_MS = 6_000
CUT_ERROR_MS = 20
AUDIO_GAP_MS = (
    20  # Opus comes every 20 ms, so the last packet cannot be expected closer to the limit than that
)


async def _all_buy(app: App, room: Room) -> list[Order]:
    orders = []
    for first in range(0, PAYERS, 10):
        orders += await asyncio.gather(*(app.buy(room, f"Payer {first + n}") for n in range(10)))
    for order in orders:
        await app.leave_ms(order, LEFT_MS)
    return orders


def _watch_gates(app: App) -> dict[str, GateReport]:
    """What each gate let through, as it is closed."""
    reports: dict[str, GateReport] = {}
    close_gate = app.parts.media.close_gate

    async def close(participant_id: str) -> GateReport:
        reports[participant_id] = await close_gate(participant_id)
        return reports[participant_id]

    app.parts.media.close_gate = close  # type: ignore[method-assign]
    return reports


async def _stay(app: App, order: Order) -> Client:
    payer = await app.payer(order)
    assert await payer.ended(60) == ("used_up", 4000)
    return payer


async def test_fifty_payers_watch_and_each_is_cut_at_its_limit(tmp_path: Path) -> None:
    async with running_app(tmp_path) as app:
        room = await app.create_room(privacy="conference", capacity=PAYERS)
        await app.host(room)
        orders = await _all_buy(app, room)
        assert (await app.card(room))["state"] == "full"
        reports = _watch_gates(app)
        stays = []
        for order in orders:  # one after the other: their handshakes share our event loop
            stays.append(asyncio.create_task(_stay(app, order)))
            await asyncio.sleep(0.05)
        payers = await asyncio.gather(*stays)
        await app.settled()

        assert all(payer.frames["video"] > 0 and payer.frames["audio"] > 0 for payer in payers)
        used_ms: Counter[str] = Counter()
        for row in await app.rows(segments):
            used_ms[row.pass_id] += row.used_ms
        assert list(used_ms.values()) == [LEFT_MS] * PAYERS
        assert {row.state for row in await app.rows(passes)} == {"used_up"}
        errors = [report.stopped_ms - (report.last_forwarded_ms or 0) for report in reports.values()]
        assert len(errors) == PAYERS
        assert min(errors) >= 0, "forwarded after its limit"
        assert sorted(errors)[PAYERS // 2] <= CUT_ERROR_MS + AUDIO_GAP_MS
