"""Decisions of `metering.orders` turned into rows, inside one transaction."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from metering.funding import Ask
from metering.ledger import Transfer
from metering.orders import (
    Decision,
    EndAccess,
    ExtendPass,
    GrantPass,
    MarkExpired,
    MarkFailed,
    MarkOpen,
    Nothing,
    OrderState,
    Quarantine,
    RecordDispute,
    RestoreAccess,
    after,
)
from metering.payouts import HOLDING_DAYS
from metering.refunds import RecordRefund, RefundFailed
from signaling.notices import Notice, OrderPaid, OutboxFilled, PassChanged
from signaling.payments import filling, frozencredits, topuprefunds
from signaling.payments.port import Checkout
from signaling.payments.sales import about, sale_of_order
from signaling.payments.seenrefunds import note_refunds
from signaling.payments.wallets import topup_ended
from signaling.stores import disputes, earnings, outbox, passes, promotions, rates, rooms, windows
from signaling.stores.database import Transaction
from signaling.stores.orders import BY_USE, UNPAID, Order, later_orders, update_order


@dataclass(frozen=True, slots=True)
class Stamp:
    """What a transaction that may run twice must be handed: a fresh pass id, the time, and for how long earnings are
    held."""

    pass_id: str
    now_s: int
    now_text: str
    holding_days: int = HOLDING_DAYS

    @property
    def now(self) -> earnings.Now:
        return earnings.Now(self.now_s, self.now_text)


class Application:
    """Applies decisions to one order. `notices` are to be published after the commit."""

    def __init__(self, tx: Transaction, order: Order, checkout: Checkout, stamp: Stamp) -> None:
        self.notices: list[Notice] = []
        self._tx = tx
        self._order = order
        self._checkout = checkout
        self._stamp = stamp
        self._values: dict[str, Any] = {}

    async def run(self, decisions: Sequence[Decision]) -> None:
        order = self._order
        changed = after(order.snapshot(), tuple(decisions))
        self._values["state"] = changed.state
        self._values["quarantine_reason"] = changed.quarantine_reason
        for decision in decisions:
            await _HANDLERS[type(decision)](self, decision)
        if order.quarantine_reason is None and self._values["quarantine_reason"] is None:
            self._note_payment(changed.state)
            # Of calls paid by use that is their windows' part: what is noted before it is booked is not asked for again.
            if order.funding not in BY_USE:
                await note_refunds(self._tx, order.id, self._checkout.refunds, self._stamp.now_text)
        if self._values["state"] not in UNPAID:
            self._values["reserved_until_s"] = None
        if order.state in UNPAID and self._values["state"] not in UNPAID:
            self.notices.extend(order.seat_freed())
            if order.purpose == "topup":
                failure = self._values.get("failure")
                self.notices.extend(await topup_ended(self._tx, order, failure, self._stamp.now_s))
        await update_order(self._tx, order.id, **self._values)
        if order.promotion_id is not None:
            await self._turn_code()

    async def _turn_code(self) -> None:
        """A code is used by who pays; whoever does not leaves it to others."""
        if self._order.granted or self._values.get("granted"):
            await promotions.keep(self._tx, self._order.id)
        elif self._values["state"] in {OrderState.EXPIRED, OrderState.CANCELED, OrderState.FAILED}:
            await promotions.give_back(self._tx, self._order.id)

    def _note_payment(self, state: OrderState) -> None:
        if self._checkout.fact.payment_intent_id is not None:
            self._values["payment_intent_id"] = self._checkout.fact.payment_intent_id
        self._values["failure"] = self._checkout.failure if state in {*UNPAID, OrderState.FAILED} else None

    # --- decisions ----------------------------------------------------------------------------------------

    async def mark_open(self, decision: MarkOpen) -> None:
        self._values["checkout_session_id"] = decision.checkout_session_id

    async def mark_expired(self, _decision: MarkExpired) -> None:
        if self._order.walked_away:
            self._values["state"] = OrderState.CANCELED

    async def grant(self, _decision: GrantPass) -> None:
        order, stamp = self._order, self._stamp
        if order.purpose == "topup":
            self._values |= {"granted": True, "paid_at": stamp.now_text, "paid_at_s": stamp.now_s}
            self.notices.extend(await filling.fill(self._tx, order, self._checkout, stamp.now_text))
            return
        room = await rooms.by_id(self._tx, order.room)
        assert room is not None, "orders refer to their room"
        await passes.grant_pass(
            self._tx, order, stamp.pass_id, stamp.now_text, may_publish=room.privacy == "confidential"
        )
        granted = await passes.pass_of_order(self._tx, order)
        assert granted is not None, "granted above"
        await self._paid(granted, granted_before_ms=0)

    async def extend(self, decision: ExtendPass) -> None:
        found = await passes.get_pass(self._tx, decision.pass_id)
        assert found is not None, "orders refer to the pass that they extend"
        await self._paid(found, granted_before_ms=found.granted_ms or 0)
        await passes.extend_pass(self._tx, found.id, decision.seconds)
        if found.funding == "free":  # free minutes that are paid for from now on
            await passes.set_funding(self._tx, found.id, self._order.funding)
        if found.state in {"refunded", "disputed", "revoked"}:  # it ended while the payer was paying
            now_s, now_text = self._stamp.now_s, self._stamp.now_text
            await outbox.ask_refund(self._tx, self._order.id, "unserved", now_s=now_s, created_at=now_text)
            self.notices.append(OutboxFilled())

    async def _paid(self, pass_: passes.Pass, *, granted_before_ms: int) -> None:
        order = self._order
        self._values |= {
            "granted": True,
            "granted_before_ms": granted_before_ms,
            "paid_at": self._stamp.now_text,
            "paid_at_s": self._stamp.now_s,
        }
        await rooms.mark_sold(self._tx, order.room)
        if order.funding == "metered":
            await self._open_first_window(pass_, granted_before_ms)
        elif order.funding != "subscription":  # whose invoices are the sales
            self._values["tax_minor"] = self._checkout.tax_minor
            await self._book_sale()
        extends = order.extends_pass_id is not None
        self.notices.append(
            OrderPaid(
                order_id=order.id,
                room_id=order.room,
                pass_id=pass_.id,
                name=pass_.name,  # as the others in the room know who paid
                amount_minor=order.amount_minor,
                currency=order.currency,
                seconds=order.seconds,
                extends=extends,
                by_use=order.funding in {"metered", "free"},  # there is no amount to tell the host
            )
        )
        self.notices.append(PassChanged(pass_.id, order.room))

    async def _book_sale(self) -> None:
        intent = self._checkout.intent
        charge_id = None if intent is None or intent.charge is None else intent.charge.charge_id
        kept = await about(self._tx, self._order, self._stamp.holding_days, charge_id)
        sold = replace(self._order, tax_minor=self._checkout.tax_minor)
        await earnings.book_sale(self._tx, sale_of_order(sold), kept, self._stamp.now)

    async def _open_first_window(self, pass_: passes.Pass, begins_ms: int) -> None:
        """The hold that the Checkout Session made; charged when the stay is settled, booked when it is charged."""
        order, intent = self._order, self._checkout.intent
        charge = None if intent is None else intent.charge
        card = None if charge is None else charge.card
        ask = Ask(1, begins_ms, (order.seconds or 0) * 1000, order.amount_minor)
        asked = windows.asked(
            ask,
            pass_id=pass_.id,
            mode=order.mode,
            account=order.account,
            kind="card",
            currency=order.currency,
            created_at=self._stamp.now_text,
        )
        await windows.insert_window(
            self._tx,
            replace(
                asked,
                state="held",
                payment_intent_id=self._checkout.fact.payment_intent_id,
                capture_before_s=None if charge is None else charge.capture_before_s,
            ),
        )
        await passes.set_funding(self._tx, pass_.id, order.funding)
        self._values |= {
            "capture_before_s": None if charge is None else charge.capture_before_s,
            "charge_id": None if charge is None else charge.charge_id,
            "fingerprint": None if card is None else card.fingerprint,
            "customer_id": self._checkout.customer_id,
            # Without a customer it cannot be used a second time.
            "payment_method_id": card.payment_method_id if card and self._checkout.customer_id else None,
        }

    async def record_refund(self, decision: RecordRefund) -> None:
        gone_minor, delta_minor = self._gone_minor, decision.amount_minor_delta
        self._values["refunded_minor"] = self._refunded_minor + delta_minor
        if self._order.purpose == "topup":
            held, now_text = await self._held_for_refunds(), self._stamp.now_text
            taken = await filling.take_back(
                self._tx, self._order, gone_minor, delta_minor, now_text, held=held
            )
            self.notices.extend(taken)
            return
        await earnings.book_refund(self._tx, self._order.id, gone_minor, delta_minor, self._stamp.now)

    async def refund_failed(self, decision: RefundFailed) -> None:
        order, gone_minor = self._order, self._gone_minor
        self._values["refunded_minor"] = self._refunded_minor - decision.amount_minor
        if order.purpose == "topup":
            back = filling.SentBack(decision.refund_id, "refund", gone_minor, decision.amount_minor)
            self.notices.extend(await filling.give_again(self._tx, order, back, self._stamp.now_text))
            return
        await earnings.book_failed_refund(
            self._tx,
            decision.refund_id,
            order.id,
            gone_minor,
            decision.amount_minor,
            self._stamp.now,
        )

    @property
    def _refunded_minor(self) -> int:
        """By now, of what is being applied too."""
        return int(self._values.get("refunded_minor", self._order.refunded_minor))

    @property
    def _gone_minor(self) -> int:
        """Refunds and lost disputes, of what is being applied too."""
        return self._refunded_minor + int(self._values.get("lost_minor", self._order.lost_minor))

    async def record_dispute(self, decision: RecordDispute) -> None:
        order, gone_minor = self._order, self._gone_minor
        lost_minor = int(self._values.get("lost_minor", order.lost_minor)) + decision.lost_minor
        self._values |= {"dispute": decision.dispute, "lost_minor": lost_minor}
        if order.purpose == "topup":
            await self._take_credits(decision, gone_minor)
            return
        await earnings.move_disputes(self._tx, order.id, decision.moves, gone_minor, self._stamp.now)

    async def _take_credits(self, decision: RecordDispute, gone_minor: int) -> None:
        tx, order, now_text = self._tx, self._order, self._stamp.now_text
        about = disputes.Disputed(order.id, order.id, order.mode, order.account, order.currency)
        await disputes.keep(tx, about, decision.moves, now_text)
        for move in decision.moves:
            if move.back_minor:
                back = filling.SentBack(move.back_id, "dispute_lost", gone_minor, move.back_minor)
                self.notices.extend(await filling.give_again(tx, order, back, now_text))
            elif move.taken_minor:
                lost = await filling.take_back(
                    tx, order, gone_minor, move.taken_minor, now_text, loss_id=move.loss_id
                )
                self.notices.extend(lost)
            gone_minor += move.taken_minor - move.back_minor
        self.notices.extend(await frozencredits.move(tx, order, gone_minor, now_text))

    async def _held_for_refunds(self) -> list[Transfer]:
        """For those of ours that the fact names; for all of them where it only says how much has gone back."""
        named = [one.reference for one in self._checkout.refunds if one.reference is not None]
        return await topuprefunds.holds_of(self._tx, self._order, named if self._checkout.refunds else None)

    async def end_access(self, decision: EndAccess) -> None:
        """An order's own pass ends; where other orders have put time on that pass too, theirs stays."""
        found = await passes.pass_of_order(self._tx, self._order)
        if self._order.access_ended:
            return  # by a refund that failed and was asked for again
        if found is None or (decision.reason == "disputed" and await self._keeps_access()):
            return
        self._values["access_ended"] = True
        order = self._order
        before_ms = self._values.get("granted_before_ms", order.granted_before_ms)
        later = await later_orders(self._tx, found.id, order, before_ms)
        others_live = any(not one.access_ended for one in later)
        if order.extends_pass_id is None and not others_live:
            await passes.end_pass(self._tx, found.id, decision.reason)
        else:
            await self._take_time(found, before_ms, later, decision)
        self.notices.append(PassChanged(found.id, order.room))

    async def _keeps_access(self) -> bool:
        """Whether this room lets payers in while their bank disputes the payment (rates, `dispute_access`)."""
        room = await rooms.by_id(self._tx, self._order.room)
        assert room is not None, "orders refer to their room"
        return bool((await rates.figures_of_room(self._tx, room)).get("dispute_access") == "keep")

    async def _take_time(
        self, found: passes.Pass, before_ms: int, later: Sequence[Order], decision: EndAccess
    ) -> None:
        own_ms = (self._order.seconds or 0) * 1000
        used_ms = await passes.used_so_far_ms(self._tx, found)
        unused_ms = own_ms - min(max(0, used_ms - before_ms), own_ms)
        taken_ms = await passes.shorten_pass(self._tx, found.id, unused_ms, decision.reason)
        self._values["taken_ms"] = taken_ms
        for one in later:  # their time begins so much earlier now
            await update_order(self._tx, one.id, granted_before_ms=one.granted_before_ms - taken_ms)

    async def restore_access(self, _decision: RestoreAccess) -> None:
        found = await passes.pass_of_order(self._tx, self._order)
        if found is None:
            return
        self._values |= {"access_ended": False, "taken_ms": 0}
        if self._order.taken_ms:
            await self._give_time_back(found, self._order.taken_ms)
        await passes.restore_pass(self._tx, found.id)
        self.notices.append(PassChanged(found.id, self._order.room))

    async def _give_time_back(self, found: passes.Pass, taken_ms: int) -> None:
        await passes.give_time_back(self._tx, found.id, taken_ms)
        for one in await later_orders(self._tx, found.id, self._order, self._order.granted_before_ms):
            await update_order(self._tx, one.id, granted_before_ms=one.granted_before_ms + taken_ms)

    async def nothing_more(self, _decision: Decision) -> None:
        """The new state says it all (the quarantine's row is written by the caller)."""


_HANDLERS: Mapping[type, Callable[[Application, Any], Awaitable[None]]] = {
    MarkOpen: Application.mark_open,
    MarkExpired: Application.mark_expired,
    MarkFailed: Application.nothing_more,
    GrantPass: Application.grant,
    ExtendPass: Application.extend,
    RecordRefund: Application.record_refund,
    RefundFailed: Application.refund_failed,
    RecordDispute: Application.record_dispute,
    EndAccess: Application.end_access,
    RestoreAccess: Application.restore_access,
    Quarantine: Application.nothing_more,
    Nothing: Application.nothing_more,
}
