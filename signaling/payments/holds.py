"""Holds behind the windows of a stay: what became of each, applied.

`apply_intent` is the one function that moves a window, woken by the call that asked for it, a webhook, the payer's page,
reconciliation or settling: any number of times, in any order.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import structlog

from metering.disputes import worst_dispute
from metering.funding import BACKED, PENDING
from metering.orders import Decision, RecordDispute, after
from metering.tariff import Metered, Wallet, Windowed, parse_tariff
from signaling.notices import Funding, Notice, OutboxFilled, PassChanged
from signaling.payments import goneback, seenrefunds
from signaling.payments.context import Context
from signaling.payments.port import IntentFact, OutcomeUnknownError, RefusedByServiceError
from signaling.payments.sales import about, sale_of_window
from signaling.stores import earnings, inbox, outbox, passes, windows
from signaling.stores import refunds as calls
from signaling.stores.database import Transaction
from signaling.stores.orders import BY_USE, Order, orders_of_pass, update_order
from signaling.stores.passes import Pass
from signaling.stores.windows import Window

log = structlog.get_logger()

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


def funding_failed(pass_: Pass, failure: str) -> Funding:
    return Funding(pass_.id, pass_.room_id, "funding_failed", failure=failure)


async def look(ctx: Context, window: Window, *, also_sent_back: bool = False) -> None:
    """Asks the service about the payment behind a window, and applies it. `also_sent_back`: with refunds of which its
    charge shows nothing. Raises OutcomeUnknownError."""
    if window.payment_intent_id is None:
        return
    try:
        fact = await ctx.service.fetch_intent(window.payment_intent_id)
        if also_sent_back and not fact.refunds:
            fact = replace(fact, refunds=await ctx.service.list_refunds(window.payment_intent_id))
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
    """What went back of an order that was paid for by use, over all its payments. Raises OutcomeUnknownError."""
    async with ctx.db.read() as tx:
        found = await passes.pass_of_order(tx, order) if order.granted else None
        known = [] if found is None else await windows.windows_of(tx, found.id)
        is_refunded = bool(await seenrefunds.expected(tx, order.id))
    for window in known:
        if window.state == "settled" and window.charged_minor:
            await look(ctx, window, also_sent_back=is_refunded)


async def apply_intent(
    ctx: Context, window_id: str, fact: IntentFact, call: calls.StripeCall | None = None
) -> None:
    """Moves a window to where its payment is; any number of times, in any order. `call`: the one that this answers."""
    now = earnings.Now(ctx.now_s(), ctx.now_text())

    async def work(tx: Transaction) -> Sequence[Notice]:
        if call is not None:
            await calls.set_call(tx, call.idempotency_key, "done", result_id=fact.payment_intent_id)
        return await apply_now(tx, ctx, window_id, fact, now)

    await ctx.write(work)
    ctx.step("window_applied")


async def apply_now(
    tx: Transaction, ctx: Context, window_id: str, fact: IntentFact, now: earnings.Now
) -> Sequence[Notice]:
    """The same, inside a transaction that does more."""
    window = await windows.get_window(tx, window_id)
    stay = None if window is None else await find_stay(tx, window.pass_id)
    assert window is not None, "windows are never deleted"
    assert stay is not None, "the pass of a window is paid for by use"
    applying = _Applying(tx, stay, window, fact, now, holding_days=ctx.settings.earnings_days)
    await applying.run()
    return applying.notices


@dataclass(slots=True)
class _Applying:
    """One fact about one window, inside one transaction."""

    tx: Transaction
    stay: Stay
    window: Window
    fact: IntentFact
    now: earnings.Now
    holding_days: int
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
            await self._taken_back()

    async def _taken_back(self) -> None:
        """Given back of what this window was charged, wherever that was done, or taken by the payer's bank."""
        window, order, fact = self.window, self.stay.order, self.fact
        sold = goneback.Sold(window.id, order.id, window.charged_minor or 0, window.refunded_minor)
        refunded_minor = 0 if fact.charge is None else fact.charge.refunded_minor
        seen = goneback.Seen(refunded_minor, fact.refunds, fact.disputes)
        gone = await goneback.book(self.tx, sold, seen, self.now)
        decisions: list[Decision] = list(gone.refunds)
        dispute, lost_minor = window.dispute, window.lost_minor + gone.more_lost_minor
        if gone.moves:
            dispute = worst_dispute(one.state for one in gone.disputes)
            others = [one.dispute for one in self.stay.windows if one.id != window.id]
            decisions.append(RecordDispute(worst_dispute([dispute, *others]), gone.more_lost_minor))
        if not decisions:
            return
        await self._move(
            "settled", refunded_minor=gone.refunded_minor, dispute=dispute, lost_minor=lost_minor
        )
        changed = after(order.snapshot(), tuple(decisions))
        await update_order(
            self.tx,
            order.id,
            state=changed.state,
            refunded_minor=changed.refunded_minor,
            dispute=changed.dispute,
            lost_minor=changed.lost_minor,
        )
        self.notices.append(PassChanged(window.pass_id, self.stay.pass_.room_id))

    async def _settled(self, charged_minor: int) -> None:
        """What was really taken is booked, whatever was meant to be."""
        window, order = self.window, self.stay.order
        await self._move("settled", charged_minor=charged_minor)
        await calls.close_open_calls(self.tx, window.id, self.fact.payment_intent_id)
        if charged_minor:
            await self._book_sale(charged_minor)
        others = [one for one in self.stay.windows if one.state in BACKED and one.id != window.id]
        if all(one.state == "settled" for one in others):
            total_minor = charged_minor + sum(one.charged_minor or 0 for one in others)
            await update_order(self.tx, order.id, charged_minor=total_minor)
        self.notices.append(PassChanged(window.pass_id, self.stay.pass_.room_id))

    async def _book_sale(self, charged_minor: int) -> None:
        order, charge = self.stay.order, self.fact.charge
        kept = await about(self.tx, order, self.holding_days, None if charge is None else charge.charge_id)
        await earnings.book_sale(self.tx, sale_of_window(order, self.window, charged_minor), kept, self.now)

    async def _let_go(self) -> None:
        """Too late to be of use: nothing of it is kept."""
        await self._move(self.window.state)
        await ask_release(self.tx, self.window.id, now_s=self.now.s, created_at=self.now.text)
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
            created_at=self.now.text,
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
