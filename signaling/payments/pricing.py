"""The price of one order: its parts by the rates that hold now, and the promotion code that it takes with it."""

from dataclasses import dataclass, replace

from metering.money import Money
from metering.price import Parts, price_parts
from metering.promotions import Promotion, read_code, refusal
from signaling.errors import ApiError
from signaling.stores import promotions, rates, rooms
from signaling.stores.database import Transaction
from signaling.stores.orders import Order
from signaling.stores.rates import BooksOf

_REFUSALS = {
    "unknown_code": "there is no such code",
    "code_not_here": "this code is not for this purchase",
    "code_expired": "this code is too old",
    "code_used_up": "this code was used as often as it may be",
    "code_used": "you have used this code before",
    "code_needs_email": "this code is for once: say your e-mail address",
}


@dataclass(frozen=True, slots=True)
class Asked:
    """The code that was said, when, and whom it may be for once: an account, an e-mail address, or nobody known."""

    code: str | None
    now_s: int
    user_id: str | None
    email: str | None


@dataclass(frozen=True, slots=True)
class Quoted:
    """A price in its parts, with the code that lowers it and who takes it ('' when nobody is known)."""

    parts: Parts
    promotion: Promotion | None = None
    person: str = ""


@dataclass(frozen=True, slots=True)
class Priced:
    """An order with its price, and the code that is to be taken once the order is stored (`person`: who takes it)."""

    order: Order
    promotion: Promotion | None = None
    person: str = ""


async def price_order(
    tx: Transaction, room: rooms.Room, order: Order, code: str | None, now_s: int
) -> Priced:
    """`order` comes with its list price as amount. Raises ApiError 422 with the code's refusal (`field` `code`).

    Only what is bought whole has parts here: what is paid for by use is priced when it is settled.
    """
    if order.funding != "payment" and code:
        raise _refused("code_not_here")
    if order.funding not in {"payment", "subscription"}:
        return Priced(order)
    listed = Money(order.amount_minor, order.currency)
    quoted = await quote(tx, room, listed, Asked(code, now_s, order.user_id, order.email))
    if quoted.parts.amount_minor == 0 and order.extends_pass_id is not None:
        raise _refused("code_not_here")  # a whole gift is a pass of its own
    priced = _with_parts(order, quoted.parts, quoted.promotion)
    if order.funding == "subscription" and order.tariff.get("trial_days"):
        priced = replace(priced, amount_minor=0)  # the parts are those of the periods that follow
    return Priced(priced, quoted.promotion, quoted.person or order.id)


async def quote(tx: Transaction, room: rooms.Room, listed: Money, asked: Asked) -> Quoted:
    """What is paid for that list price now. Raises ApiError 422 with the code's refusal (`field` `code`)."""
    promotion, person = (await _find(tx, room, listed, asked)) if asked.code else (None, "")
    fee = (await rates.figures_of_room(tx, room)).fee
    return Quoted(price_parts(listed, fee, promotion.discount if promotion else None), promotion, person)


def _with_parts(order: Order, parts: Parts, promotion: Promotion | None) -> Order:
    return replace(
        order,
        amount_minor=parts.amount_minor,
        list_minor=parts.list_minor,
        discount_minor=parts.discount_minor,
        fee_minor=parts.fee_minor,
        fee_on_top_minor=parts.fee_on_top_minor,
        promotion_id=promotion.promotion_id if promotion else None,
    )


async def _find(tx: Transaction, room: rooms.Room, listed: Money, asked: Asked) -> tuple[Promotion, str]:
    code = read_code(asked.code or "")
    promotion = await promotions.find_code(tx, BooksOf(room.mode, room.account), code) if code else None
    if promotion is None:
        raise _refused("unknown_code")
    known_as = await promotions.persons(tx, asked.user_id, asked.email)
    why = refusal(
        promotion,
        now_s=asked.now_s,
        room_id=room.id,
        currency=listed.currency,
        is_known_person=bool(known_as),
        used_before=await promotions.used_before(tx, promotion.promotion_id, known_as),
    )
    if why is not None:
        raise _refused(why)
    return promotion, known_as[0] if known_as else ""


async def take_code(tx: Transaction, priced: Priced) -> None:
    """In the order's own transaction, once it is stored. Raises ApiError 422 `code_used_up`."""
    if priced.promotion is None:
        return
    if not await promotions.take(tx, priced.promotion, priced.order.id, priced.person):
        raise _refused("code_used_up")


def _refused(code: str) -> ApiError:
    return ApiError(422, code, _REFUSALS[code], field="code")
