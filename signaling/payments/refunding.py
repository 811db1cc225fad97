"""Carries refunds out: the pass ends where it should, the meter settles, then the payment service is asked, at least once
and with the same key until nothing can have come of it.

A purchase may have been paid in several payments (windows of use); a refund of it is then one for each, the latest
payment first. Of a subscription, which is paid invoice by invoice, a refund is of one of them. What the bank sends back
(`refund.failed`) is asked for again under a new id, a bounded number of times.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from metering.errors import RefusedError
from metering.policies import Amount, Sale, Seconds, Wanted, refund_minor
from signaling.notices import Notice, PassChanged
from signaling.payments import attempts, invoicerefunds, topuprefunds, walletrefunds
from signaling.payments.attempts import Errand
from signaling.payments.context import Context
from signaling.payments.errors import ImpossibleError, LaterError
from signaling.payments.port import PaymentService, RefundFact, RefusedByServiceError
from signaling.payments.settle import settle
from signaling.stores import earnings, outbox, passes, refunds, windows
from signaling.stores.database import Transaction
from signaling.stores.orders import BY_USE, Order, get_order
from signaling.stores.outbox import OutboxRow
from signaling.stores.shelf import Shelf
from signaling.stores.subscriptions import Invoice

OPERATION = "refunds.create"
ID_CHARS_MAX = 64
MS_PER_S = 1000
RETRIES_MAX = 3  # of a refund that the bank sent back, the first included
RETRY_AFTER_S = 3600
REFUNDABLE = frozenset({"payment", "metered", "wallet", "subscription"})
# Only what was used is ever taken, or time is not what was bought.
NOTHING_UNUSED = frozenset({"wallet", "subscription"})


def wanted_of(payload: dict[str, Any]) -> Wanted:
    """How much an outbox row asks for."""
    said = payload["amount_minor"]
    if said in {"unused", "all"}:
        return "unused" if said == "unused" else "all"
    return Seconds(int(payload["seconds"])) if said is None else Amount(int(said))


def ends_access(payload: dict[str, Any]) -> bool:
    """Nobody uses up time that is being given back; an amount that a person names leaves the access, unless told so."""
    said = payload.get("end_access")
    return payload["amount_minor"] == "unused" if said is None else bool(said)


async def sale_of(tx: Transaction, order: Order, found: passes.Pass | None) -> Sale:
    """What can be given back of an order. What was asked for and is not booked yet counts as given back."""
    gone_minor = max(order.refunded_minor, await refunds.asked_minor(tx, order.id))
    used_ms = 0 if found is None else max(0, found.used_ms - order.granted_before_ms)
    by_use = order.funding in BY_USE
    seconds = -(-used_ms // MS_PER_S) if by_use else order.seconds
    amount_minor = (order.charged_minor or 0) if by_use else order.amount_minor
    return Sale(amount_minor, order.currency, seconds, gone_minor + order.lost_minor, used_ms)


async def amount_of(tx: Transaction, order: Order, found: passes.Pass | None, payload: dict[str, Any]) -> int:
    """Minor units to give back. Raises RefusedError for time of a purchase without a length."""
    wanted = wanted_of(payload)
    if order.funding == "subscription":
        invoice = await _invoice(tx, order, payload)
        return refund_minor(await invoicerefunds.sale_of(tx, order, invoice), wanted)
    asked_minor = refund_minor(await sale_of(tx, order, found), wanted)
    if order.funding not in BY_USE:
        return 0 if order.dispute in {"open", "lost"} else asked_minor  # the bank has taken it already
    if wanted == "unused":
        return 0  # only what was used is ever charged
    if order.funding == "wallet":
        return asked_minor  # by our own books
    return min(asked_minor, sum(left_minor for _, left_minor in await _payments(tx, order, payload)))


async def _invoice(tx: Transaction, order: Order, payload: dict[str, Any]) -> Invoice:
    """The one that was chosen when it was asked for. Raises ImpossibleError."""
    invoice = await invoicerefunds.invoice_of(
        tx, order, payment_intent_id=str(payload.get("payment_intent_id"))
    )
    if invoice is None:
        raise ImpossibleError("no such invoice")
    return invoice


# --- one refund -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Ready:
    """Refunds that are recorded and may be asked for. `waits_for`: not yet, and why."""

    order: Order
    calls: tuple[refunds.StripeCall, ...] = ()
    notices: tuple[Notice, ...] = ()
    waits_for: str | None = None


async def refund(ctx: Context, row: OutboxRow) -> None:
    """Raises LaterError while the meter counts, ImpossibleError, OutcomeUnknownError."""
    now = earnings.Now(ctx.now_s(), ctx.now_text())
    ready = await ctx.db.write(lambda tx: _prepare(tx, row, now))
    for notice in ready.notices:
        ctx.notices.publish(notice)
    ctx.step("refund_prepared")
    if ready.waits_for is not None:
        raise LaterError(ready.waits_for, 1, counts=False)
    if not ready.calls:
        return
    for call in ready.calls:
        if call.state != "done":
            await _ask(ctx, ready.order, call)
    ctx.step("refunded")
    await settle(ctx, ready.order.id)


async def _prepare(tx: Transaction, row: OutboxRow, now: earnings.Now) -> _Ready:
    """Ends the pass, and once its meter stands still records how much is given back."""
    order = await get_order(tx, row.subject_id)
    if order is None or not order.granted:
        raise ImpossibleError("not a paid order")
    made = await _newest_calls(tx, row.id[:ID_CHARS_MAX])
    if made:
        return _Ready(order, made)
    if order.purpose == "topup":
        return _Ready(order, (await _begin_held(tx, order, row, now),))
    notices = await _end_pass(tx, order, row)
    is_unused = wanted_of(row.payload) == "unused"
    if order.funding not in REFUNDABLE or (is_unused and order.funding in NOTHING_UNUSED):
        return _Ready(order, notices=notices)  # nothing was paid by itself, or nothing of it can be unused
    found = await passes.pass_of_order(tx, order)
    waits_for = await _waits_for(tx, order, found)
    if waits_for is not None:
        return _Ready(order, notices=notices, waits_for=waits_for)
    try:
        amount_minor = await amount_of(tx, order, found, row.payload)
    except RefusedError as error:
        raise ImpossibleError(str(error)) from error
    if order.funding == "wallet":
        back = walletrefunds.Back(row.id[:ID_CHARS_MAX], str(row.payload["reason"]), amount_minor)
        return _Ready(order, notices=(*notices, *await _into_the_wallet(tx, order, found, back, now)))
    return _Ready(order, await _record(tx, order, row, amount_minor, now), notices)


async def _waits_for(tx: Transaction, order: Order, found: passes.Pass | None) -> str | None:
    """Why it is not known yet how much goes back; None: it is."""
    if found is None or order.funding == "subscription":
        return None
    if await passes.has_open_segment(tx, found.id):
        return "the meter still counts"
    if order.funding in BY_USE and not await _is_charged(tx, found):
        return "what was used is not charged yet"
    return None


async def _into_the_wallet(
    tx: Transaction, order: Order, found: passes.Pass | None, back: walletrefunds.Back, now: earnings.Now
) -> tuple[Notice, ...]:
    if found is None or not await walletrefunds.has_payer(tx, order):
        raise ImpossibleError("nobody's wallet is there for it")
    return tuple(await walletrefunds.give_back(tx, order, found, back, now))


async def _newest_calls(tx: Transaction, refund_id: str) -> tuple[refunds.StripeCall, ...]:
    """Of each payment that this refund gives back of."""
    found: list[refunds.StripeCall] = []
    while made := await refunds.calls_of(tx, piece_id(refund_id, len(found)), OPERATION):
        found.append(made[-1])
    return tuple(found)


def piece_id(refund_id: str, number: int) -> str:
    """Of the payment with that number, counted from 0."""
    return refund_id if number == 0 else f"{refund_id[: ID_CHARS_MAX - 4]}.{number + 1}"


async def _end_pass(tx: Transaction, order: Order, row: OutboxRow) -> tuple[Notice, ...]:
    found = await passes.pass_of_order(tx, order)
    if found is None or not ends_access(row.payload):
        return ()
    if found.state not in {"waiting", "active"} or not await passes.end_pass(tx, found.id, "refunded"):
        return ()
    return (PassChanged(found.id, order.room),)


async def _is_charged(tx: Transaction, found: passes.Pass) -> bool:
    """Whether what was used has been priced, and every hold is charged or let go."""
    known = await windows.windows_of(tx, found.id)
    return found.settled and all(one.state in {"settled", "released", "failed"} for one in known)


async def _record(
    tx: Transaction, order: Order, row: OutboxRow, amount_minor: int, now: earnings.Now
) -> tuple[refunds.StripeCall, ...]:
    made: list[refunds.StripeCall] = []
    for intent_id, left_minor in await _payments(tx, order, row.payload):
        part_minor = min(amount_minor, left_minor)
        if part_minor <= 0:
            continue
        piece = refunds.Refund(
            id=piece_id(row.id[:ID_CHARS_MAX], len(made)),
            order_id=order.id,
            amount_minor=part_minor,
            currency=order.currency,
            reason=str(row.payload["reason"]),
            state="asked",
            stripe_refund_id=None,
            created_at=now.text,
            payment_intent_id=intent_id,
        )
        await refunds.insert_refund(tx, piece)
        made.append(await _begin(tx, piece, intent_id, now.s))
        amount_minor -= part_minor
    return tuple(made)


async def _payments(tx: Transaction, order: Order, payload: dict[str, Any]) -> list[tuple[str, int]]:
    """The payments of an order with what can still go back of each, the latest first."""
    if order.funding == "subscription":
        invoice = await _invoice(tx, order, payload)
        left_minor = (await invoicerefunds.sale_of(tx, order, invoice)).left_minor
        return [(str(invoice.payment_intent_id), left_minor)]
    if order.funding not in BY_USE:
        return [(str(order.payment_intent_id), order.amount_minor)]
    found = await passes.pass_of_order(tx, order)
    known = [] if found is None else await windows.windows_of(tx, found.id)
    return [
        (one.payment_intent_id, one.refundable_minor)
        for one in reversed(known)
        if one.payment_intent_id is not None and one.refundable_minor > 0
    ]


async def _begin_held(tx: Transaction, order: Order, row: OutboxRow, now: earnings.Now) -> refunds.StripeCall:
    """Of a top-up: how much goes back was settled when it was asked for, and is held."""
    held = await refunds.get_refund(tx, row.id[:ID_CHARS_MAX])
    if held is None or order.payment_intent_id is None:
        raise ImpossibleError("nothing is held for it")
    return await _begin(tx, held, order.payment_intent_id, now.s)


async def _begin(tx: Transaction, refund: refunds.Refund, intent_id: str, now_s: int) -> refunds.StripeCall:
    params: dict[str, Any] = {
        "payment_intent": intent_id,
        "amount": refund.amount_minor,
        "metadata": {"refund_id": refund.id, "order_id": refund.order_id, "reason": refund.reason},
    }
    return await attempts.begin(tx, OPERATION, refund.id, params, first_key=refund.id, now_s=now_s)


# --- asking -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Asking(Errand[RefundFact]):
    """One refund as an errand."""

    operation: ClassVar[str] = OPERATION
    service: PaymentService
    refund_id: str

    @property
    def subject_id(self) -> str:
        return self.refund_id

    async def make(self, params: dict[str, Any], key: str) -> RefundFact:
        return await self.service.refund(params, key)

    async def find(self, first: refunds.StripeCall) -> Sequence[RefundFact]:
        found = await self.service.find_refund(str(first.params["payment_intent"]), self.refund_id)
        return () if found is None else (found,)

    def id_of(self, made: RefundFact) -> str:
        return made.refund_id

    async def done(self, tx: Transaction, made: RefundFact, _now: earnings.Now) -> Sequence[Notice]:
        state: refunds.RefundState = "succeeded" if made.status == "succeeded" else "asked"
        await refunds.set_refund(tx, self.refund_id, state, made.refund_id)
        return ()

    async def refused(
        self, tx: Transaction, _error: RefusedByServiceError, now: earnings.Now
    ) -> Sequence[Notice]:
        await refunds.set_refund(tx, self.refund_id, "failed", None)
        return await topuprefunds.release(tx, self.refund_id, now.text)


async def _ask(ctx: Context, order: Order, call: refunds.StripeCall) -> None:
    """Raises OutcomeUnknownError; ImpossibleError where it is refused, for the operator to see."""
    try:
        await attempts.carry_out(ctx, _Asking(ctx.service, call.subject_id), call)
    except RefusedByServiceError as error:
        await settle(ctx, order.id)  # a refund in the dashboard may have been quicker
        raise ImpossibleError(str(error)) from error


# --- what the bank sent back ------------------------------------------------------------------------------


async def retry_failed(ctx: Context) -> int:
    """Asks again for refunds that a bank sent back, an hour later, under the next id; how many."""
    now_s, now_text = ctx.now_s(), ctx.now_text()
    async with ctx.db.read() as tx:
        waiting = bool(await _to_retry(tx, ctx.settings.shelf))

    async def work(tx: Transaction) -> int:
        asked = 0
        for failed in await _to_retry(tx, ctx.settings.shelf):
            asked += await outbox.add(
                tx,
                outbox_id=_next_id(failed.id),
                kind="refund",
                subject_id=failed.order_id,
                payload={
                    "order_id": failed.order_id,
                    "amount_minor": failed.amount_minor,
                    "reason": failed.reason,
                    "payment_intent_id": failed.payment_intent_id,
                },
                now_s=now_s + RETRY_AFTER_S,
                created_at=now_text,
            )
        return asked

    return await ctx.db.write(work) if waiting else 0


async def _to_retry(tx: Transaction, shelf: Shelf) -> list[refunds.Refund]:
    failed = [one for one in await refunds.sent_back(tx, shelf=shelf) if attempt_of(one.id) < RETRIES_MAX]
    asked = await outbox.existing(tx, [_next_id(one.id) for one in failed]) if failed else set()
    return [one for one in failed if _next_id(one.id) not in asked]


def attempt_of(refund_id: str) -> int:
    """1 for the first; the id says how often it was asked for again."""
    _, mark, number = refund_id.rpartition("~")
    return int(number) if mark and number.isdigit() else 1


def _next_id(refund_id: str) -> str:
    first = refund_id.rpartition("~")[0] or refund_id
    return f"{first[: ID_CHARS_MAX - 3]}~{attempt_of(refund_id) + 1}"
