"""Join tokens and their keys as stored: made once, rotated without a gap, each token good once."""

import asyncio
import os

import pytest

from signaling.rooms.tokens import VALID_S, BadTokenError, Claims, Tokens, load_keys, rotate_keys, spend
from signaling.stores.database import Database
from tests.unit.rooms.fakes import InventedClock

CLAIMS = Claims("payer", "room_1", "pass_1", publish=True, mode="sandbox")


async def tokens_of(db: Database, clock: InventedClock) -> Tokens:
    return Tokens("sandbox", clock, os.urandom, await load_keys(db, os.urandom, None))


async def test_two_servers_that_start_at_once_share_one_key(db: Database) -> None:
    first, second = await asyncio.gather(*(load_keys(db, os.urandom, None) for _ in range(2)))
    assert first == second


async def test_a_token_says_what_was_put_in_and_lives_for_two_minutes(db: Database) -> None:
    clock = InventedClock()
    tokens = await tokens_of(db, clock)
    token, expires_at_s = tokens.make(CLAIMS)
    read = tokens.read(token)
    assert (read.role, read.room_id, read.pass_id, read.publish, read.mode) == (
        "payer",
        "room_1",
        "pass_1",
        True,
        "sandbox",
    )
    assert expires_at_s == int(clock.wall_s()) + VALID_S
    clock.at_ms += (VALID_S - 1) * 1000
    assert tokens.read(token)
    clock.at_ms += 2_000
    with pytest.raises(BadTokenError, match="expired"):
        tokens.read(token)


async def test_after_a_rotation_the_tokens_that_are_out_are_still_good_and_after_two_they_are_not(
    db: Database,
) -> None:
    clock = InventedClock()
    tokens = await tokens_of(db, clock)
    token, _ = tokens.make(CLAIMS)
    tokens.use(await rotate_keys(db, os.urandom))
    assert tokens.read(token)
    assert (await tokens_of(db, clock)).read(token), "a server that starts now knows both keys"
    tokens.use(await rotate_keys(db, os.urandom))
    with pytest.raises(BadTokenError, match="not ours"):
        tokens.read(token)


async def test_a_token_is_good_once_whoever_is_quicker(db: Database) -> None:
    clock = InventedClock()
    tokens = await tokens_of(db, clock)
    claims = tokens.read(tokens.make(CLAIMS)[0])
    spent = await asyncio.gather(
        *(db.write(lambda tx: spend(tx, claims, int(clock.wall_s()))) for _ in range(5))
    )
    assert sorted(spent) == [False, False, False, False, True]


async def test_a_secret_of_the_operators_replaces_the_stored_keys(db: Database) -> None:
    (key,) = await load_keys(db, os.urandom, "s" * 40)
    assert key.secret == "s" * 40
    assert "s" * 40 not in repr(key)
