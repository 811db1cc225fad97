"""No path gives media without a paid pass: tokens, passes and secrets under attack."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jwt
import pytest
from sqlalchemy import update

from signaling.rooms.tokens import load_keys
from signaling.stores.schema import passes, sessions
from tests.integration.harness import App, Order, RefusedError, Room, running_app

Forge = Callable[[dict[str, Any], dict[str, Any], str], str]


def _sign(body: dict[str, Any], header: dict[str, Any], secret: str) -> str:
    return jwt.encode(body, secret, algorithm="HS256", headers={"kid": header["kid"]})


FORGERIES: dict[str, Forge] = {
    "alg none": lambda body, header, _s: jwt.encode(
        body, None, algorithm="none", headers={"kid": header["kid"]}
    ),
    "other algorithm": lambda b, h, s: jwt.encode(b, s * 2, algorithm="HS512", headers={"kid": h["kid"]}),
    "other key": lambda body, header, _s: _sign(body, header, "x" * 43),
    "unknown kid": lambda body, header, s: _sign(body, header | {"kid": "key_other"}, s),
    "no kid": lambda body, _h, s: jwt.encode(body, s, algorithm="HS256"),
    "expired": lambda body, header, s: _sign(body | {"exp": int(time.time()) - 1}, header, s),
    "valid for a year": lambda body, header, s: _sign(
        body | {"exp": int(time.time()) + 31_536_000}, header, s
    ),
    "other audience": lambda body, header, s: _sign(body | {"aud": "another"}, header, s),
    "no audience": lambda body, header, s: _sign({k: v for k, v in body.items() if k != "aud"}, header, s),
    "other issuer": lambda body, header, s: _sign(body | {"iss": "another"}, header, s),
    "other mode": lambda body, header, s: _sign(body | {"mode": "live"}, header, s),
    "no id": lambda body, header, s: _sign({k: v for k, v in body.items() if k != "jti"}, header, s),
    "a role that is not": lambda body, header, s: _sign(body | {"role": "admin"}, header, s),
    "a payer without a pass": lambda body, header, s: _sign(body | {"pass": None}, header, s),
    "not a token": lambda _b, _h, _s: "hello",
    "three dots": lambda _b, _h, _s: "a.b.c",
}


async def _bought(app: App) -> tuple[Room, Order]:
    room = await app.create_room()
    await app.host(room)
    return room, await app.buy(room)


async def _refused(app: App, token: str) -> tuple[str, int | None]:
    stranger = app.client(media=False)
    await stranger.open()
    await stranger.send("join", token=token)
    ended = await stranger.ended()
    assert "joined" not in stranger.messages or not stranger.messages["joined"]
    assert not stranger.messages["offer"]
    return ended


async def test_forged_and_used_tokens_are_refused(tmp_path: Path) -> None:
    async with running_app(tmp_path) as app:
        _room, order = await _bought(app)
        other = await app.create_room(title="Another room")
        token = await app.token(order)
        (key,) = await load_keys(app.parts.db, bytes, None)
        header = jwt.get_unverified_header(token)
        body = jwt.decode(token, options={"verify_signature": False})
        for name, forge in FORGERIES.items():
            assert await _refused(app, forge(body, header, key.secret)) == ("bad_token", 4401), name
        # Signed by us, for a pass of another room than the one it names.
        elsewhere = _sign(body | {"room": other.id, "jti": "jti_elsewhere"}, header, key.secret)
        assert await _refused(app, elsewhere) == ("bad_token", 4401)
        # None of it used up the real one, which is good once.
        payer = app.client(media=False)
        await payer.join(token)
        assert await _refused(app, token) == ("bad_token", 4401)
        assert not payer.messages["ended"]


@pytest.mark.parametrize(
    ("state", "code"),
    [("revoked", "revoked"), ("refunded", "revoked"), ("disputed", "revoked"), ("used_up", "pass_used_up")],
)
async def test_a_pass_that_ended_is_refused_even_with_a_valid_token(
    tmp_path: Path, state: str, code: str
) -> None:
    async with running_app(tmp_path) as app:
        _room, order = await _bought(app)
        token = await app.token(order)
        await app.parts.db.write(lambda tx: tx.execute(update(passes).values(state=state)))
        assert await _refused(app, token) == (code, 4403)
        with pytest.raises(RefusedError, match=code):
            await app.token(order)
        assert await app.rows(sessions) == []


async def test_a_pass_of_another_mode_is_refused(tmp_path: Path) -> None:
    async with running_app(tmp_path) as app:
        _room, order = await _bought(app)
        token = await app.token(order)
        await app.parts.db.write(lambda tx: tx.execute(update(passes).values(mode="live")))
        assert await _refused(app, token) == ("wrong_mode", 4403)


async def test_without_payment_or_secret_there_is_no_token(tmp_path: Path) -> None:
    async with running_app(tmp_path) as app:
        room = await app.create_room()
        with pytest.raises(RefusedError, match="host_offline"):
            await app.order(room, "Early")
        await app.host(room)
        order, answer = await app.order(room, "Ben")
        with pytest.raises(RefusedError, match="402 not_paid"):
            await app.token(order)
        await app.pay(answer, "declined")
        with pytest.raises(RefusedError, match="402 not_paid"):
            await app.token(order)
        await app.pay(answer)
        while (await app.state(order))["state"] != "paid":
            pass
        with pytest.raises(RefusedError, match="401 secret_required"):
            await app.call("POST", f"/api/orders/{order.id}/token")
        with pytest.raises(RefusedError, match="404 unknown_order"):
            await app.call("POST", f"/api/orders/{order.id}/token", bearer="x" * 43)
        with pytest.raises(RefusedError, match="403 bad_host_key"):
            await app.call("POST", "/api/host/token", {"room_id": room.id, "host_key": order.secret})
        assert await app.token(order)


async def test_nothing_is_forwarded_without_an_open_segment(tmp_path: Path) -> None:
    """The payer's transports are up, the host sends; only the segment is missing, because the database refuses it."""
    async with running_app(tmp_path) as app:
        _room, order = await _bought(app)
        await app.parts.db.write(lambda tx: tx.execute(update(passes).values(state="waiting")))
        token = await app.token(order)
        taken = app.parts.rooms.writer.open_segment
        waiting: list[Any] = []
        app.parts.rooms.writer.open_segment = lambda *row: waiting.append(row)  # type: ignore[method-assign]
        payer = app.client()
        await payer.join(token)
        async with payer.said:
            await payer.said.wait_for(lambda: bool(waiting))
        assert payer.frames == {}
        for row in waiting:
            taken(*row)
        await payer.watching()
