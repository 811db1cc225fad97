"""Invitations: the operator's leave to open so many rooms."""

from dataclasses import dataclass
from typing import Literal

from sqlalchemy import select, update

from signaling.stores.database import Transaction
from signaling.stores.schema import invitations

Use = Literal["used", "unknown", "spent"]


@dataclass(frozen=True, slots=True)
class Invitation:
    id: str
    secret_hash: str
    note: str
    uses_left: int
    expires_at_s: int


async def add(tx: Transaction, invitation: Invitation) -> None:
    values = {name: getattr(invitation, name) for name in Invitation.__slots__}
    await tx.execute(invitations.insert().values(**values))


async def use(tx: Transaction, secret_hash: str, now_s: int) -> Use:
    """Take one use: `spent` when none is left or its time is over."""
    done = await tx.execute(
        update(invitations)
        .where(
            invitations.c.secret_hash == secret_hash,
            invitations.c.uses_left > 0,
            invitations.c.expires_at_s > now_s,
        )
        .values(uses_left=invitations.c.uses_left - 1)
    )
    if done.rowcount == 1:
        return "used"
    known = await tx.execute(select(invitations.c.id).where(invitations.c.secret_hash == secret_hash))
    return "spent" if known.first() else "unknown"
