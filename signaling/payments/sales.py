"""Sales booked by the chart: which sale an order or a window of use is, and its transfers in the ledger."""

from collections.abc import Sequence

from metering import chart
from metering.ledger import Transfer
from signaling.stores.database import Transaction
from signaling.stores.ledger import Entry, post_all
from signaling.stores.orders import Order
from signaling.stores.windows import Window


class BooksError(RuntimeError):
    """The ledger refuses: it holds another transfer under the same id, or has too little. Our fault, nothing is applied."""


def sale_of_order(order: Order) -> chart.Sale:
    """Of an order that was bought whole."""
    return chart.Sale(
        sale_id=order.id,
        payee=order.payee or order.room,
        amount_minor=order.amount_minor,
        currency=order.currency,
        fee_minor=order.fee_minor,
        tax_minor=order.tax_minor,
    )


def sale_of_window(order: Order, window: Window, charged_minor: int) -> chart.Sale:
    """Of a stretch of use that was charged to a card."""
    return chart.Sale(window.id, order.payee or order.room, charged_minor, order.currency)


def share_of(sale: chart.Sale, gone_minor: int) -> chart.Share:
    """What is left of the payee's part once so much of the sale went back."""
    return chart.Share("pending", sale.net_minor - chart.parts_of(sale, gone_minor).net_minor)


async def book(tx: Transaction, order: Order, transfers: Sequence[Transfer], now_text: str) -> None:
    """All of them or none, about that order. Raises BooksError."""
    entries = [Entry(transfer, order.mode, order.account, order.id) for transfer in transfers]
    posted = await post_all(tx, entries, now_text)
    if posted not in {"created", "exists"}:
        raise BooksError(f"{posted}: {[transfer.id for transfer in transfers]}")
