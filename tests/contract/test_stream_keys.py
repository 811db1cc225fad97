"""Stream keys: one for each owner, found by hash, gone when taken back."""

from signaling.stores import stream_keys as store
from signaling.stores.database import Database
from signaling.stores.stream_keys import StreamKey

FIRST = StreamKey("room_a", "1" * 64, "2026-01-01T00:00:00Z")
SECOND = StreamKey("room_a", "2" * 64, "2026-01-02T00:00:00Z")
OTHER = StreamKey("ord_b", "3" * 64, "2026-01-03T00:00:00Z")


async def test_a_new_key_takes_the_place_of_the_one_before(db: Database) -> None:
    assert await db.write(lambda tx: store.put(tx, FIRST)) is None
    assert await db.write(lambda tx: store.put(tx, OTHER)) is None
    assert await db.write(lambda tx: store.put(tx, SECOND)) == FIRST.key_hash
    async with db.read() as tx:
        assert await store.of_owner(tx, "room_a") == SECOND
        assert await store.by_hash(tx, SECOND.key_hash) == SECOND
        assert await store.by_hash(tx, FIRST.key_hash) is None
        assert await store.by_hash(tx, OTHER.key_hash) == OTHER


async def test_a_key_that_was_taken_back_is_gone(db: Database) -> None:
    await db.write(lambda tx: store.put(tx, FIRST))
    assert await db.write(lambda tx: store.take_back(tx, "room_a")) == FIRST.key_hash
    assert await db.write(lambda tx: store.take_back(tx, "room_a")) is None
    async with db.read() as tx:
        assert await store.of_owner(tx, "room_a") is None
        assert await store.by_hash(tx, FIRST.key_hash) is None
