"""What can go back of a subscription's invoices. Each invoice is a sale and a payment of its own; time has no price there."""

from metering.policies import Sale
from signaling.stores import disputes, refunds, subscriptions
from signaling.stores.database import Transaction
from signaling.stores.orders import Order
from signaling.stores.subscriptions import Invoice


async def invoice_of(
    tx: Transaction, order: Order, *, invoice_id: str | None = None, payment_intent_id: str | None = None
) -> Invoice | None:
    """The paid invoice that is named by its id or its payment; else the newest one. None: there is no such."""
    for one in await paid_ones(tx, order):
        if invoice_id in {None, one.id} and payment_intent_id in {None, one.payment_intent_id}:
            return one
    return None


async def paid_ones(tx: Transaction, order: Order) -> list[Invoice]:
    """Every invoice that was paid, the newest first."""
    row = await subscriptions.of_order(tx, order.id)
    return [] if row is None else await subscriptions.invoices_of(tx, row.id)


async def sale_of(tx: Transaction, order: Order, invoice: Invoice) -> Sale:
    """What was asked for and is not booked yet counts as given back; nothing is left while a bank looks into it."""
    gone_minor = invoice.refunded_minor
    if invoice.payment_intent_id is not None:
        asked_minor = await refunds.asked_minor(tx, order.id, invoice.payment_intent_id)
        gone_minor = max(gone_minor, asked_minor)
    lost_minor = sum(one.lost_minor for one in await disputes.disputes_of(tx, invoice.id))
    taken_minor = invoice.amount_minor if await is_disputed(tx, invoice) else lost_minor
    return Sale(invoice.amount_minor, invoice.currency, None, gone_minor + taken_minor)


async def is_disputed(tx: Transaction, invoice: Invoice) -> bool:
    """Whether a bank looks into its payment."""
    return any(one.state == "open" for one in await disputes.disputes_of(tx, invoice.id))
