"""What happens by itself when its time has come."""

from . import checkout, payments
from .store import Transaction


def run_due(tx: Transaction) -> int:
    """Expire open sessions and release held amounts whose time is over; how many there were."""
    return checkout.expire_due(tx) + payments.expire_holds(tx)
