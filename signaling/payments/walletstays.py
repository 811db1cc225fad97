"""Stays that credits pay for: held on the payer's wallet window by window, shared out when the stay is over.

No network: the wallet is in our own books, so each step is one transaction with its entries in the ledger. The ledger
refuses what a wallet does not have, open holds counted; so however many stays run on it, they never overspend it.
"""

from dataclasses import dataclass, replace

import structlog

from metering import accounts, chart
from metering.funding import Ask, Charge, Refused, next_window, settle, shortest_hold_s
from metering.ledger import Transfer
from metering.price import fee_inside
from metering.tariff import Wallet, parse_tariff
from metering.wallet import low_minor, seconds_left
from signaling.errors import ApiError
from signaling.notices import Funding, Notice, PassChanged
from signaling.payments.apply import Stamp
from signaling.payments.granting import insert_granted
from signaling.payments.holds import OPEN_STATES, Stay, funding_failed
from signaling.payments.sales import about
from signaling.payments.wallets import book, credits_of, entries_of, key_of
from signaling.stores import earnings, inbox, passes, rates, rooms, wallets, windows
from signaling.stores.database import Transaction
from signaling.stores.ledger import post_all
from signaling.stores.orders import Order, update_order
from signaling.stores.windows import Window

log = structlog.get_logger()

# Longer than any stay waits to be settled; what is still held then is released by itself.
HOLD_LIFE_S = 86_400


# --- going in ---------------------------------------------------------------------------------------------


async def open_stay(
    tx: Transaction, order: Order, room: rooms.Room, stamp: Stamp
) -> tuple[Order, tuple[Notice, ...]]:
    """Stores the order with its pass and the first window, held on the payer's wallet: a minute at least. Raises ApiError
    402 `balance_low`, 409 `credits_owed`."""
    tariff = parse_tariff(order.tariff)
    assert isinstance(tariff, Wallet), "asked by the caller"
    found = await credits_of(tx, key_of(order))
    if found.owed_minor:
        raise ApiError(
            409, "credits_owed", "credits of yours were taken back by a bank: pay what is missing first"
        )
    asked = next_window(
        tariff, (), granted_ms=0, available_minor=found.available_minor, least_s=shortest_hold_s(tariff)
    )
    if isinstance(asked, Refused):
        raise ApiError(402, "balance_low", "your credits do not last for a minute here: buy some first")
    window = _window(order, stamp.pass_id, asked, stamp)
    if not await _hold(tx, order, window, stamp):
        raise ApiError(402, "balance_low", "your credits are held by another call")
    granted, notices = await insert_granted(tx, replace(order, seconds=asked.seconds), room, stamp)
    await windows.insert_window(tx, window)
    return granted, notices


def _window(order: Order, pass_id: str, ask: Ask, stamp: Stamp) -> Window:
    asked = windows.asked(
        ask,
        pass_id=pass_id,
        mode=order.mode,
        account=order.account,
        kind="wallet",
        currency=order.currency,
        created_at=stamp.now_text,
    )
    return replace(asked, state="held", capture_before_s=stamp.now_s + HOLD_LIFE_S)


def _plain(order: Order, window: Window) -> chart.WalletWindow:
    assert order.user_id is not None, "only a signed-in person has a wallet"
    return chart.WalletWindow(
        window_id=window.id,
        pass_id=window.pass_id,
        user_id=order.user_id,
        held_minor=window.held_minor,
        currency=window.currency,
        expires_at_s=window.capture_before_s,
    )


async def _hold(tx: Transaction, order: Order, window: Window, stamp: Stamp) -> bool:
    """False when the wallet does not have it."""
    transfers = chart.window_held(_plain(order, window))
    return await post_all(tx, entries_of(order, transfers), stamp.now_text) in {"created", "exists"}


# --- going on ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Held:
    """What became of the next window; `refused`: why there is none."""

    refused: str | None
    notices: tuple[Notice, ...]


