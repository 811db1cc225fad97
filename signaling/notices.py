"""What one feature tells the others, after its transaction committed.

Features do not import each other; the composition root subscribes them to each other's notices. A notice is a
hint: who receives it reads the database for the truth, so a lost notice delays and never falsifies.
"""

from collections.abc import Callable
from dataclasses import dataclass

import structlog

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class OrderPaid:
    """A payment was applied; `extends` when it added time to an earlier pass (then that pass's id)."""

    order_id: str
    room_id: str
    pass_id: str
    name: str
    amount_minor: int
    currency: str
    seconds: int | None
    extends: bool


@dataclass(frozen=True, slots=True)
class PassChanged:
    """A pass was granted, extended, refunded, disputed, revoked or restored."""

    pass_id: str
    room_id: str


@dataclass(frozen=True, slots=True)
class RoomChanged:
    """Something of the public card changed: live, seats, lock, state."""

    room_id: str


@dataclass(frozen=True, slots=True)
class OutboxFilled:
    """There is something to send (a refund, an expiry of a Checkout Session)."""


Notice = OrderPaid | PassChanged | RoomChanged | OutboxFilled
Listener = Callable[[Notice], None]


class Notices:
    """Synchronous and in-process. Listeners must not block; one that raises is logged and the rest still hear."""

    def __init__(self) -> None:
        self._listeners: list[Listener] = []

    def subscribe(self, listener: Listener) -> Callable[[], None]:
        """Returns the function that unsubscribes."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    def publish(self, notice: Notice) -> None:
        for listener in tuple(self._listeners):
            try:
                listener(notice)
            except Exception:
                log.exception("notice_listener_failed", notice=type(notice).__name__)
