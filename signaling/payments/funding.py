"""The funder: places the next hold of a pass that is paid for by use, and applies what becomes of each.

A window's row and its call are stored together, then the call is made. Whatever the answer, `apply_intent` is the one
function that moves a window, woken by the call itself, a webhook, the payer's page, reconciliation or settling.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import structlog

from metering import ledger as books
from metering.funding import BACKED, PENDING, Ask, Refused, next_window
from metering.orders import RecordRefund, after
from metering.tariff import Metered, Wallet, Windowed, parse_tariff
from signaling.notices import Funding, Notice, OutboxFilled, PassChanged
from signaling.payments.context import Context
from signaling.payments.port import IntentFact, OutcomeUnknownError, RefusedByServiceError
from signaling.payments.reconcile import BACKOFF_MAX_S, CLOCK_SKEW_S, FIRST_LOOK_S, IN_FLIGHT_S, KEYS_MAX
from signaling.payments.settings import PaymentsSettings
from signaling.stores import inbox, outbox, passes, windows
from signaling.stores import refunds as calls
from signaling.stores.database import Transaction
from signaling.stores.ledger import Entry, post_transfer
from signaling.stores.orders import BY_USE, Order, orders_of_pass, update_order
from signaling.stores.passes import Pass
from signaling.stores.windows import Window

log = structlog.get_logger()

OPERATION = "payment_intents.create"
# So many declines in one call, then no further card is asked.
FAILURES_MAX = 5
OPEN_STATES = ("waiting", "active", "used_up")


@dataclass(frozen=True, slots=True)
class Stay:
    """A pass that is paid for by use, the order that pays for it, and its windows."""

    pass_: Pass
    order: Order
    windows: tuple[Window, ...]

    @property
    def tariff(self) -> Windowed:
        """As it was when the order was made."""
        found = parse_tariff(self.order.tariff)
        assert isinstance(found, Metered | Wallet), "orders that are paid for by use have such a tariff"
        return found

    @property
    def may_go_on(self) -> bool:
        return self.order.goes_on and self.order.payment_method_id is not None


async def find_stay(tx: Transaction, pass_id: str) -> Stay | None:
    """None for a pass that was bought whole."""
    found = await passes.get_pass(tx, pass_id)
    if found is None or found.funding not in BY_USE:
        return None
    behind = await orders_of_pass(tx, pass_id)
    order = next((one for one in behind if one.funding == found.funding), None)
    if order is None:
        return None
    return Stay(found, order, tuple(await windows.windows_of(tx, pass_id)))


# --- asking for a window ----------------------------------------------------------------------------------


def intent_params(settings: PaymentsSettings, order: Order, window: Window) -> dict[str, Any]:
    """The exact parameters of the hold behind a window: on the card of the order, while the payer is here."""
    params: dict[str, Any] = {
        "amount": window.held_minor,
        "currency": window.currency,
        "capture_method": "manual",
        "confirm": True,
        "customer": order.customer_id,
        "payment_method": order.payment_method_id,
        "payment_method_types": ["card"],
        "description": order.title,
        "metadata": {
            "order_id": order.id,
            "room_id": order.room_id,
            "mode": order.mode,
            "reference": window.id,
        },
    }
    if settings.sandbox:  # its own page, which the call frames
        return params | {"return_url": f"{settings.public_url}/orders/{order.id}?return=1"}
    return params | {"use_stripe_sdk": True}  # Stripe's script asks the payer, in the page


async def place(ctx: Context, pass_id: str) -> str | None:
    """Asks for the next window of a pass. Why none was asked for, else None. What becomes of it is told by notices."""
    now_s, now_text = ctx.now_s(), ctx.now_text()
    placing = await ctx.db.write(lambda tx: _prepare(tx, ctx.settings, pass_id, now_s, now_text))
    ctx.step("window_asked")
    if placing.window_id is not None:
        await _attempt(ctx, placing.window_id)
    elif placing.notice is not None:
        ctx.notices.publish(placing.notice)
    return placing.refused


@dataclass(frozen=True, slots=True)
class _Placing:
    window_id: str | None = None
    refused: str | None = None
    notice: Notice | None = None


async def _prepare(
    tx: Transaction, settings: PaymentsSettings, pass_id: str, now_s: int, now_text: str
) -> _Placing:
    stay = await find_stay(tx, pass_id)
    if stay is None or stay.order.funding != "metered":
        return _Placing(refused="not_metered")
    if stay.pass_.state not in OPEN_STATES or stay.pass_.granted_ms is None:
        return _Placing(refused="ended")
    asked = next_window(
        stay.tariff,
        [window.plain() for window in stay.windows],
        granted_ms=stay.pass_.granted_ms,
        settled=stay.pass_.settled,
        agreed=stay.may_go_on,
    )
    reason: str | None = asked.reason if isinstance(asked, Refused) else None
    if sum(window.state == "failed" for window in stay.windows) >= FAILURES_MAX:
        reason = reason or "too_many_failures"
    if isinstance(asked, Refused) or reason is not None:
        told = reason in {"not_agreed", "at_the_end", "too_many_failures"}
        return _Placing(refused=reason, notice=_failed(stay.pass_, str(reason)) if told else None)
    window = _asked(stay, asked, now_text)
    await windows.insert_window(tx, window)
    await _begin(tx, settings, stay.order, window, now_s, attempt=1)
    return _Placing(window.id)


def _asked(stay: Stay, ask: Ask, now_text: str) -> Window:
    order = stay.order
    return windows.asked(
        ask,
        pass_id=stay.pass_.id,
        mode=order.mode,
        account=order.account,
        kind="card",
        currency=order.currency,
        created_at=now_text,
    )


async def _begin(
    tx: Transaction, settings: PaymentsSettings, order: Order, window: Window, now_s: int, *, attempt: int
) -> None:
    await calls.begin_call(
        tx,
        key=f"hold:{window.id}" if attempt == 1 else f"hold:{window.id}:{attempt}",
        operation=OPERATION,
        subject_id=window.id,
        params=intent_params(settings, order, window),
        now_s=now_s,
        retry_at_s=now_s + FIRST_LOOK_S if attempt == 1 else now_s,
    )


async def _attempt(ctx: Context, window_id: str) -> None:
    """Makes the newest call of a window. Raises nothing: unknown stays unknown, and is looked at again."""
    async with ctx.db.read() as tx:
        call = (await calls.calls_of(tx, window_id, OPERATION))[-1]
    try:
        fact = await ctx.service.create_intent(call.params, call.idempotency_key)
    except RefusedByServiceError as error:
        await _declined(ctx, window_id, call, error)
    except OutcomeUnknownError as error:
        log.warning("hold_outcome_unknown", window_id=window_id, error=str(error))
        if error.answered and call.attempts > 0:
            await _next_key(ctx, window_id, call)
        else:
            await postpone(ctx, call, str(error))
    else:
        ctx.step("window_created")
        await apply_intent(ctx, window_id, fact, call)


async def reconcile(ctx: Context, window_id: str) -> None:
    """Finds out what came of a window's call, and makes it again where nothing did. Raises OutcomeUnknownError when the
    service cannot be asked."""
    async with ctx.db.read() as tx:
        window = await windows.get_window(tx, window_id)
        made = await calls.calls_of(tx, window_id, OPERATION)
        stay = None if window is None else await find_stay(tx, window.pass_id)
    if window is None or stay is None or not made:
        return
    found = await ctx.service.find_intents(window_id, made[0].created_at_s - CLOCK_SKEW_S)
    ctx.step("listed")
    if found:
        await _adopt(ctx, window_id, found, made[-1])
    elif window.state == "asked" and not stay.pass_.settled:
        await _attempt(ctx, window_id)
    elif ctx.now_s() - made[-1].created_at_s < IN_FLIGHT_S:
        await postpone(ctx, made[-1], "given up; waiting to be sure that nothing comes of it")
    else:
        await _drop(ctx, window, made[-1])


async def _adopt(ctx: Context, window_id: str, found: Sequence[IntentFact], call: calls.StripeCall) -> None:
    """Two keys may have made two holds: the best is kept, the others are let go."""
    rank = {"succeeded": 0, "requires_capture": 1, "requires_action": 2, "processing": 3}
    first, *others = sorted(found, key=lambda one: rank.get(one.status, 9))
    await apply_intent(ctx, window_id, first, call)
    for other in others:
        if other.status not in {"canceled", "succeeded"}:
            await ctx.service.cancel_intent(other.payment_intent_id, f"cancel:{other.payment_intent_id}")


async def _next_key(ctx: Context, window_id: str, call: calls.StripeCall) -> None:
    """The key answers a failure for ever. A listing that finds nothing allows the next key."""
    found = await ctx.service.find_intents(window_id, call.created_at_s - CLOCK_SKEW_S)
    if found:
        await _adopt(ctx, window_id, found, call)
        return
    now_s = ctx.now_s()

    async def work(tx: Transaction) -> Sequence[Notice]:
        window = await windows.get_window(tx, window_id)
        stay = None if window is None else await find_stay(tx, window.pass_id)
        made = await calls.calls_of(tx, window_id, OPERATION)
        if window is None or stay is None or window.state != "asked":
            return ()
        await calls.set_call(tx, call.idempotency_key, "refused", note="nothing came of it")
        if len(made) < KEYS_MAX:
            await _begin(tx, ctx.settings, stay.order, window, now_s, attempt=len(made) + 1)
            return ()
        await windows.move_window(tx, window, "failed", failure="unavailable")
        return (_failed(stay.pass_, "unavailable"),)

    await ctx.write(work)


async def postpone(ctx: Context, call: calls.StripeCall, note: str) -> None:
    next_at_s = ctx.now_s() + min(2**call.attempts, BACKOFF_MAX_S)

    async def work(tx: Transaction) -> Sequence[Notice]:
        await calls.postpone_call(tx, call, next_at_s, note)
        return ()

    await ctx.write(work)


async def _declined(
    ctx: Context, window_id: str, call: calls.StripeCall, error: RefusedByServiceError
) -> None:
    """The bank's no, or the service's: nothing is held, and the call ends at the end of what is."""
    failure = (error.decline_code or error.code)[:64]
    log.info("hold_declined", window_id=window_id, failure=failure)

    async def work(tx: Transaction) -> Sequence[Notice]:
        await calls.set_call(tx, call.idempotency_key, "refused", note=str(error))
        window = await windows.get_window(tx, window_id)
        assert window is not None, "windows are never deleted"
        if window.state not in PENDING:
            return ()
        # The declined payment keeps its row's number: whoever looks for it finds why.
        await windows.move_window(
            tx, window, "failed", failure=failure, payment_intent_id=error.payment_intent_id
        )
        found = await passes.get_pass(tx, window.pass_id)
        assert found is not None, "windows refer to their pass"
        return (_failed(found, failure),)

    await ctx.write(work)


async def _drop(ctx: Context, window: Window, call: calls.StripeCall) -> None:
    """It is proved that no hold exists, and none is wanted any more."""

    async def work(tx: Transaction) -> Sequence[Notice]:
        await calls.set_call(tx, call.idempotency_key, "refused", note="nothing came of it")
        now = await windows.get_window(tx, window.id)
        if now is not None and now.state in PENDING:
            await windows.move_window(tx, now, "released")
        return ()

    await ctx.write(work)


def _failed(pass_: Pass, failure: str) -> Funding:
    return Funding(pass_.id, pass_.room_id, "funding_failed", failure=failure)


# --- what became of it ------------------------------------------------------------------------------------


async def look(ctx: Context, window: Window) -> None:
    """Asks the service about the payment behind a window, and applies it. Raises OutcomeUnknownError."""
    if window.payment_intent_id is None:
        return
    try:
        fact = await ctx.service.fetch_intent(window.payment_intent_id)
    except RefusedByServiceError as error:
        raise OutcomeUnknownError(str(error)) from error
    await apply_intent(ctx, window.id, fact)


async def look_again(ctx: Context, order: Order) -> None:
    """The payer's page asks: windows that wait for the bank are looked at, and what is still to be confirmed is told
    again. Raises OutcomeUnknownError."""
    async with ctx.db.read() as tx:
        found = await passes.pass_of_order(tx, order) if order.granted else None
        known = [] if found is None else await windows.windows_of(tx, found.id)
    for window in known:
        if window.state in PENDING:
            await look(ctx, window)


async def look_at_charged(ctx: Context, order: Order) -> None:
    """What was given back of an order that was paid for by use, over all its payments. Raises OutcomeUnknownError."""
    async with ctx.db.read() as tx:
        found = await passes.pass_of_order(tx, order) if order.granted else None
        known = [] if found is None else await windows.windows_of(tx, found.id)
    for window in known:
        if window.state == "settled" and window.charged_minor:
            await look(ctx, window)


async def look_at_intent(ctx: Context, payment_intent_id: str, reference: str) -> None:
    """An event named this payment: the window behind it, if there is one. Raises OutcomeUnknownError."""
    async with ctx.db.read() as tx:
        window = await windows.find_by_intent(tx, payment_intent_id)
        window = window or await windows.get_window(tx, reference)
    if window is None:
        return
    if window.payment_intent_id is None:
        await reconcile(ctx, window.id)
    else:
        await look(ctx, window)


async def apply_intent(
    ctx: Context, window_id: str, fact: IntentFact, call: calls.StripeCall | None = None
) -> None:
    """Moves a window to where its payment is; any number of times, in any order. `call`: the one that this answers."""
    now_s, now_text = ctx.now_s(), ctx.now_text()

    async def work(tx: Transaction) -> Sequence[Notice]:
        window = await windows.get_window(tx, window_id)
        stay = None if window is None else await find_stay(tx, window.pass_id)
        assert window is not None, "windows are never deleted"
        assert stay is not None, "the pass of a window is paid for by use"
        if call is not None:
            await calls.set_call(tx, call.idempotency_key, "done", result_id=fact.payment_intent_id)
        applying = _Applying(tx, stay, window, fact, now_s=now_s, now_text=now_text)
        await applying.run()
        return applying.notices

    await ctx.write(work)
    ctx.step("window_applied")


@dataclass(slots=True)
class _Applying:
    """One fact about one window, inside one transaction."""

    tx: Transaction
    stay: Stay
    window: Window
    fact: IntentFact
    now_s: int
    now_text: str
    notices: list[Notice] = field(default_factory=list)

    async def run(self) -> None:
        if self.window.payment_intent_id not in {None, self.fact.payment_intent_id}:
            return  # of an attempt that was given up
        if self._misfit() is not None:
            await self._put_aside(f"hold_{self._misfit()}")
            return
        handler = _BY_STATUS.get(self.fact.status)
        if handler is not None:
            await handler(self)

    def _misfit(self) -> str | None:
        window, fact = self.window, self.fact
        pairs = {
            "amount": (window.held_minor, fact.amount_minor),
            "currency": (window.currency, fact.currency),
            "mode": (window.mode, fact.mode),
            "account": (window.account, fact.account),
        }
        return next((name for name, (ours, theirs) in pairs.items() if ours != theirs), None)

    async def held(self) -> None:
        if self.window.state not in PENDING:
            return
        if self.stay.pass_.settled or self.stay.pass_.state not in OPEN_STATES:
            await self._let_go()
            return
        charge = self.fact.charge
        await self._move("held", capture_before_s=None if charge is None else charge.capture_before_s)
        seconds = self.window.length_ms // 1000
        await passes.extend_pass(self.tx, self.window.pass_id, seconds)
        self.notices.append(PassChanged(self.window.pass_id, self.stay.pass_.room_id))
        self._tell("funded", seconds=seconds)

    async def action(self) -> None:
        if self.window.state not in PENDING:
            return
        if self.stay.pass_.settled:
            await self._let_go()
            return
        await self._move("action")
        self._tell("action_needed", client_secret=self.fact.client_secret, action_url=self.fact.action_url)

    async def failed(self) -> None:
        failure = self.fact.failure or "declined"
        if self.window.state in PENDING:
            await self._move("failed", failure=failure)
            self._tell("funding_failed", failure=failure)

    async def canceled(self) -> None:
        if self.window.state in PENDING:
            over = self.stay.pass_.settled
            await self._move("released" if over else "failed", failure=None if over else "expired")
            if not over:
                self._tell("funding_failed", failure="expired")
        elif self.window.state == "settling":
            if self.window.charged_minor:
                await self._put_aside("hold_lapsed")
            await self._settled(0)

    async def captured(self) -> None:
        if self.window.state in PENDING:
            await self.held()
        elif self.window.state == "settling":
            await self._settled(self.fact.received_minor)
        elif self.window.state == "settled":
            await self._refunded()

    async def _refunded(self) -> None:
        """Given back of what this window was charged, wherever that was done."""
        window, order = self.window, self.stay.order
        seen_minor = 0 if self.fact.charge is None else self.fact.charge.refunded_minor
        delta_minor = min(seen_minor, window.charged_minor or 0) - window.refunded_minor
        if delta_minor <= 0:
            return
        await self._move("settled", refunded_minor=window.refunded_minor + delta_minor)
        await self._post(
            books.refund(window.id, order.room, window.refunded_minor, delta_minor, order.currency)
        )
        changed = after(order.snapshot(), (RecordRefund(delta_minor),))
        await update_order(
            self.tx, order.id, state=changed.state, refunded_minor=order.refunded_minor + delta_minor
        )
        self.notices.append(PassChanged(window.pass_id, self.stay.pass_.room_id))

    async def _settled(self, charged_minor: int) -> None:
        """What was really taken is booked, whatever was meant to be."""
        window, order = self.window, self.stay.order
        await self._move("settled", charged_minor=charged_minor)
        if charged_minor:
            await self._book(charged_minor)
        others = [one for one in self.stay.windows if one.state in BACKED and one.id != window.id]
        if all(one.state == "settled" for one in others):
            total_minor = charged_minor + sum(one.charged_minor or 0 for one in others)
            await update_order(self.tx, order.id, charged_minor=total_minor)
        self.notices.append(PassChanged(window.pass_id, self.stay.pass_.room_id))

    async def _book(self, charged_minor: int) -> None:
        order = self.stay.order
        await self._post(books.payment_captured(self.window.id, order.room, charged_minor, order.currency))

    async def _post(self, transfer: books.Transfer) -> None:
        order = self.stay.order
        entry = Entry(transfer, order.mode, order.account, order.id)
        if await post_transfer(self.tx, entry, self.now_text) == "exists_different":
            raise RuntimeError(f"another transfer is booked as {transfer.id}")

    async def _let_go(self) -> None:
        """Too late to be of use: nothing of it is kept."""
        await self._move(self.window.state)
        await ask_release(self.tx, self.window.id, now_s=self.now_s, created_at=self.now_text)
        self.notices.append(OutboxFilled())

    async def _move(self, state: Any, **values: Any) -> None:
        known = {"payment_intent_id": self.fact.payment_intent_id}
        await windows.move_window(self.tx, self.window, state, **known | values)

    async def _put_aside(self, reason: str) -> None:
        log.error("hold_put_aside", window_id=self.window.id, reason=reason)
        payload = {name: value for name, value in asdict(self.fact).items() if name != "client_secret"}
        await inbox.put_in_quarantine(
            self.tx,
            quarantine_id=f"{self.window.id}:{reason}",
            reason=reason,
            subject_id=self.window.id,
            payload=payload,
            created_at=self.now_text,
        )

    def _tell(self, kind: Any, **about: Any) -> None:
        self.notices.append(Funding(self.window.pass_id, self.stay.pass_.room_id, kind, **about))


_BY_STATUS: Mapping[str, Callable[[_Applying], Awaitable[None]]] = {
    "requires_capture": _Applying.held,
    "requires_action": _Applying.action,
    "requires_payment_method": _Applying.failed,
    "canceled": _Applying.canceled,
    "succeeded": _Applying.captured,
}


async def ask_release(tx: Transaction, window_id: str, *, now_s: int, created_at: str) -> None:
    """The payment behind a window that was never granted is to be canceled."""
    await outbox.add(
        tx,
        outbox_id=f"release:{window_id}",
        kind="release_window",
        subject_id=window_id,
        payload={},
        now_s=now_s,
        created_at=created_at,
    )
