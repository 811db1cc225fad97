"""What a host does to others, and refunds from elsewhere."""

import asyncio
from pathlib import Path

import pytest

from signaling.stores.schema import orders, passes, rooms
from tests.integration.harness import App, RefusedError, running_app


async def _until_refunded(app: App, amount_minor: int) -> None:
    async with asyncio.timeout(15):
        while sum(row.refunded_minor for row in await app.rows(orders)) != amount_minor:
            await asyncio.sleep(0.05)


async def test_a_kick_ends_the_stay_revokes_the_pass_and_refunds_the_unused_part(tmp_path: Path) -> None:
    async with running_app(tmp_path) as app:
        room = await app.create_room()
        host = await app.host(room)
        order = await app.buy(room)
        payer = await app.payer(order)
        await payer.wait("meter", state="counting")
        await host.send("kick", participant_id=payer.messages["joined"][0]["participant_id"])
        assert await payer.ended() == ("kicked", 4403)
        promised = payer.messages["ended"][0]["refund"]
        async with asyncio.timeout(15):
            while (await app.rows(passes))[0].state != "revoked":
                await asyncio.sleep(0.05)
        with pytest.raises(RefusedError, match="403 revoked"):
            await app.token(order)
        # A few seconds of thirty minutes: nearly all of it comes back, rounded up in the payer's favour.
        async with asyncio.timeout(15):
            while not 490 <= (await app.rows(orders))[0].refunded_minor <= 500:
                await asyncio.sleep(0.05)
        assert promised == {"amount_minor": (await app.rows(orders))[0].refunded_minor, "currency": "eur"}
        await host.wait("earnings", payers=1)


async def test_ending_the_room_ends_every_stay_and_gives_unused_time_back(tmp_path: Path) -> None:
    async with running_app(tmp_path) as app:
        room = await app.create_room()
        host = await app.host(room)
        inside, outside = await app.buy(room, "Ben"), await app.buy(room, "Cleo")
        payer = await app.payer(inside)
        await host.send("close_room")
        assert await payer.ended() == ("host_ended", 4000)
        assert payer.messages["ended"][0]["refund"] == {"amount_minor": 500, "currency": "eur"}
        assert await host.ended() == ("host_ended", 4000)
        await app.until_state(room, "closed")
        assert {row.state for row in await app.rows(rooms)} == {"closed"}
        with pytest.raises(RefusedError, match=r"revoked|room_closed"):
            await app.token(outside)
        with pytest.raises(RefusedError, match="410 room_closed"):
            await app.host_token(room)
        await _until_refunded(app, 1000)


async def test_a_lock_keeps_new_payments_out_and_those_inside_in(tmp_path: Path) -> None:
    async with running_app(tmp_path) as app:
        room = await app.create_room()
        host = await app.host(room)
        order = await app.buy(room)
        payer = await app.payer(order)
        await host.send("lock", locked=True)
        await payer.wait("notice", kind="locked")
        await app.until_state(room, "locked")
        with pytest.raises(RefusedError, match="409 room_locked"):
            await app.order(room, "Late")
        assert (await app.payer(order)).messages["joined"]  # a reload is no new join
        await host.send("lock", locked=False)
        await app.until_state(room, "live")


async def test_in_a_conference_only_who_was_granted_may_publish(tmp_path: Path) -> None:
    async with running_app(tmp_path) as app:
        room = await app.create_room(privacy="conference")
        host = await app.host(room)
        order = await app.buy(room)
        payer = await app.payer(order)
        me = payer.messages["joined"][0]
        assert me["grants"] == {"publish": False, "moderate": False}
        await payer.send("publish", sdp="v=0", sources={})
        await payer.wait("error", re="publish", code="not_allowed_to_publish")
        for forbidden in ("kick", "grant", "mute"):
            await payer.send(forbidden, participant_id=me["participant_id"], publish=True, source="camera")
            await payer.wait("error", re=forbidden, code="forbidden")
        await host.send("grant", participant_id=me["participant_id"], publish=True)
        await payer.wait("notice", kind="granted")
        await payer.publish()
        await host.wait("offer")
        # The grant outlives the connection.
        again = await app.payer(order)
        assert again.messages["joined"][0]["grants"]["publish"] is True
        await host.send("kick", participant_id="par_nobody")
        await host.wait("error", re="kick", code="unknown_participant")


