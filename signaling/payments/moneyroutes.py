"""What the HTTP routes of payments are handed."""

from signaling.http import Network
from signaling.payments.service import Payments
from signaling.ratelimit import LimitedRoutes, RateLimiter


class MoneyRoutes(LimitedRoutes):
    """Handlers over `Payments`; each finds first who is calling."""

    def __init__(self, payments: Payments, limiter: RateLimiter, trusted: tuple[Network, ...] = ()) -> None:
        super().__init__(limiter, trusted)
        self._payments = payments
