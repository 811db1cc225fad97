"""What a paid top-up puts into a wallet, what takes it out again (a refund, or a dispute that was lost), and what comes back of
that."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from metering import chart
from metering.ledger import Transfer
from metering.wallet import back_for_refund
from signaling.notices import Notice
from signaling.payments import frozencredits
from signaling.payments.customers import keep_card
from signaling.payments.port import Checkout
from signaling.payments.wallets import (
    book,
    credits_of,
    key_of,
    package_of,
    tell_credited,
    tell_inside,
)
from signaling.stores import earnings, ledger
from signaling.stores.database import Transaction
from signaling.stores.orders import Order


async def fill(tx: Transaction, order: Order, checkout: Checkout, now_text: str) -> Sequence[Notice]:
    """The credits and what the platform adds; what the person owes is paid out of them first. Whoever is in a call on that
    wallet is told, and a stay that had nothing to go on with asks again. A card that was to be kept is kept."""
    package, key = package_of(order), key_of(order)
    owed_minor = (await credits_of(tx, key)).owed_minor
    transfers = chart.topped_up(
        order.id,
        key.user_id,
        package.paid_credit_minor,
        package.bonus_minor,
        key.currency,
        fee_minor=package.markup_minor,
    )
    repaid_minor = min(owed_minor, package.credit_minor)
    transfers += chart.shortfall_repaid(order.id, key.user_id, repaid_minor, key.currency)
    await book(tx, order, transfers, now_text)
    charge = None if checkout.intent is None else checkout.intent.charge
    if order.tariff.get("save_card") and charge is not None and charge.card is not None:
        await keep_card(tx, key.user_id, (key.mode, key.account), charge.card, now_text)
    return await tell_credited(tx, key)


async def take_back(
    tx: Transaction,
    order: Order,
    gone_minor: int,
    amount_minor: int,
    now_text: str,
    *,
    held: Sequence[Transfer] = (),
    loss_id: str | None = None,
) -> Sequence[Notice]:
    """Of a top-up `amount_minor` went back to the payer, after `gone_minor`: its credits leave the wallet, those first that
    were `held` for it, then those that are frozen by a dispute. What was spent is owed, and blocks spending; a gift
    that was spent is let go. `loss_id`: by that dispute, else by a refund."""
    key, package = key_of(order), package_of(order)
    back = back_for_refund(package, gone_minor, amount_minor)
    before = await credits_of(tx, key)
    back_before = await earnings.times_come_back(tx, order.id)
    frozen = await frozencredits.holds_of(tx, order)
    held = (*held, *frozen)
    gone = chart.Gone(
        name=loss_id or chart.part_name(order.id, gone_minor, back_before),
        code="dispute_lost" if loss_id else "refund",
        money_minor=back.money_minor,
        bonus_minor=back.bonus_minor,
        fee_minor=back.fee_minor,
    )
    moved = chart.topup_gone(gone, key.user_id, before.available_minor, key.currency, held)
    await book(tx, order, moved, now_text)
    if held:
        rest_minor = _sum(frozen) - _sum(
            one for one in moved if one.pending_id in {hold.id for hold in frozen}
        )
        await frozencredits.adjust(tx, order, gone_minor + amount_minor, now_text, released_minor=rest_minor)
        await frozencredits.repay(tx, order, f"{gone.code}:{gone.name}", _sum(held), now_text)
    found = await credits_of(tx, key)
    if found.spendable_minor > before.spendable_minor:  # more was held for it, or frozen, than went
        return await tell_credited(tx, key)
    return await tell_inside(tx, key, "balance_low", balance_minor=found.spendable_minor)


def _sum(moved: Iterable[Transfer]) -> int:
    return sum(one.amount_minor for one in moved)


@dataclass(frozen=True, slots=True)
class SentBack:
    """A refund of a top-up that a bank sent back, or what it gave back of a dispute that was lost (`code`), each by its own
    `name`; `gone_minor`: what had gone back with it."""

    name: str
    code: Literal["refund", "dispute_lost"]
    gone_minor: int
    amount_minor: int


async def give_again(tx: Transaction, order: Order, back: SentBack, now_text: str) -> Sequence[Notice]:
    """The credits come back: what is owed of them is paid first, and of the gift only what had been taken returns."""
    key, package = key_of(order), package_of(order)
    parts = back_for_refund(package, back.gone_minor - back.amount_minor, back.amount_minor)
    taken_minor = await ledger.moved_minor(tx, order.id, "unbonus")
    taken_minor -= await ledger.moved_minor(tx, order.id, "rebonus")
    gone = chart.Gone(
        name=back.name,
        code=back.code,
        money_minor=parts.money_minor,
        bonus_minor=min(parts.bonus_minor, taken_minor),
        fee_minor=parts.fee_minor,
    )
    owed_minor = (await credits_of(tx, key)).owed_minor
    await book(tx, order, chart.topup_back(gone, key.user_id, owed_minor, key.currency), now_text)
    await frozencredits.adjust(tx, order, back.gone_minor - back.amount_minor, now_text)
    return await tell_credited(tx, key)
