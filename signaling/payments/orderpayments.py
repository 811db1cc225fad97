"""The payment of an order as an errand: what a Checkout Session (`reconcile`) and a card on file (`onfile`) share."""

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from metering.orders import OrderState
from signaling.notices import Notice
from signaling.payments.attempts import Made, WatchedErrand, Wish
from signaling.payments.context import Context
from signaling.payments.port import RefusedByServiceError
from signaling.payments.wallets import topup_ended
from signaling.stores import promotions
from signaling.stores.database import Transaction
from signaling.stores.earnings import Now
from signaling.stores.orders import Order, get_order, update_order
from signaling.stores.refunds import StripeCall
from signaling.stores.rooms import Room, by_id

UNAVAILABLE = "unavailable"
FAILURE_CHARS_MAX = 64


@dataclass(frozen=True, slots=True)
class OrderPayment(WatchedErrand[Made]):
    """Wanted while the order is in time, nobody walked away, and its room is open."""

    ctx: Context
    order_id: str

    @property
    def subject_id(self) -> str:
        return self.order_id

    @abstractmethod
    async def params(self, tx: Transaction, order: Order, now_s: int) -> dict[str, Any]: ...

    @abstractmethod
    def values(self, made: Made) -> dict[str, Any]:
        """What the order keeps of it: from then on it can be paid."""

    async def wish(self, tx: Transaction, now_s: int) -> Wish:
        order = await get_order(tx, self.order_id)
        if order is None or order.payment_ref is not None:
            return "known"
        room = await room_of(tx, order)
        is_in_time = order.reserved_until_s is not None and order.reserved_until_s > now_s
        is_open = room is None or room.state == "open"
        is_wanted = order.state is OrderState.NEW and is_in_time and is_open and not order.walked_away
        return "wanted" if is_wanted else "dropped"

    async def done(self, tx: Transaction, made: Made, _now: Now) -> Sequence[Notice]:
        order = await get_order(tx, self.order_id)
        if order is None or order.payment_ref is not None:
            return ()
        opened = {"state": OrderState.OPEN} if order.state is OrderState.NEW else {}
        await update_order(tx, order.id, **opened, **self.values(made))
        return ()

    async def refused(self, tx: Transaction, error: RefusedByServiceError, now: Now) -> Sequence[Notice]:
        """Nothing was charged. A declined payment keeps its number: whoever looks for it finds why."""
        failure = (error.decline_code or error.code)[:FAILURE_CHARS_MAX]
        return await self._end(tx, OrderState.FAILED, failure, now, intent_id=error.payment_intent_id)

    async def next_params(self, tx: Transaction, _call: StripeCall, now: Now) -> dict[str, Any] | None:
        order = await get_order(tx, self.order_id)
        if order is None or order.state is not OrderState.NEW:
            return None
        return await self.params(tx, order, now.s)

    async def out_of_keys(self, tx: Transaction, now: Now) -> Sequence[Notice]:
        return await self._end(tx, OrderState.FAILED, UNAVAILABLE, now)

    async def dropped(self, tx: Transaction, now: Now) -> Sequence[Notice]:
        order = await get_order(tx, self.order_id)
        walked_away = order is not None and order.walked_away
        return await self._end(tx, OrderState.CANCELED if walked_away else OrderState.EXPIRED, None, now)

    async def _end(
        self, tx: Transaction, state: OrderState, failure: str | None, now: Now, intent_id: str | None = None
    ) -> Sequence[Notice]:
        """It will not be paid: its seat, its code and its place among the top-ups are free."""
        order = await get_order(tx, self.order_id)
        if order is None or order.state is not OrderState.NEW:
            return ()
        values: dict[str, Any] = {"state": state, "failure": failure, "reserved_until_s": None}
        if intent_id is not None:
            values["payment_intent_id"] = intent_id
        await update_order(tx, order.id, **values)
        await promotions.give_back(tx, order.id)
        return (*order.seat_freed(), *await topup_ended(tx, order, failure, now.s))


async def room_of(tx: Transaction, order: Order) -> Room | None:
    """None: a top-up of a wallet is for no room."""
    return None if order.room_id is None else await by_id(tx, order.room_id)
