"""Credits of a top-up that wait while the payer's bank looks into its payment, for it has taken the money back meanwhile.

Frozen is what the open disputes are about, with its part of the gift, as far as it is unspent; credits that came first
are spent first. It stands as holds on the wallet (`dispute_hold:{order}:{n}`, the gift's `dispute_hold_bonus:...`), a new
one for each change: posted as far as a dispute is lost, released when it is won.
"""

from collections.abc import Sequence

from metering import chart
from metering.disputes import open_minor
from metering.ledger import Transfer
from metering.wallet import frozen_by_disputes, unspent_minor
from signaling.notices import Notice
from signaling.payments.wallets import book, credits_of, key_of, package_of, tell_credited, tell_inside
from signaling.stores import disputes, ledger, wallets
from signaling.stores.database import Transaction
from signaling.stores.orders import Order

HOLD = chart.DISPUTE_HOLD


async def holds_of(tx: Transaction, order: Order) -> list[Transfer]:
    """What waits of a top-up: holds that are open."""
    return [one.transfer for one in await ledger.open_holds(tx, order.id, HOLD)]


async def adjust(
    tx: Transaction, order: Order, gone_minor: int, now_text: str, *, released_minor: int = 0
) -> int:
    """As much of the top-up waits from now on as its open disputes are about (`gone_minor` of it has gone back). By how
    much that is more than before. `released_minor`: waited until this transaction let it go, and is not spent."""
    key, held = key_of(order), await holds_of(tx, order)
    known = await disputes.disputes_of(tx, order.id)
    if not known:
        return 0
    before_minor = sum(one.amount_minor for one in held)
    available_minor = (await credits_of(tx, key)).available_minor
    released_minor = min(released_minor, available_minor)  # the gift's part may have been taken out of it
    later_minor = await wallets.later_credits_minor(tx, key, order.id)
    wanted = frozen_by_disputes(
        package_of(order),
        gone_minor,
        open_minor(known),
        unspent_minor(available_minor - released_minor, later_minor, before_minor + released_minor),
    )
    number = len(await ledger.ids_of(tx, order.id, HOLD)) + 1
    frozen = chart.topup_frozen(
        f"{order.id}:{number}", key.user_id, wanted.money_minor, wanted.bonus_minor, key.currency
    )
    if _amounts(frozen) != _amounts(held):
        await book(tx, order, (*chart.topup_released(held), *frozen), now_text)
    return wanted.credit_minor - before_minor


def _amounts(held: Sequence[Transfer]) -> dict[str, int]:
    """By what they are of, money or gift."""
    return {one.credit: one.amount_minor for one in held}


async def move(tx: Transaction, order: Order, gone_minor: int, now_text: str) -> Sequence[Notice]:
    """Disputes of the top-up were opened or decided. What is free again pays first what its owner owes; whoever is in a call
    on that wallet is told."""
    more_minor = await adjust(tx, order, gone_minor, now_text)
    key = key_of(order)
    if more_minor > 0:
        found = await credits_of(tx, key)
        return await tell_inside(tx, key, "balance_low", balance_minor=found.spendable_minor)
    if more_minor == 0:
        return ()
    number = len(await ledger.ids_of(tx, order.id, HOLD))
    await repay(tx, order, f"{HOLD}:{order.id}:{number}", -more_minor, now_text)
    return await tell_credited(tx, key)


async def repay(tx: Transaction, order: Order, name: str, released_minor: int, now_text: str) -> None:
    """Credits that are free again pay what their owner owes."""
    key = key_of(order)
    found = await credits_of(tx, key)
    minor = min(found.owed_minor, found.available_minor, released_minor)
    repaid = chart.shortfall_repaid(name, key.user_id, minor, key.currency)
    await book(tx, order, repaid, now_text)