async def hold_next(tx: Transaction, stay: Stay, stamp: Stamp) -> Held:
    """Up to two minutes more, or what is there. The payer is told when little is left, with the balance."""
    pass_, order = stay.pass_, stay.order
    if pass_.state not in OPEN_STATES or pass_.granted_ms is None:
        return Held("ended", ())
    found = await credits_of(tx, key_of(order))
    asked = next_window(
        stay.tariff,
        [window.plain() for window in stay.windows],
        granted_ms=pass_.granted_ms,
        settled=pass_.settled,
        available_minor=found.spendable_minor,
    )
    if isinstance(asked, Refused):
        return Held(asked.reason, _refusal(stay, asked.reason, found.spendable_minor))
    window = _window(order, pass_.id, asked, stamp)
    if not await _hold(tx, order, window, stamp):
        return Held("balance_low", (_low(stay, found.spendable_minor),))
    await windows.insert_window(tx, window)
    await passes.extend_pass(tx, pass_.id, asked.seconds)
    left_minor = found.spendable_minor - asked.held_minor
    told: list[Notice] = [
        PassChanged(pass_.id, pass_.room_id),
        Funding(
            pass_.id,
            pass_.room_id,
            "funded",
            currency=order.currency,
            balance_minor=left_minor,
            seconds=asked.seconds,
        ),
    ]
    if left_minor <= await low_of(tx, stay):
        told.append(_low(stay, left_minor))
    return Held(None, tuple(told))


def _refusal(stay: Stay, reason: str, balance_minor: int) -> tuple[Notice, ...]:
    if reason == "balance_low":
        return (_low(stay, balance_minor),)
    return (funding_failed(stay.pass_, reason),) if reason == "at_the_end" else ()


def _low(stay: Stay, balance_minor: int) -> Funding:
    pass_ = stay.pass_
    return Funding(
        pass_.id,
        pass_.room_id,
        "balance_low",
        currency=stay.order.currency,
        balance_minor=balance_minor,
        seconds=seconds_left(balance_minor, stay.tariff.rate_minor_per_min),
    )


async def low_of(tx: Transaction, stay: Stay) -> int:
    """From this balance on it is low in that room."""
    room = await rooms.by_id(tx, stay.pass_.room_id)
    assert room is not None, "passes refer to their room"
    figures = await rates.figures_of_room(tx, room)
    return low_minor(stay.tariff.rate_minor_per_min, figures.get("balance_low_minor"))


# --- the end ----------------------------------------------------------------------------------------------


async def close_stay(tx: Transaction, stay: Stay, stamp: Stamp) -> None:
    """What was used is taken from the holds and shared out, the rest is released, in the transaction that marks the
    pass as settled."""
    order, by_number = stay.order, {window.number: window for window in stay.windows}
    settled = settle(stay.tariff, [window.plain() for window in stay.windows], stay.pass_.used_ms)
    charges = [await _still_held(tx, by_number[one.number], one, stamp) for one in settled.charges]
    total_minor = sum(one.charged_minor for one in charges)
    transfers: list[Transfer] = []
    for charge in charges:
        window = by_number[charge.number]
        if charge.charged_minor or charge.released_minor:
            transfers += chart.window_settled(_plain(order, window), charge.charged_minor)
        await _move_to_settled(tx, window, charge.charged_minor)
    sale = await sale_of_stay(tx, stay, total_minor)
    await book(tx, order, transfers, stamp.now_text)
    through = accounts.stay_hold(stay.pass_.id)
    kept = await about(tx, order, stamp.holding_days, None)
    await earnings.book_sale(tx, sale, kept, stamp.now, paid_from=through)
    await update_order(tx, order.id, charged_minor=total_minor, fee_minor=sale.fee_minor)


async def _still_held(tx: Transaction, window: Window, charge: Charge, stamp: Stamp) -> Charge:
    """A hold that ran out is gone: the books say 0 for it, and the operator finds it."""
    if await wallets.is_held(tx, f"hold:{window.id}"):
        return charge
    log.error("hold_lapsed", window_id=window.id)
    if charge.charged_minor:
        await inbox.put_in_quarantine(
            tx,
            quarantine_id=f"{window.id}:hold_lapsed",
            reason="hold_lapsed",
            subject_id=window.id,
            payload={"charged_minor": charge.charged_minor},
            created_at=stamp.now_text,
        )
    return Charge(charge.number, 0, 0)


async def _move_to_settled(tx: Transaction, window: Window, charged_minor: int) -> None:
    await windows.move_window(tx, window, "settling", charged_minor=charged_minor)
    await windows.move_window(tx, replace(window, state="settling"), "settled")


async def sale_of_stay(tx: Transaction, stay: Stay, total_minor: int) -> chart.Sale:
    """The platform's fee comes out of the host's share: what a minute costs is said before it is used."""
    order = stay.order
    room = await rooms.by_id(tx, order.room)
    assert room is not None, "orders refer to their room"
    fee = (await rates.figures_of_room(tx, room)).fee
    assert order.user_id is not None, "only a signed-in person has a wallet"
    return chart.Sale(
        sale_id=stay.pass_.id,
        payee=order.payee or order.room,
        amount_minor=total_minor,
        currency=order.currency,
        fee_minor=fee_inside(total_minor, fee),
        paid_by=accounts.wallet(order.user_id),
    )
