"""The payments as one part: its doors for the routes, and its background tasks."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import structlog

from metering.orders import OrderState
from signaling.clock import Clock
from signaling.errors import ApiError
from signaling.ids import RandomBytes, new_secret, secret_hash
from signaling.notices import Notice, Notices, OutboxFilled, StayEnded, StayLow
from signaling.payments import (
    autotopup,
    bookkeeping,
    checkout,
    connect,
    funding,
    holds,
    outbox,
    receipts,
    stays,
    subscribing,
    sweeper,
    views,
    webhook,
    worker,
)
from signaling.payments.context import Context, side_by_side
from signaling.payments.port import OutcomeUnknownError, PaymentService
from signaling.payments.settings import PaymentsSettings
from signaling.payments.settle import settle
from signaling.stores import passes
from signaling.stores.database import Database, Transaction
from signaling.stores.orders import UNPAID, Order, get_order, orders_of_pass, update_order
from signaling.stores.shelf import passes_held

log = structlog.get_logger()

Step = Callable[[str], None]


def _nowhere(_step: str) -> None:
    """In production nothing happens between two steps."""


class Payments:
    """Orders, webhooks and refunds. `start` and `close` run its background tasks; everything else works without
    them (tests drive `work_once`)."""

    def __init__(
        self,
        *,
        db: Database,
        clock: Clock,
        random_bytes: RandomBytes,
        notices: Notices,
        service: PaymentService,
        settings: PaymentsSettings,
        step: Step = _nowhere,
    ) -> None:
        self.ctx = Context(db, clock, random_bytes, notices, service, settings, step)
        self.settings = settings
        self._woken = asyncio.Event()
        self._told = False  # something since the last look at what somebody waits for
        self._tasks: list[asyncio.Task[None]] = []
        self._receipts_at_s = 0
        self._unsubscribe: Callable[[], None] | None = None
        # What rooms have told, by pass: to be funded, to be settled, and low while its payer has not agreed to go on.
        self._low: dict[str, StayLow] = {}
        self._over: set[str] = set()
        self._undecided: dict[str, StayLow] = {}

    # --- background ---------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Starts applying; what was missed while the server was down is caught up in the background."""
        self._unsubscribe = self.ctx.notices.subscribe(self.hear)
        await sweeper.forget_waiting(self.ctx)
        self._tasks = [
            asyncio.create_task(self._apply_for_ever(), name="payments-worker"),
            asyncio.create_task(self._catch_up_for_ever(), name="payments-catch-up"),
        ]

    async def close(self) -> None:
        """Stops between two steps or in the middle of one: every step may be repeated."""
        if self._unsubscribe is not None:
            self._unsubscribe()
            self._unsubscribe = None
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []

    def wake(self) -> None:
        """There is something to apply or to send."""
        self._told = True
        self._woken.set()

    def hear(self, notice: Notice) -> None:
        """A hint from another feature; the next round acts on it."""
        if isinstance(notice, StayLow):
            self._low[notice.pass_id] = notice
        elif isinstance(notice, StayEnded):
            self._undecided.pop(notice.pass_id, None)
            if notice.code in stays.FINAL:
                self._over.add(notice.pass_id)
        if isinstance(notice, OutboxFilled | StayLow | StayEnded):
            self.wake()

    async def work_once(self) -> int:
        """One round of the worker; how much there was to do. Whoever pays meanwhile waits for one step of it, not for the
        rest of the round."""
        done = await self._hurry()
        await sweeper.sweep(self.ctx, self._hurry_if_told)
        done += await outbox.empty_outbox(self.ctx, self._hurry_if_told)
        await self._ask_receipts()
        await self._hurry_if_told()
        return done + await sweeper.look_after_calls(self.ctx)

    async def _hurry(self) -> int:
        """What somebody waits for: calls for their next hold, payers for their token."""
        self._told = False
        await self._fund()
        return await worker.apply_inbox(self.ctx)

    async def _hurry_if_told(self) -> None:
        if self._told:
            await self._hurry()

    async def _work_when_woken(self) -> None:
        """What time brings about is left to the next full round."""
        await self._hurry()
        await outbox.empty_outbox(self.ctx, self._hurry_if_told)

    async def _ask_receipts(self) -> None:
        """Once a minute: nobody waits for a receipt."""
        now_s = self.ctx.now_s()
        if self.settings.receipts and now_s - self._receipts_at_s >= receipts.LOOK_EVERY_S:
            self._receipts_at_s = now_s
            await receipts.ask_receipts(self.ctx)

    async def _fund(self) -> None:
        """What rooms have told since the last round: holds first, a call is waiting for them."""
        low, self._low = self._low, {}
        over, self._over = self._over, set()
        if self.settings.beside:  # every set hears of every stay
            async with self.ctx.db.read() as tx:
                held = await passes_held(tx, self.settings.shelf, [*low, *over])
            low = {pass_id: notice for pass_id, notice in low.items() if pass_id in held}
            over &= held
        await side_by_side(self._place(notice) for notice in low.values())
        await side_by_side(stays.settle_stay(self.ctx, pass_id) for pass_id in over)

    async def _place(self, low: StayLow) -> None:
        refused = await funding.place(self.ctx, low.pass_id, low.granted_ms)
        if refused == "not_agreed":
            self._undecided[low.pass_id] = low
        # Credits that came and are all held by now are no reason to buy more: the stay itself will say when it runs low.
        if not low.again or refused is not None:
            await autotopup.consider(self.ctx, low.pass_id)

    async def _apply_for_ever(self) -> None:
        loop = asyncio.get_running_loop()
        sweep_at_s = loop.time()
        while True:
            self._woken.clear()
            is_due = loop.time() >= sweep_at_s
            await _surviving("payments_round_failed", self.work_once if is_due else self._work_when_woken)
            if is_due:
                sweep_at_s = loop.time() + self.settings.sweep_every_s
            try:
                async with asyncio.timeout_at(sweep_at_s):
                    await self._woken.wait()
            except TimeoutError:
                continue

    async def _catch_up_for_ever(self) -> None:
        await _surviving("settling_open_orders_failed", self._settle_open)
        while True:
            await _surviving("catching_up_failed", self.catch_up)
            await _surviving("comparing_balances_failed", self.compare_balances)
            await _surviving("accounts_not_fetched", self._look_after_accounts)
            await asyncio.sleep(self.settings.catch_up_every_s)

    async def _look_after_accounts(self) -> None:
        await connect.look_after_accounts(self.ctx)

    async def _settle_open(self) -> None:
        await sweeper.settle_open(self.ctx)

    async def compare_balances(self) -> int:
        """Our books against the service's; how many of its entries were looked at. Raises OutcomeUnknownError."""
        return await bookkeeping.compare(self.ctx)

    async def catch_up(self) -> int:
        """Stores the events that never came; how many. Raises OutcomeUnknownError."""
        missed = await sweeper.catch_up(self.ctx)
        await subscribing.refresh_unheard(self.ctx)
        if missed:
            log.info("events_caught_up", count=missed)
            self.wake()
        return missed

    # --- doors --------------------------------------------------------------------------------------------

    async def make_order(
        self, slug: str, body: checkout.NewOrder, secret: str | None, user_id: str | None = None
    ) -> checkout.Made:
        return await checkout.make_order(self.ctx, slug, body, secret, user_id)

    async def quote(self, slug: str, body: checkout.NewQuote, user_id: str | None) -> views.Json:
        return views.quote_view(await checkout.quote_order(self.ctx, slug, body, user_id))

    async def find_order(self, order_id: str, secret: str | None) -> Order:
        return await checkout.find_order(self.ctx, order_id, secret)

    async def find_order_of(self, user_id: str, order_id: str) -> Order:
        """An order of a signed-in person. Raises ApiError 404 alike for an unknown one and somebody else's."""
        async with self.ctx.db.read() as tx:
            order = await get_order(tx, order_id)
        if order is None or order.user_id != user_id or not self._holds(order):
            raise ApiError(404, "unknown_order", "no such order of yours")
        return order

    def _holds(self, order: Order) -> bool:
        return self.settings.shelf.holds(order.mode, order.account)

    async def show(self, order_id: str) -> views.Json:
        """The order as `GET /api/orders/{id}` answers it; the caller has proved that it may see it."""
        async with self.ctx.db.read() as tx:
            order = await get_order(tx, order_id)
            assert order is not None, "orders are never deleted"
            return await views.order_view(tx, self.settings, order)

    async def receipt(self, order: Order) -> views.Json:
        async with self.ctx.db.read() as tx:
            return await views.receipt_view(tx, order)

    async def refresh(self, order: Order) -> None:
        """Asks the payment service now. When it does not answer, the order stays as it is known."""
        try:
            await holds.look_again(self.ctx, order)
            await settle(self.ctx, order.id)
        except OutcomeUnknownError as error:
            log.warning("refresh_postponed", order_id=order.id, error=str(error))

    async def take_webhook(self, body: bytes, signature: str | None) -> None:
        await webhook.take_webhook(self.ctx, body, signature)
        self.wake()

    async def cancel(self, order: Order) -> None:
        """The payer walked away. Raises ApiError 409 `already_paid`. The seat is free once the Checkout Session is
        known to be expired."""
        if order.state in UNPAID:
            await self._update(order.id, walked_away=True, reserved_until_s=self.ctx.now_s())
            await sweeper.sweep(self.ctx)
            await outbox.empty_outbox(self.ctx)
        async with self.ctx.db.read() as tx:
            now = await get_order(tx, order.id)
        if now is not None and now.granted:
            raise ApiError(409, "already_paid", "this order is paid")

    async def set_waits(self, order: Order, *, waits: bool) -> None:
        """Keep the paid time while the host is away, or give it back when the patience is over. A pass is one thing: all
        its orders wait, or none."""

        async def work(tx: Transaction) -> Sequence[Notice]:
            found = await passes.pass_of_order(tx, order) if order.granted else None
            behind = [order] if found is None else await orders_of_pass(tx, found.id)
            for one in behind:
                await update_order(tx, one.id, waits=waits)
            return ()

        await self.ctx.write(work)

    async def set_goes_on(self, order: Order, *, goes_on: bool) -> None:
        """Whether further holds on the same card may follow. Raises ApiError 409 `not_by_use`, `no_saved_card`,
        `settled`."""

        async def work(tx: Transaction) -> str:
            found = await passes.pass_of_order(tx, order) if order.granted else None
            stay = None if found is None else await holds.find_stay(tx, found.id)
            if stay is None or stay.order.funding != "metered":
                raise ApiError(409, "not_by_use", "this order is not paid for by use")
            if stay.pass_.settled:
                raise ApiError(409, "settled", "this call is over")
            if goes_on and stay.order.payment_method_id is None:
                raise ApiError(409, "no_saved_card", "the card was not kept for this call")
            await update_order(tx, stay.order.id, goes_on=goes_on)
            return stay.pass_.id

        pass_id = await self.ctx.db.write(work)
        if goes_on and pass_id in self._undecided:  # its minute has begun already
            self._low[pass_id] = self._undecided.pop(pass_id)
            self.wake()

    async def new_link(self, order: Order) -> str:
        """For going on on another device: its secret is in the fragment; the link before opens nothing any more."""
        secret = new_secret(self.ctx.random_bytes)
        await self._update(order.id, link_hash=secret_hash(secret))
        return f"{self.settings.public_url}/orders/{order.id}#secret={secret}"

    async def _update(self, order_id: str, **values: object) -> None:
        async def work(tx: Transaction) -> Sequence[Notice]:
            order = await get_order(tx, order_id)
            assert order is not None, "orders are never deleted"
            if "walked_away" in values and order.state not in {OrderState.NEW, OrderState.OPEN}:
                return ()  # paid while the payer walked
            await update_order(tx, order_id, **values)
            return ()

        await self.ctx.write(work)


async def _surviving(event: str, work: Callable[[], Awaitable[object]]) -> None:
    """The loop goes on whatever one round met; the rows say what is left to do."""
    try:
        await work()
    except OutcomeUnknownError as error:
        log.warning(event, error=str(error))
    except Exception:
        log.exception(event)
