"""Money on its way to hosts: what is due of their sales is sent to their connected accounts, and asked back where it
went back to payers after that.

One transfer for each earning, drawn on the charge whose money it is; a wallet's sale has no charge and is sent from
the balance. A host's debt is kept from what is due to them before anything is sent. What cannot be asked back, since
the host has spent it, stays a debt.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import structlog

from metering import chart
from metering import payouts as rules
from signaling.notices import Notice, OutboxFilled
from signaling.payments import attempts, connect
from signaling.payments.attempts import Errand
from signaling.payments.context import Context
from signaling.payments.errors import ImpossibleError, LaterError
from signaling.payments.port import PaymentService, RefusedByServiceError, ReversalFact, TransferFact
from signaling.stores import earnings, ledger, outbox
from signaling.stores import payouts as store
from signaling.stores import refunds as calls
from signaling.stores.database import Transaction
from signaling.stores.earnings import Earning, Now
from signaling.stores.outbox import OutboxRow
from signaling.stores.payouts import BY_HAND, Payout

log = structlog.get_logger()

SEND = "transfer"  # kinds of the outbox
REVERSE = store.REVERSE
SENDING = "transfers.create"
REVERSING = "transfers.reversals.create"
# The balance is short, for example while payments of the last days are not available yet: no fault of anybody.
SHORT = frozenset({"balance_insufficient", "insufficient_funds"})
SHORT_AFTER_S = 3600
UNABLE = "insufficient_capabilities_for_transfer"
UNABLE_AFTER_S = 5
FAILURE_CHARS_MAX = 64


async def pay_out(ctx: Context) -> int:
    """Asks for what is due to be sent, and for what is to come back; how much of it there was."""
    if not ctx.settings.connect:
        return 0
    books, now = (ctx.settings.mode, ctx.settings.account), Now(ctx.now_s(), ctx.now_text())
    async with ctx.db.read() as tx:
        due = await store.payable_earnings(tx, *books)
        owing = await store.owing_earnings(tx, *books)

    async def work(tx: Transaction) -> int:
        asked = [await _ask_to_send(tx, one, now) for one in due]
        return sum(asked) + sum([await _ask_back(tx, one, now) for one in owing])

    if not due and not owing:
        return 0
    asked = await ctx.db.write(work)
    ctx.step("payouts_asked")
    return asked


# --- what is asked for ------------------------------------------------------------------------------------


async def _ask_to_send(tx: Transaction, earning_id: str, now: Now) -> int:
    row = await earnings.get_earning(tx, earning_id)
    assert row is not None, "earnings are never deleted"
    host = await store.connected_of(tx, row.payee, row.mode, row.account)
    if host is None or host.connected_id is None or not host.can_receive:
        return 0
    row = await _keep_debts(tx, row, now)
    amount_minor = rules.payable_minor(row.plain())
    before = await store.payouts_of_earning(tx, row.id)
    if amount_minor == 0 or any(one.state == "asked" for one in before):
        return 0
    payout = Payout(
        id=f"po_{row.id}:{len(before) + 1}",
        mode=row.mode,
        account=row.account,
        payee=row.payee,
        earning_id=row.id,
        connected_id=host.connected_id,
        amount_minor=amount_minor,
        reversed_minor=0,
        currency=row.currency,
        state="asked",
        transfer_id=None,
        failure=None,
        created_at=now.text,
    )
    await store.insert_payout(tx, payout)
    await earnings.set_earning(tx, row.id, paid_minor=row.paid_minor + amount_minor)
    await _book(tx, row, chart.paid_out(payout.id, row.payee, amount_minor, row.currency), now)
    await _begin(tx, payout, row, now.s)
    return await outbox.add(
        tx, outbox_id=payout.id, kind=SEND, subject_id=payout.id, payload={}, now_s=now.s, created_at=now.text
    )


async def _keep_debts(tx: Transaction, row: Earning, now: Now) -> Earning:
    """Keeps the debts of the payee's other sales from this one, as far as it goes. What is being asked back is not kept
    as well."""
    debtors = {one.id: one for one in await store.debtors(tx, row)}
    plain = []
    for one in debtors.values():
        asked_minor = sum((await store.asked_back(tx, one.id)).values())
        plain.append(replace(one.plain(), paid_minor=one.paid_minor - asked_minor))
    for part in rules.withhold(row.plain(), plain):
        debtor, amount_minor = debtors[part.of], part.amount_minor
        kept, _ = rules.settle_debt(row.plain(), debtor.plain(), amount_minor)
        number = len(await ledger.ids_of(tx, row.order_id, "withheld"))
        moved = chart.debt_withheld(row.id, number, row.payee, amount_minor, row.currency)
        await _book(tx, row, moved, now)
        await earnings.set_earning(tx, row.id, withheld_minor=kept.withheld_minor)
        await earnings.set_earning(tx, debtor.id, withheld_minor=debtor.withheld_minor - amount_minor)
        row = replace(row, withheld_minor=kept.withheld_minor)
    return row


async def _begin(tx: Transaction, payout: Payout, row: Earning, now_s: int) -> calls.StripeCall:
    params: dict[str, Any] = {
        "amount": payout.amount_minor,
        "currency": payout.currency,
        "destination": payout.connected_id,
        "metadata": {"reference": payout.id, "earning_id": row.id},
    }
    # The money of this very charge: sent even while the rest of the balance is not available yet. Its group is the
    # charge's own.
    is_covered = row.charge_id is not None and await _has_left(tx, row, payout.amount_minor)
    params |= {"source_transaction": row.charge_id} if is_covered else {"transfer_group": row.id}
    return await attempts.begin(tx, SENDING, payout.id, params, first_key=payout.id, now_s=now_s)


async def _has_left(tx: Transaction, row: Earning, amount_minor: int) -> bool:
    """Whether so much of its charge was not sent yet: no transfers of a charge may come to more than it. They would where
    a refund was sent back by the bank after its debt had been kept from other sales: these sent too little instead."""
    before = await store.payouts_of_earning(tx, row.id)
    sent_minor = sum(one.amount_minor - one.reversed_minor for one in before if one.state == "sent")
    return sent_minor + amount_minor <= row.gross_minor


async def _ask_back(tx: Transaction, earning_id: str, now: Now) -> int:
    """Once for each change of what went back: what is refused then stays a debt, to be kept from later earnings."""
    row = await earnings.get_earning(tx, earning_id)
    assert row is not None, "earnings are never deleted"
    waiting = await store.asked_back(tx, earning_id)
    sent = [
        replace(one.sent, reversed_minor=one.reversed_minor + waiting.get(one.id, 0))
        for one in await store.payouts_of_earning(tx, earning_id)
        if one.state == "sent"
    ]
    asked = 0
    for part in rules.to_reverse(row.plain(), sent, sum(waiting.values())):
        asked += await outbox.add(
            tx,
            outbox_id=f"reverse:{part.of}:{row.reversed_minor}",
            kind=REVERSE,
            subject_id=part.of,
            payload={"amount_minor": part.amount_minor, "earning_id": earning_id},
            now_s=now.s,
            created_at=now.text,
        )
    return asked


# --- sending ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Sending(Errand[TransferFact]):
    """One transfer as an errand."""

    operation: ClassVar[str] = SENDING
    service: PaymentService
    payout_id: str

    @property
    def subject_id(self) -> str:
        return self.payout_id

    async def make(self, params: dict[str, Any], key: str) -> TransferFact:
        return await self.service.create_transfer(params, key)

    async def find(self, first: calls.StripeCall) -> Sequence[TransferFact]:
        group = first.params.get("transfer_group")
        return await self.service.find_transfers(self.payout_id, attempts.since_s(first), group)

    def id_of(self, made: TransferFact) -> str:
        return made.transfer_id

    async def done(self, tx: Transaction, made: TransferFact, _now: Now) -> Sequence[Notice]:
        await store.set_payout(tx, self.payout_id, state="sent", transfer_id=made.transfer_id, failure=None)
        return ()

    async def refused(self, tx: Transaction, error: RefusedByServiceError, _now: Now) -> Sequence[Notice]:
        await store.set_payout(tx, self.payout_id, failure=error.code[:FAILURE_CHARS_MAX])
        return ()


async def send(ctx: Context, row: OutboxRow) -> None:
    """Raises LaterError while the balance is short, ImpossibleError for what a person must see to,
    OutcomeUnknownError."""
    now = Now(ctx.now_s(), ctx.now_text())
    ready = await ctx.db.write(lambda tx: _prepare(tx, row.subject_id, now))
    if ready is None:
        return
    ctx.step("transfer_prepared")
    payout, call = ready
    try:
        await attempts.carry_out(ctx, _Sending(ctx.service, payout.id), call)
    except RefusedByServiceError as error:
        await _refused(ctx, payout, error)
    else:
        log.info("payout_sent", payout_id=payout.id, amount_minor=payout.amount_minor)


async def _prepare(tx: Transaction, payout_id: str, now: Now) -> tuple[Payout, calls.StripeCall] | None:
    """The call to make, None when there is nothing left to do. After a refusal nothing of it exists: it is given up
    where it is not wanted any more, else asked for with the next key."""
    payout = await store.get_payout(tx, payout_id)
    assert payout is not None, "stored before the outbox' row"
    if payout.state != "asked":
        return None
    earning = await earnings.get_earning(tx, payout.earning_id)
    assert earning is not None, "earnings are never deleted"
    call = (await calls.calls_of(tx, payout_id, SENDING))[-1]
    if call.state != "refused":
        return payout, call
    host = await store.connected_of(tx, payout.payee, payout.mode, payout.account)
    wanted = not earning.disputed_minor and earning.plain().debt_minor == 0
    if not wanted or host is None or not host.can_receive or host.connected_id != payout.connected_id:
        await _give_up(tx, payout, earning, now)
        return None
    return payout, await _begin(tx, payout, earning, now.s)


async def _refused(ctx: Context, payout: Payout, error: RefusedByServiceError) -> None:
    """An account that cannot receive is waited for: the earning is the host's again, and sent once it can."""
    log.warning("payout_refused", payout_id=payout.id, error=str(error))
    if error.code in SHORT:
        raise LaterError(str(error), SHORT_AFTER_S, counts=False)
    host = await connect.refresh(ctx, payout.payee)
    if host is not None and host.can_receive:
        if error.code == UNABLE:  # it was, and is not any more
            raise LaterError(str(error), UNABLE_AFTER_S, counts=False)
        raise ImpossibleError(str(error))
    now = Now(ctx.now_s(), ctx.now_text())
    await ctx.db.write(lambda tx: _prepare(tx, payout.id, now))


