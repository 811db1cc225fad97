"""Which sale an order or a window of use is, and what is kept with it."""

from metering.chart import Sale
from signaling.stores import rates, rooms
from signaling.stores.database import Transaction
from signaling.stores.earnings import About
from signaling.stores.orders import Order
from signaling.stores.windows import Window


def sale_of_order(order: Order) -> Sale:
    """Of an order that was bought whole. Tax goes first: the platform's fee is at most what it leaves."""
    return Sale(
        sale_id=order.id,
        payee=_payee(order),
        amount_minor=order.amount_minor,
        currency=order.currency,
        fee_minor=min(order.fee_minor, order.amount_minor - order.tax_minor),
        tax_minor=order.tax_minor,
    )


def sale_of_window(order: Order, window: Window, charged_minor: int) -> Sale:
    """Of a stretch of use that was charged to a card."""
    return Sale(window.id, _payee(order), charged_minor, order.currency)


def _payee(order: Order) -> str:
    """Orders of before there were payees have the room."""
    return order.payee or order.room


async def about(tx: Transaction, order: Order, holding_days: int, charge_id: str | None) -> About:
    """`holding_days`: until the sale is due, where the rates of the room say nothing."""
    room = await rooms.by_id(tx, order.room)
    said = {} if room is None else (await rates.figures_of_room(tx, room)).said
    return About(
        mode=order.mode,
        account=order.account,
        order_id=order.id,
        room_id=order.room,
        holding_days=int(said.get("earnings_days", holding_days)),
        charge_id=charge_id,
    )
