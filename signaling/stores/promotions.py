"""Promotion codes as rows: made, found, taken with an order, given back when it is not paid."""

import hashlib
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row, and_, exists, func, or_, select, update

from metering.price import Discount
from metering.promotions import Promotion
from signaling.stores.database import Transaction
from signaling.stores.rates import BooksOf
from signaling.stores.schema import promotion_uses, promotions, users
from signaling.stores.statements import insert_once


@dataclass(frozen=True, slots=True)
class ListedPromotion:
    """A code with how often it is in use (given back ones aside)."""

    promotion: Promotion
    uses: int
    created_at: str


def _of(books: BooksOf) -> Any:
    return and_(promotions.c.mode == books.mode, promotions.c.account == books.account)


def _promotion(row: Row[Any]) -> Promotion:
    return Promotion(
        promotion_id=row.id,
        code=row.code,
        discount=Discount(row.percent, row.amount_minor, row.currency),
        room_id=row.room_id,
        uses_left=row.uses_left,
        once_per_person=row.once_per_person,
        expires_at_s=row.expires_at_s,
        active=row.active,
    )


async def insert_promotion(tx: Transaction, books: BooksOf, promotion: Promotion, created_at: str) -> bool:
    """False when that code exists in these books."""
    discount = promotion.discount
    values = {
        "id": promotion.promotion_id,
        "mode": books.mode,
        "account": books.account,
        "code": promotion.code,
        "room_id": promotion.room_id,
        "percent": discount.percent,
        "amount_minor": discount.amount_minor,
        "currency": discount.currency,
        "uses_left": promotion.uses_left,
        "once_per_person": promotion.once_per_person,
        "expires_at_s": promotion.expires_at_s,
        "active": promotion.active,
        "created_at": created_at,
    }
    return await insert_once(tx, promotions, values)


async def find_code(tx: Transaction, books: BooksOf, code: str) -> Promotion | None:
    row = (await tx.execute(select(promotions).where(_of(books), promotions.c.code == code))).first()
    return None if row is None else _promotion(row)


async def list_promotions(
    tx: Transaction, books: BooksOf, room_id: str | None = None, limit: int = 200
) -> list[ListedPromotion]:
    """Newest first; of one room alone when it is named."""
    uses = (
        select(func.count())
        .where(promotion_uses.c.promotion_id == promotions.c.id, ~promotion_uses.c.given_back)
        .scalar_subquery()
    )
    query = select(promotions, uses.label("uses")).where(_of(books))
    if room_id is not None:
        query = query.where(promotions.c.room_id == room_id)
    found = await tx.execute(query.order_by(promotions.c.created_at.desc(), promotions.c.id).limit(limit))
    return [ListedPromotion(_promotion(row), row.uses, row.created_at) for row in found]


async def end_promotion(
    tx: Transaction, books: BooksOf, promotion_id: str, room_id: str | None = None
) -> bool:
    """Nobody can use it from now on; who has used it keeps what they have. `room_id`: only when it is that room's.
    False for none such."""
    this = and_(_of(books), promotions.c.id == promotion_id)
    if room_id is not None:
        this = and_(this, promotions.c.room_id == room_id)
    return (await tx.execute(update(promotions).where(this).values(active=False))).rowcount == 1


# --- who uses it ------------------------------------------------------------------------------------------


def email_person(email: str) -> str:
    """How a person without an account is known: the address itself is not kept here."""
    return hashlib.sha256(email.strip().lower().encode()).hexdigest()


async def persons(tx: Transaction, user_id: str | None, email: str | None) -> tuple[str, ...]:
    """Every name under which this person may have used a code; the first is the one to store."""
    known = [user_id] if user_id is not None else []
    own = None
    if user_id is not None:
        own = (await tx.execute(select(users.c.email).where(users.c.id == user_id))).scalar()
    for address in (email, own):
        if address is not None:
            known.append(email_person(address))
            account = (await tx.execute(select(users.c.id).where(users.c.email == address.lower()))).scalar()
            known += [account] if account is not None else []
    return tuple(dict.fromkeys(known))


async def used_before(tx: Transaction, promotion_id: str, known_as: tuple[str, ...]) -> bool:
    if not known_as:
        return False
    query = exists().where(
        promotion_uses.c.promotion_id == promotion_id,
        promotion_uses.c.person.in_(known_as),
        ~promotion_uses.c.given_back,
    )
    return bool((await tx.execute(select(query))).scalar_one())


async def take(tx: Transaction, promotion: Promotion, order_id: str, person: str) -> bool:
    """One use, for an order that is stored. False when the last one was taken meanwhile."""
    left = promotions.c.uses_left
    is_left = or_(left.is_(None), left > 0)
    taken = await tx.execute(
        update(promotions)
        .where(promotions.c.id == promotion.promotion_id, promotions.c.active, is_left)
        .values(uses_left=left - 1)  # NULL stays NULL: without end
    )
    if taken.rowcount == 0:
        return False
    values = {
        "order_id": order_id,
        "promotion_id": promotion.promotion_id,
        "person": person,
        "given_back": False,
    }
    return await insert_once(tx, promotion_uses, values)


async def give_back(tx: Transaction, order_id: str) -> bool:
    """The order will not be paid: its use is free again. False when there is none, or it was given back before."""
    return await _turn(tx, order_id, given_back=True, by=1)


async def keep(tx: Transaction, order_id: str) -> bool:
    """The order was paid after all (money may come late): its use is taken again, though another may have the last."""
    return await _turn(tx, order_id, given_back=False, by=-1)


async def _turn(tx: Transaction, order_id: str, *, given_back: bool, by: int) -> bool:
    this = and_(promotion_uses.c.order_id == order_id, promotion_uses.c.given_back != given_back)
    turned = await tx.execute(update(promotion_uses).where(this).values(given_back=given_back))
    if turned.rowcount == 0:
        return False
    of_order = select(promotion_uses.c.promotion_id).where(promotion_uses.c.order_id == order_id)
    left = promotions.c.uses_left
    statement = update(promotions).where(promotions.c.id == of_order.scalar_subquery())
    if by < 0:
        statement = statement.where(left > 0)
    await tx.execute(statement.values(uses_left=left + by))
    return True