async def _give_up(tx: Transaction, payout: Payout, earning: Earning, now: Now) -> None:
    debt_minor = min(payout.amount_minor, earning.plain().debt_minor)
    await store.set_payout(tx, payout.id, state="failed")
    await _come_back(tx, payout, earning, payout.amount_minor, debt_minor, now)


# --- coming back ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Reversing(Errand[ReversalFact]):
    """One reversal as an errand."""

    operation: ClassVar[str] = REVERSING
    service: PaymentService
    transfer_id: str
    reference: str

    @property
    def subject_id(self) -> str:
        return self.reference

    async def make(self, params: dict[str, Any], key: str) -> ReversalFact:
        return await self.service.reverse_transfer(self.transfer_id, params, key)

    async def find(self, _first: calls.StripeCall) -> Sequence[ReversalFact]:
        made = await self.service.list_reversals(self.transfer_id)
        return [one for one in made if one.reference == self.reference]

    def id_of(self, made: ReversalFact) -> str:
        return made.reversal_id

    async def done(self, _tx: Transaction, _made: ReversalFact, _now: Now) -> Sequence[Notice]:
        """Booked from what the transfer then shows."""
        return ()

    async def refused(self, _tx: Transaction, _error: RefusedByServiceError, _now: Now) -> Sequence[Notice]:
        """It stays a debt."""
        return ()


