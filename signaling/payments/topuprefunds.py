"""Top-ups given back on request: credits that nobody has spent leave the wallet, and their money goes back to the card.

While a refund is on its way its credits are held, from the moment at which it is asked for: the money's part as
`refund_hold:{refund}`, the gift's as `refund_hold_bonus:{refund}`. The holds are posted when the refund is booked, and
released when the payment service refuses it. What a bank sends back later is credits again, and nobody asks for it again
unasked: meanwhile they can be spent.
"""

from collections.abc import Iterable, Sequence

from metering import chart
from metering.ledger import Transfer
from metering.wallet import back_for_refund, refundable_minor
from signaling.notices import Notice
from signaling.payments import frozencredits
from signaling.payments.wallets import book, credits_of, entries_of, key_of, package_of, tell_credited
from signaling.stores import ledger, refunds
from signaling.stores.database import Transaction
from signaling.stores.orders import Order, get_order

HOLD = chart.REFUND_HOLD


async def most_minor(tx: Transaction, order: Order) -> int:
    """The most of its price that can go back now: what is left of it, as far as its credits are there to be spent."""
    spendable_minor = (await credits_of(tx, key_of(order))).spendable_minor
    return refundable_minor(package_of(order), await _gone_minor(tx, order), spendable_minor)


async def _gone_minor(tx: Transaction, order: Order) -> int:
    """What was asked for and is not booked yet counts as given back."""
    return max(order.refunded_minor, await refunds.asked_minor(tx, order.id)) + order.lost_minor


async def hold(tx: Transaction, order: Order, refund: refunds.Refund) -> bool:
    """Records the refund and holds its credits; False (and then nothing may be committed) when somebody was quicker."""
    key = key_of(order)
    back = back_for_refund(package_of(order), await _gone_minor(tx, order), refund.amount_minor)
    held = chart.topup_refund_held(refund.id, key.user_id, back.money_minor, back.bonus_minor, key.currency)
    if await ledger.post_all(tx, entries_of(order, held), refund.created_at) not in {"created", "exists"}:
        return False
    await refunds.insert_refund(tx, refund)
    return True


async def holds_of(tx: Transaction, order: Order, refund_ids: Iterable[str] | None) -> list[Transfer]:
    """Holds of these refunds of a top-up that are still open; None: of all of them."""
    known = [one.transfer for one in await ledger.open_holds(tx, order.id, HOLD)]
    if refund_ids is None:
        return known
    names = {name for one in refund_ids for name in chart.refund_hold_ids(one)}
    return [one for one in known if one.id in names]


async def release(tx: Transaction, refund_id: str, now_text: str) -> Sequence[Notice]:
    """Nothing came of it: its credits can be spent again, unless a bank looks into the top-up by now, and after what their
    owner owes is paid of them. Whoever is in a call on that wallet is told, as of a top-up."""
    refund = await refunds.get_refund(tx, refund_id)
    order = None if refund is None else await get_order(tx, refund.order_id)
    if order is None or order.purpose != "topup":
        return ()
    held = await holds_of(tx, order, [refund_id])
    if not held:
        return ()
    await book(tx, order, chart.topup_released(held), now_text)
    await frozencredits.adjust(tx, order, order.refunded_minor + order.lost_minor, now_text)
    await frozencredits.repay(tx, order, refund_id, sum(one.amount_minor for one in held), now_text)
    return await tell_credited(tx, key_of(order))
