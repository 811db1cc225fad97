"""Promotion codes: made and ended by the operator for any room, by a host for their own."""

from typing import Annotated, Any

import structlog
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints

from metering.errors import RefusedError
from metering.money import MAX_AMOUNT_MINOR, currency
from metering.price import Discount
from metering.promotions import Promotion, is_discount, read_code
from signaling.clock import Clock, rfc3339
from signaling.errors import ApiError
from signaling.hosting import Caller
from signaling.ids import RandomBytes, new_id
from signaling.stores import admin as store
from signaling.stores import promotions
from signaling.stores.database import Database, Transaction
from signaling.stores.promotions import ListedPromotion
from signaling.stores.rates import BooksOf

log = structlog.get_logger()

Json = dict[str, Any]
LETTERS = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789"  # 32, none that is read for another
LENGTH = 10


class NewCode(BaseModel):
    """The body of the calls that make a code. Absent: `code` is made up here, `room_id` means every room, `uses` and
    `expires_at` without end."""

    model_config = ConfigDict(strict=True, extra="forbid")

    code: Annotated[str, StringConstraints(max_length=64)] | None = None
    percent: Annotated[int, Field(ge=1, le=100)] | None = None
    amount_minor: Annotated[int, Field(ge=1, le=MAX_AMOUNT_MINOR)] | None = None
    currency: Annotated[str, StringConstraints(max_length=3)] | None = None
    room_id: Annotated[str, StringConstraints(max_length=64)] | None = None
    uses: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    once_per_person: bool = False
    # JSON has no times: a text, read leniently.
    expires_at: Annotated[AwareDatetime, Field(strict=False)] | None = None


class Codes:
    """Makes, lists and ends codes."""

    def __init__(self, db: Database, clock: Clock, random_bytes: RandomBytes, books: BooksOf) -> None:
        self._db = db
        self._clock = clock
        self._random_bytes = random_bytes
        self._books = books

    async def listed(self) -> Json:
        """The operator's view: the codes of every room."""
        async with self._db.read() as tx:
            found = await promotions.list_promotions(tx, self._books)
            titles = await store.labels(tx, [one.promotion.room_id or "" for one in found])
        return {"promotions": [code_json(one, titles) for one in found]}

    async def listed_for(self, room_id: str, who: Caller) -> Json:
        """Raises ApiError 403 `bad_host_key`."""
        async with self._db.read() as tx:
            room = await who.room(tx, room_id)
            found = await promotions.list_promotions(tx, self._books, room.id)
        return {"promotions": [code_json(one, {room.id: room.title}) for one in found]}

    async def make(self, body: NewCode, by: str) -> Json:
        """Raises ApiError 404 `unknown_place`; 409 `code_exists`; 422 `invalid`, `unknown_currency`, `wrong_currency`."""
        promotion = self._read(body)

        async def work(tx: Transaction) -> dict[str, str]:
            titles = {}
            if promotion.room_id is not None:
                room = await store.room_in(tx, self._books, promotion.room_id)
                if room is None:
                    raise ApiError(404, "unknown_place", "there is no such room", field="room_id")
                _require_currency(promotion, room.currency)
                titles[room.id] = room.title
            await self._insert(tx, promotion)
            return titles

        return self._made(promotion, by, await self._db.write(work))

    async def make_for(self, room_id: str, who: Caller, body: NewCode) -> Json:
        """For that room alone. Raises ApiError 403 `bad_host_key`, and as `make`."""
        if body.room_id not in {None, room_id}:
            raise ApiError(422, "invalid", "a host makes codes for this room", field="room_id")
        promotion = self._read(body.model_copy(update={"room_id": room_id}))

        async def work(tx: Transaction) -> dict[str, str]:
            room = await who.room(tx, room_id)
            _require_currency(promotion, room.currency)
            await self._insert(tx, promotion)
            return {room.id: room.title}

        return self._made(promotion, f"host of {room_id}", await self._db.write(work))

    async def end(self, promotion_id: str, by: str) -> None:
        """Raises ApiError 404 `unknown_code`."""
        ended = await self._db.write(lambda tx: promotions.end_promotion(tx, self._books, promotion_id))
        _ended(ended, promotion_id, by)

    async def end_for(self, room_id: str, who: Caller, promotion_id: str) -> None:
        """Raises ApiError 403 `bad_host_key`, 404 `unknown_code`."""

        async def work(tx: Transaction) -> bool:
            room = await who.room(tx, room_id)
            return await promotions.end_promotion(tx, self._books, promotion_id, room.id)

        _ended(await self._db.write(work), promotion_id, f"host of {room_id}")

    # --- parts --------------------------------------------------------------------------------------------

    def _read(self, body: NewCode) -> Promotion:
        code = read_code(self._made_up() if body.code is None else body.code)
        if code is None:
            raise ApiError(422, "invalid", "3 to 32 letters, digits and hyphens", field="code")
        try:
            said = None if body.currency is None else currency(body.currency).code
        except RefusedError as error:
            raise ApiError(422, error.code, str(error), field="currency") from None
        discount = Discount(body.percent, body.amount_minor, said)
        if not is_discount(discount):
            raise ApiError(
                422, "invalid", "either percent, or amount_minor with its currency", field="percent"
            )
        expires_at_s = None if body.expires_at is None else int(body.expires_at.timestamp())
        if expires_at_s is not None and expires_at_s <= self._clock.wall_s():
            raise ApiError(422, "invalid", "that time is over", field="expires_at")
        return Promotion(
            promotion_id=new_id("promo", self._random_bytes),
            code=code,
            discount=discount,
            room_id=body.room_id,
            uses_left=body.uses,
            once_per_person=body.once_per_person,
            expires_at_s=expires_at_s,
        )

    def _made_up(self) -> str:
        return "".join(LETTERS[byte % len(LETTERS)] for byte in self._random_bytes(LENGTH))

    async def _insert(self, tx: Transaction, promotion: Promotion) -> None:
        if not await promotions.insert_promotion(tx, self._books, promotion, rfc3339(self._clock.wall_s())):
            raise ApiError(409, "code_exists", "there is such a code already", field="code")

    def _made(self, promotion: Promotion, by: str, titles: dict[str, str]) -> Json:
        log.info("code_made", promotion_id=promotion.promotion_id, room_id=promotion.room_id, by=by)
        return code_json(ListedPromotion(promotion, 0, rfc3339(self._clock.wall_s())), titles)


def _ended(ended: bool, promotion_id: str, by: str) -> None:
    if not ended:
        raise ApiError(404, "unknown_code", "there is no such code")
    log.info("code_ended", promotion_id=promotion_id, by=by)


def _require_currency(promotion: Promotion, code: str) -> None:
    if promotion.discount.currency not in {None, code}:
        raise ApiError(422, "wrong_currency", f"this room is in {code.upper()}", field="currency")


def code_json(listed: ListedPromotion, titles: dict[str, str]) -> Json:
    """`uses`: how often it is in use now; `uses_left` null: without end."""
    promotion = listed.promotion
    until = promotion.expires_at_s
    return {
        "id": promotion.promotion_id,
        "code": promotion.code,
        "percent": promotion.discount.percent,
        "amount_minor": promotion.discount.amount_minor,
        "currency": promotion.discount.currency,
        "room": None
        if promotion.room_id is None
        else {"id": promotion.room_id, "title": titles.get(promotion.room_id)},
        "uses": listed.uses,
        "uses_left": promotion.uses_left,
        "once_per_person": promotion.once_per_person,
        "expires_at": None if until is None else rfc3339(until),
        "active": promotion.active,
        "created_at": listed.created_at,
    }