async def reverse(ctx: Context, row: OutboxRow) -> None:
    """Raises OutcomeUnknownError."""
    now_s = ctx.now_s()

    async def prepare(tx: Transaction) -> tuple[Payout | None, calls.StripeCall]:
        payout = await store.get_payout(tx, row.subject_id)
        made = await calls.calls_of(tx, row.id, REVERSING)
        if made:
            return payout, made[-1]
        params = {"amount": row.payload["amount_minor"], "metadata": {"reference": row.id}}
        return payout, await attempts.begin(tx, REVERSING, row.id, params, first_key=row.id, now_s=now_s)

    payout, call = await ctx.db.write(prepare)
    assert payout is not None, "stored before it was sent"
    assert payout.transfer_id is not None, "only what was sent is asked back"
    ctx.step("reversal_prepared")
    if call.state not in {"done", "refused"}:
        try:
            await attempts.carry_out(ctx, _Reversing(ctx.service, payout.transfer_id, row.id), call)
        except RefusedByServiceError as error:
            log.warning("reversal_refused", payout_id=payout.id, error=str(error))
    await look(ctx, payout.id)


async def look(ctx: Context, payout_id: str) -> bool:
    """Books what of a transfer came back, wherever that was done. False for one that is not ours, or not known to be sent
    yet. Raises OutcomeUnknownError."""
    async with ctx.db.read() as tx:
        payout = await store.get_payout(tx, payout_id)
    if payout is None or payout.transfer_id is None:
        return False
    if not ctx.settings.shelf.holds(payout.mode, payout.account):
        return False
    made = await ctx.service.list_reversals(payout.transfer_id)
    total_minor = sum(one.amount_minor for one in made)
    by_hand = any(not (one.reference or "").startswith("reverse:") for one in made)
    now = Now(ctx.now_s(), ctx.now_text())

    async def work(tx: Transaction) -> Sequence[Notice]:
        known = await store.get_payout(tx, payout_id)
        earning = None if known is None else await earnings.get_earning(tx, known.earning_id)
        assert known is not None, "payouts are never deleted"
        assert earning is not None, "earnings are never deleted"
        delta_minor = total_minor - known.reversed_minor
        if delta_minor > 0:
            debt_minor = min(delta_minor, earning.plain().debt_minor)
            await _come_back(tx, known, earning, delta_minor, debt_minor, now)
            failure = BY_HAND if by_hand else known.failure
            await store.set_payout(tx, payout_id, reversed_minor=total_minor, failure=failure)
        return (OutboxFilled(),) if delta_minor > 0 else ()

    await ctx.write(work)
    return True


async def _come_back(  # noqa: PLR0917 - what is booked
    tx: Transaction, payout: Payout, earning: Earning, amount_minor: int, debt_minor: int, now: Now
) -> None:
    moved = chart.payout_reversed(
        payout.id,
        payout.reversed_minor,
        payout.payee,
        amount_minor,
        debt_minor,
        payout.currency,
        place=earning.state,
    )
    await _book(tx, earning, moved, now)
    await earnings.came_back(tx, earning, amount_minor, now)


async def _book(tx: Transaction, row: Earning, moved: Sequence[Any], now: Now) -> None:
    entries = [ledger.Entry(one, row.mode, row.account, row.order_id) for one in moved]
    await ledger.require_posted(tx, entries, now.text)
