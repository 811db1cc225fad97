"""Keys that let an encoder publish into a room or a player watch with an order; at most one each."""

from dataclasses import dataclass

from sqlalchemy import delete, select

from signaling.stores.database import Transaction
from signaling.stores.schema import stream_keys
from signaling.stores.statements import insert_once


@dataclass(frozen=True, slots=True)
class StreamKey:
    """`owner_id` is a room's or an order's."""

    owner_id: str
    key_hash: str
    created_at: str


async def put(tx: Transaction, key: StreamKey) -> str | None:
    """The owner's key from now on; the hash of the one before."""
    former = await take_back(tx, key.owner_id)
    await insert_once(tx, stream_keys, {name: getattr(key, name) for name in StreamKey.__slots__})
    return former


async def take_back(tx: Transaction, owner_id: str) -> str | None:
    """The hash of the key that no longer works, None when there was none."""
    found = await of_owner(tx, owner_id)
    await tx.execute(delete(stream_keys).where(stream_keys.c.owner_id == owner_id))
    return None if found is None else found.key_hash


async def of_owner(tx: Transaction, owner_id: str) -> StreamKey | None:
    row = (await tx.execute(select(stream_keys).where(stream_keys.c.owner_id == owner_id))).first()
    return None if row is None else StreamKey(row.owner_id, row.key_hash, row.created_at)


async def by_hash(tx: Transaction, key_hash: str) -> StreamKey | None:
    row = (await tx.execute(select(stream_keys).where(stream_keys.c.key_hash == key_hash))).first()
    return None if row is None else StreamKey(row.owner_id, row.key_hash, row.created_at)
