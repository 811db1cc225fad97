"""People at the payment service: their customer id, and their cards on file. Each row belongs to one set of books."""

from dataclasses import asdict, dataclass, fields
from typing import Any

from sqlalchemy import and_, select, update

from signaling.stores.database import Transaction
from signaling.stores.schema import cards, customers
from signaling.stores.statements import insert_once


@dataclass(frozen=True, slots=True)
class Card:
    """One row of `cards`. `fingerprint`: the same card has the same one, whoever brings it. `usable`: not forgotten,
    and not lost to the service."""

    payment_method_id: str
    user_id: str
    mode: str
    account: str
    fingerprint: str
    brand: str
    last4: str
    exp_month: int
    exp_year: int
    created_at: str
    usable: bool = True


_COLUMNS = [cards.c[field.name] for field in fields(Card)]


async def customer_of(tx: Transaction, user_id: str, mode: str, account: str) -> str | None:
    """The service's id of that person in those books, None when there is none yet."""
    query = select(customers.c.customer_id).where(_is_customer(user_id, mode, account))
    return (await tx.execute(query)).scalar()


def _is_customer(user_id: str, mode: str, account: str) -> Any:
    return and_(customers.c.user_id == user_id, customers.c.mode == mode, customers.c.account == account)


async def put_customer(tx: Transaction, user_id: str, mode: str, account: str, customer_id: str) -> str:
    """Stores it where there is none; the one that counts is answered."""
    values = {"user_id": user_id, "mode": mode, "account": account, "customer_id": customer_id}
    await insert_once(tx, customers, values)
    found = await customer_of(tx, user_id, mode, account)
    assert found is not None, "stored above, or before"
    return found


async def keep_card(tx: Transaction, card: Card) -> bool:
    """False when it is on file already. A card that was forgotten and is shown again is usable again."""
    if await insert_once(tx, cards, asdict(card)):
        return True
    same = and_(cards.c.payment_method_id == card.payment_method_id, cards.c.user_id == card.user_id)
    await tx.execute(update(cards).where(same).values(usable=card.usable))
    return False


async def cards_of(tx: Transaction, user_id: str, mode: str, account: str) -> list[Card]:
    """The usable ones, oldest first."""
    query = select(*_COLUMNS).where(
        cards.c.user_id == user_id, cards.c.mode == mode, cards.c.account == account, cards.c.usable
    )
    rows = await tx.execute(query.order_by(cards.c.created_at, cards.c.payment_method_id))
    return [Card(**row._mapping) for row in rows]  # noqa: SLF001 - SQLAlchemy's documented name


async def card_of(
    tx: Transaction, user_id: str, mode: str, account: str, payment_method_id: str
) -> Card | None:
    """That card, when it is this person's and usable."""
    own = await cards_of(tx, user_id, mode, account)
    return next((card for card in own if card.payment_method_id == payment_method_id), None)


async def forget_card(tx: Transaction, payment_method_id: str) -> None:
    """It is no longer offered; the row stays, for what it paid and which free minutes it had."""
    await tx.execute(update(cards).where(cards.c.payment_method_id == payment_method_id).values(usable=False))
