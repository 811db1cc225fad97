"""Passes whose time comes in windows: what rooms tell payments, and what they pass on to the payer."""

import asyncio
from pathlib import Path
from typing import TypeVar

import pytest
from sqlalchemy import update

from signaling.notices import Funding, Notice, StayEnded, StayLow
from signaling.stores.schema import orders, passes, refunds, segments, sessions, windows
from tests.integration.harness import App, Order, running_app

TARIFF = {"kind": "per_minute", "rate_minor_per_min": 100, "currency": "eur", "presets_s": [900]}
Kind = TypeVar("Kind", StayLow, StayEnded)


class Heard:
    """Every notice, to be waited for."""

    def __init__(self, app: App) -> None:
        self.notices: list[Notice] = []
        self._more = asyncio.Event()
        app.parts.notices.subscribe(self._hear)

    def _hear(self, notice: Notice) -> None:
        self.notices.append(notice)
        self._more.set()

    async def one(self, kind: type[Kind]) -> Kind:
        async with asyncio.timeout(20):
            while True:
                found = [notice for notice in self.notices if isinstance(notice, kind)]
                if found:
                    return found[0]
                self._more.clear()
                await self._more.wait()


async def _in_windows(app: App, order: Order) -> None:
    """As if the pass were paid for by use."""
    for change in (
        update(passes).where(passes.c.order_id == order.id).values(funding="metered"),
        update(orders).where(orders.c.id == order.id).values(funding="metered"),
    ):
        await app.parts.db.write(lambda tx, change=change: tx.execute(change))


async def test_a_minute_before_the_end_payments_are_told_and_the_payer_is_not_warned(tmp_path: Path) -> None:
    async with running_app(tmp_path) as app:
        room = await app.create_room(tariff=TARIFF)
        host = await app.host(room)
        order = await app.buy(room)
        await _in_windows(app, order)
        await app.leave_ms(order, 60_500)
        heard = Heard(app)
        payer = await app.payer(order)
        low = await heard.one(StayLow)
        (row,) = await app.rows(passes)
        assert (low.pass_id, low.room_id, low.granted_ms) == (row.id, room.id, 900_000)
        meter = await payer.wait("meter", state="counting")
        assert meter["used_ms"] + meter["remaining_ms"] == 900_000

        app.parts.notices.publish(
            Funding(row.id, room.id, "action_needed", client_secret="pi_1_secret", action_url="http://x/3ds")
        )
        told = await payer.wait("notice", kind="action_needed")
        assert (told["client_secret"], told["action_url"]) == ("pi_1_secret", "http://x/3ds")
        await host.ping()
        assert [one for one in host.messages["notice"] if one["kind"] == "action_needed"] == []
        assert [one for one in payer.messages["notice"] if one["kind"] == "warning"] == []


async def test_when_a_stay_is_over_its_rows_are_committed_before_it_is_told(tmp_path: Path) -> None:
    async with running_app(tmp_path) as app:
        room = await app.create_room(tariff=TARIFF)
        await app.host(room)
        order = await app.buy(room)
        await _in_windows(app, order)
        heard = Heard(app)
        payer = await app.payer(order)
        await payer.wait("meter", state="counting")
        await payer.send("leave")
        ended = await heard.one(StayEnded)
        (row,) = await app.rows(passes)
        assert (ended.pass_id, ended.room_id, ended.code) == (row.id, room.id, "left")
        assert [segment.closed_ms is not None for segment in await app.rows(segments)] == [True]
        assert [session.end_code for session in await app.rows(sessions)] == ["left"]
        said = await payer.wait("ended")
        assert said["used_ms"] == row.used_ms
        assert said["charged"] is None  # not known before it is settled


METERED = {"kind": "metered", "rate_minor_per_min": 100, "currency": "eur", "window_s": 900}


async def _charged(app: App, order: Order) -> int:
    """Once every hold is charged or released."""
    async with asyncio.timeout(30):
        while (use := (await app.state(order))["use"])["charged_minor"] is None:
            await asyncio.sleep(0.2)
    return int(use["charged_minor"])


@pytest.mark.parametrize("how", ["close_room", "kick"])
async def test_when_the_host_ends_it_what_was_used_is_charged_and_nothing_refunded(
    tmp_path: Path, how: str
) -> None:
    async with running_app(tmp_path) as app:
        room = await app.create_room(tariff=METERED)
        host = await app.host(room)
        order = await app.buy(room)
        await app.leave_ms(order, 900_000 - 432_000)
        payer = await app.payer(order)
        await payer.wait("meter", state="counting")
        if how == "kick":
            joined = await payer.wait("joined")
            await host.send("kick", participant_id=joined["participant_id"], refund=True)
        else:
            await host.send("close_room", refund=True)
        ended = await payer.wait("ended")
        assert ended["charged"] is None
        assert "refund" not in ended
        charged_minor = await _charged(app, order)
        assert 720 <= charged_minor <= 760
        assert await app.rows(refunds) == []
        (window,) = await app.rows(windows)
        assert (window.state, window.charged_minor) == ("settled", charged_minor)