async def test_a_refund_in_the_dashboard_ends_a_live_stay(tmp_path: Path) -> None:
    async with running_app(tmp_path) as app:
        room = await app.create_room()
        await app.host(room)
        payer = await app.payer(await app.buy(room))
        await payer.wait("meter", state="counting")
        (row,) = await app.rows(orders)
        async with app.http.post(
            f"{app.sandbox_url}/_control/refund", json={"payment_intent": row.payment_intent_id}
        ) as answer:
            assert answer.status == 200, await answer.text()
        assert await payer.ended() == ("refunded", 4403)
        ended = payer.messages["ended"][0]
        assert ended["refund"] == ended["charged"] == {"amount_minor": 500, "currency": "eur"}


async def test_a_dispute_ends_a_live_stay_and_promises_nothing(tmp_path: Path) -> None:
    async with running_app(tmp_path) as app:
        room = await app.create_room()
        await app.host(room)
        payer = await app.payer(await app.buy(room))
        await payer.wait("meter", state="counting")
        (row,) = await app.rows(orders)
        async with app.http.post(
            f"{app.sandbox_url}/_control/dispute", json={"payment_intent": row.payment_intent_id}
        ) as answer:
            assert answer.status == 200, await answer.text()
        assert await payer.ended() == ("disputed", 4403)
        assert "refund" not in payer.messages["ended"][0]


async def test_removed_without_a_refund_is_told_of_none(tmp_path: Path) -> None:
    async with running_app(tmp_path) as app:
        room = await app.create_room()
        host = await app.host(room)
        payer = await app.payer(await app.buy(room))
        me = payer.messages["joined"][0]["participant_id"]
        await host.send("kick", participant_id=me, refund=False)
        assert await payer.ended() == ("kicked", 4403)
        assert "refund" not in payer.messages["ended"][0]


async def test_time_added_beside_the_call_extends_the_same_stay(tmp_path: Path) -> None:
    async with running_app(tmp_path) as app:
        room = await app.create_room()
        host = await app.host(room)
        order = await app.buy(room)
        payer = await app.payer(order)
        before = (await payer.wait("meter", state="counting"))["remaining_ms"]
        (row,) = await app.rows(passes)
        more, answer = await app.order(
            room, "Guest", extends=row.id, extends_secret=order.secret, ui="embedded"
        )
        await app.pay(answer)
        notice = await payer.wait("notice", kind="extended")
        assert notice["seconds"] == 1800
        assert "amount" not in notice
        told = await host.wait("notice", kind="extended")
        # The others know the payer by the pass's name, whatever the second order says.
        assert (told["name"], told["amount"]) == ("Ben", {"amount_minor": 500, "currency": "eur"})
        assert len([one for one in host.messages["notice"] if one["kind"] == "paid"]) == 1
        meters = payer.messages["meter"]
        async with asyncio.timeout(5):
            while meters[-1]["remaining_ms"] <= before:
                await asyncio.sleep(0.02)
        assert meters[-1]["state"] == "counting"
        assert before + 1_700_000 < meters[-1]["remaining_ms"] <= 3_600_000
        assert not payer.messages["ended"]
        assert (await app.state(more))["state"] == "paid"


async def test_a_muted_payer_is_off_the_air_until_it_switches_itself_on(tmp_path: Path) -> None:
    async with running_app(tmp_path) as app:
        room = await app.create_room()
        host = await app.host(room)
        payer = await app.payer(await app.buy(room))
        await payer.publish()
        await payer.send("media", microphone=True, camera=True, screen=False)
        me = payer.messages["joined"][0]["participant_id"]
        await host.receiving()
        for source in ("camera", "microphone"):
            await host.send("mute", participant_id=me, source=source)
            await payer.wait("notice", kind="muted", name=source)
        seen = host.packets
        await asyncio.sleep(0.5)
        assert host.packets <= seen + 4, (
            "the payer's page goes on sending, and nobody receives it but a report"
        )
        await payer.send("media", microphone=True, camera=False, screen=False)
        async with asyncio.timeout(10):
            while host.packets < seen + 20:
                await asyncio.sleep(0.05)
