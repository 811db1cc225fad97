"""Free minutes had: once per person and once per card in each room."""

from sqlalchemy import exists, select

from signaling.stores.database import Transaction
from signaling.stores.schema import free_minutes
from signaling.stores.statements import insert_once


async def had(tx: Transaction, room_id: str, user_id: str) -> bool:
    """Whether that person has had them there."""
    query = exists().where(free_minutes.c.room_id == room_id, free_minutes.c.user_id == user_id)
    return bool((await tx.execute(select(query))).scalar_one())


async def take(
    tx: Transaction, *, room_id: str, user_id: str, fingerprint: str, order_id: str, seconds: int
) -> bool:
    """False when that person or that card has had them there with another order."""
    values = {
        "room_id": room_id,
        "user_id": user_id,
        "fingerprint": fingerprint,
        "order_id": order_id,
        "seconds": seconds,
    }
    if await insert_once(tx, free_minutes, values):
        return True
    mine = select(free_minutes.c.order_id).where(
        free_minutes.c.room_id == room_id, free_minutes.c.user_id == user_id
    )
    return (await tx.execute(mine)).scalar() == order_id
