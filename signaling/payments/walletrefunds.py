"""What a settled call that credits paid for gives back: credits again, in the payer's wallet, by our own books alone.

One transaction records and books it, so there is nothing to ask the payment service for and nothing to try again.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from metering import accounts, chart
from metering.orders import after
from metering.refunds import RecordRefund
from signaling.notices import Notice, PassChanged
from signaling.payments.wallets import book, credits_of, key_of, tell_credited
from signaling.stores import earnings, passes, people, refunds
from signaling.stores.database import Transaction
from signaling.stores.orders import Order, update_order


@dataclass(frozen=True, slots=True)
class Back:
    """One refund of a wallet's call. `refund_id`: it is booked once for each."""

    refund_id: str
    reason: str
    amount_minor: int


async def has_payer(tx: Transaction, order: Order) -> bool:
    """Whether there is still somebody whose wallet it goes back to."""
    user = None if order.user_id is None else await people.by_id(tx, order.user_id)
    return user is not None and not user.is_erased


async def give_back(
    tx: Transaction, order: Order, found: passes.Pass, back: Back, now: earnings.Now
) -> Sequence[Notice]:
    """Out of the host's part and the platform's fee in proportion, into the wallet; what the payer owes is paid of it
    first. A repeat changes nothing. Raises BooksError."""
    row = refunds.Refund(
        id=back.refund_id,
        order_id=order.id,
        amount_minor=back.amount_minor,
        currency=order.currency,
        reason=back.reason,
        state="succeeded",
        stripe_refund_id=None,
        created_at=now.text,
    )
    if back.amount_minor <= 0 or not await refunds.insert_refund(tx, row):
        return ()
    key = key_of(order)
    owed_minor = (await credits_of(tx, key)).owed_minor
    gone_minor, wallet = order.refunded_minor, accounts.wallet(key.user_id)
    await earnings.book_refund(tx, found.id, gone_minor, back.amount_minor, now, paid_by=wallet)
    repaid_minor = min(owed_minor, back.amount_minor)
    repaid = chart.shortfall_repaid(back.refund_id, key.user_id, repaid_minor, key.currency)
    await book(tx, order, repaid, now.text)
    changed = after(order.snapshot(), (RecordRefund(back.amount_minor),))
    await update_order(tx, order.id, state=changed.state, refunded_minor=changed.refunded_minor)
    return (PassChanged(found.id, found.room_id), *await tell_credited(tx, key))
