"""What a Checkout Session of a subscription asks for."""

from collections.abc import Mapping
from typing import Any

from signaling.stores.orders import Order


def checkout_params(order: Order, metadata: Mapping[str, str]) -> dict[str, Any]:
    """What a Checkout Session of mode subscription has in place of a payment."""
    tariff = order.tariff
    trial = {"trial_period_days": tariff["trial_days"]} if tariff.get("trial_days") else {}
    price = {
        "currency": order.currency,
        "unit_amount": period_minor(order),
        "product_data": {"name": order.title},
        "recurring": {"interval": tariff["interval"]},
    }
    return {
        "mode": "subscription",
        "line_items": [{"quantity": 1, "price_data": price}],
        "subscription_data": {"metadata": dict(metadata), "description": order.title[:200]} | trial,
    }


def period_minor(order: Order) -> int:
    """What one period costs; the first may be free."""
    return (order.list_minor or 0) + order.fee_on_top_minor
