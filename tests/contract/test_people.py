"""People, their one-time links and their sessions as stored: a link opens once, a session ends when it should."""

import asyncio

import pytest

from signaling.stores import people
from signaling.stores.database import Database
from signaling.stores.people import Link, User, UserSession

NOW_S = 1_790_000_000
NOW_TEXT = "2026-01-01T00:00:00.000Z"


def a_user(user_id: str = "usr_1", email: str = "ana@example.org") -> User:
    return User(user_id, email, "Ana", "user", NOW_TEXT)


def a_session(secret_hash: str, user_id: str = "usr_1", expires_at_s: int = NOW_S + 100) -> UserSession:
    return UserSession(secret_hash, user_id, "c" * 64, NOW_TEXT, expires_at_s)


async def add_user(db: Database, user: User) -> User:
    return await db.write(lambda tx: people.known_or_new(tx, user))


async def test_an_address_is_one_person_whoever_comes_first(db: Database) -> None:
    found = await asyncio.gather(*(add_user(db, a_user(f"usr_{n}")) for n in range(4)))
    assert len({user.id for user in found}) == 1
    other = await add_user(db, a_user("usr_9", "ben@example.org"))
    assert other.id == "usr_9"


async def test_a_link_opens_once_even_when_two_come_at_the_same_time(db: Database) -> None:
    link = Link("l" * 64, "ana@example.org", "/me", NOW_S + 60)
    await db.write(lambda tx: people.add_link(tx, link, NOW_S))
    opened = await asyncio.gather(
        *(db.write(lambda tx: people.use_link(tx, link.secret_hash, NOW_S)) for _ in range(3))
    )
    assert sorted(map(str, opened), key=len)[:2] == ["used", "used"]
    assert [one for one in opened if isinstance(one, Link)] == [link]


@pytest.mark.parametrize(
    ("secret_hash", "expires_at_s"), [("l" * 64, NOW_S), ("x" * 64, NOW_S + 60)], ids=["expired", "unknown"]
)
async def test_a_link_that_ran_out_and_one_that_never_was_are_both_too_old(
    db: Database, secret_hash: str, expires_at_s: int
) -> None:
    link = Link("l" * 64, "ana@example.org", "/me", expires_at_s)
    await db.write(lambda tx: people.add_link(tx, link, NOW_S))
    assert await db.write(lambda tx: people.use_link(tx, secret_hash, NOW_S)) == "too_old"


async def test_old_links_are_cleared_when_new_ones_are_made(db: Database) -> None:
    old = Link("o" * 64, "ana@example.org", "/me", NOW_S)
    await db.write(lambda tx: people.add_link(tx, old, NOW_S))
    later_s = NOW_S + people.LINK_REMEMBERED_S + 1
    await db.write(lambda tx: people.add_link(tx, Link("n" * 64, "a@b.c", "/me", later_s + 9), later_s))
    # Forgotten, not only refused: at a time when it was still good it is unknown.
    assert await db.write(lambda tx: people.use_link(tx, old.secret_hash, NOW_S - 9)) == "too_old"


async def test_a_session_is_found_with_its_person_until_it_ends(db: Database) -> None:
    user = await add_user(db, a_user())
    session = a_session("a" * 64)
    await db.write(lambda tx: people.add_session(tx, session, NOW_S))
    async with db.read() as tx:
        assert await people.session_of(tx, "a" * 64, NOW_S) == (session, user)
        assert await people.session_of(tx, "a" * 64, session.expires_at_s) is None
        assert await people.session_of(tx, "b" * 64, NOW_S) is None
    await db.write(lambda tx: people.extend_session(tx, "a" * 64, NOW_S + 500))
    async with db.read() as tx:
        assert await people.session_of(tx, "a" * 64, NOW_S + 499) is not None
    await db.write(lambda tx: people.end_session(tx, "a" * 64))
    async with db.read() as tx:
        assert await people.session_of(tx, "a" * 64, NOW_S) is None


async def test_all_other_sessions_of_one_person_end_and_nobody_elses(db: Database) -> None:
    await add_user(db, a_user())
    await add_user(db, a_user("usr_2", "ben@example.org"))
    for session in (a_session("a" * 64), a_session("b" * 64), a_session("c" * 64, "usr_2")):
        await db.write(lambda tx, session=session: people.add_session(tx, session, NOW_S))
    assert await db.write(lambda tx: people.end_sessions(tx, "usr_1", but="a" * 64)) == 1
    async with db.read() as tx:
        assert [one.secret_hash for one in await people.sessions_of(tx, "usr_1", NOW_S)] == ["a" * 64]
        assert [one.secret_hash for one in await people.sessions_of(tx, "usr_2", NOW_S)] == ["c" * 64]


async def test_sessions_that_ran_out_are_cleared_when_new_ones_begin(db: Database) -> None:
    await add_user(db, a_user())
    await db.write(lambda tx: people.add_session(tx, a_session("a" * 64, expires_at_s=NOW_S + 1), NOW_S))
    await db.write(lambda tx: people.add_session(tx, a_session("b" * 64), NOW_S + 1))
    async with db.read() as tx:
        assert [one.secret_hash for one in await people.sessions_of(tx, "usr_1", 0)] == ["b" * 64]


async def test_who_opens_a_room_becomes_a_host_and_an_operator_stays_one(db: Database) -> None:
    for user in (a_user(), a_user("usr_2", "op@example.org")):
        await add_user(db, user)
    await db.write(lambda tx: people.set_role(tx, "usr_2", "operator"))
    for user_id in ("usr_1", "usr_2"):
        await db.write(lambda tx, user_id=user_id: people.becomes_host(tx, user_id))
    async with db.read() as tx:
        found = [await people.by_id(tx, "usr_1"), await people.by_id(tx, "usr_2")]
    assert [user and user.role for user in found] == ["host", "operator"]


def test_no_address_name_or_secret_is_in_a_representation() -> None:
    shown = repr([a_user(), Link("l" * 64, "ana@example.org", "/me", 1), a_session("a" * 64)])
    for secret in ("ana@", "'Ana'", "l" * 64, "a" * 64, "c" * 64):
        assert secret not in shown
