"""What happens by itself when its time has come."""

from . import checkout, connect, payments, subscriptions
from .store import Transaction


def run_due(tx: Transaction) -> int:
    """Expire open sessions, release held amounts, renew subscriptions, make money available whose time has come; how many there were."""
    return (
        checkout.expire_due(tx)
        + payments.expire_holds(tx)
        + subscriptions.advance_due(tx)
        + connect.settle_due(tx)
    )
