"""One host and fifty payers who bought, joined and watch: each gets pictures, each is cut at its own limit.

The server is a process of its own, so that fifty browsers' worth of work here does not hold up its clock. That no
packet passes after the limit is measured with lighter clients in `tests/integration/load`.
"""

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from tests.integration.harness import Api, Client, Order, Room, Server, people_of

PAYERS = 50
LEFT_MS = 6_000
CUT_ERROR_MS = 20


def _rows(server: Server, query: str) -> list[Any]:
    with closing(sqlite3.connect(server.folder / "tollroom.db", timeout=10)) as db:
        return db.execute(query).fetchall()


async def _all_buy(api: Api, server: Server, room: Room) -> list[Order]:
    orders: list[Order] = []
    for first in range(0, PAYERS, 10):
        orders += await asyncio.gather(*(api.buy(room, f"Payer {first + n}") for n in range(10)))
    for order in orders:
        server.leave_ms(order, LEFT_MS)
    return orders


async def _stay(api: Api, order: Order) -> Client:
    payer = await api.payer(order)
    assert await payer.ended(90) == ("used_up", 4000)
    return payer


async def test_fifty_payers_watch_and_each_is_cut_at_its_limit(tmp_path: Path) -> None:
    server = Server(tmp_path)
    await asyncio.to_thread(server.start)
    try:
        async with people_of(server.url) as api:
            room = await api.create_room(privacy="conference", capacity=PAYERS)
            await api.host(room)
            orders = await _all_buy(api, server, room)
            assert (await api.card(room))["state"] == "full"
            stays = []
            for order in orders:
                stays.append(asyncio.create_task(_stay(api, order)))
                await asyncio.sleep(0.05)
            payers = await asyncio.gather(*stays)
            assert all(payer.frames["video"] > 0 and payer.frames["audio"] > 0 for payer in payers)
        await asyncio.to_thread(server.stop)
    finally:
        server.kill9()
    used = _rows(server, "SELECT sum(used_ms) FROM segments GROUP BY pass_id")
    assert used == [(LEFT_MS,)] * PAYERS
    assert _rows(server, "SELECT DISTINCT state FROM passes") == [("used_up",)]
    last = "SELECT max(opened_ms), closed_ms - started_ms - used_ms FROM segments GROUP BY pass_id"
    errors = [error_ms for _, error_ms in _rows(server, last)]
    assert len(errors) == PAYERS
    assert all(0 <= error_ms <= CUT_ERROR_MS for error_ms in errors), errors
