"""What one feature tells the others, after its transaction committed.

Features do not import each other; the composition root subscribes them to each other's notices. A notice is a
hint: who receives it reads the database for the truth, so a lost notice delays and never falsifies.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

import structlog

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class OrderPaid:
    """A payment was applied; `extends` when it added time to an earlier pass (then that pass's id). `by_use`: the
    amount is held, and charged only in part."""

    order_id: str
    room_id: str
    pass_id: str
    name: str
    amount_minor: int
    currency: str
    seconds: int | None
    extends: bool
    by_use: bool = False


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
class RatesChanged:
    """What holds in a room changed, or (None) in many."""

    room_id: str | None


@dataclass(frozen=True, slots=True)
class OutboxFilled:
    """There is something to send (a refund, an expiry of a Checkout Session)."""


@dataclass(frozen=True, slots=True)
class StayLow:
    """A stay counts, and a minute is left of a pass whose time comes in windows: the next one is wanted. `granted_ms`: what
    the stay knows to be granted; where that has grown meanwhile, this is old news. `again`: asked because credits came,
    however much time is left."""

    pass_id: str
    room_id: str
    granted_ms: int | None = None
    again: bool = False


@dataclass(frozen=True, slots=True)
class StayEnded:
    """A stay is over and its rows are committed; `code` as in PROTOCOL.md, `ended`."""

    pass_id: str
    room_id: str
    code: str


FundingKind = Literal["balance_low", "topped_up", "funding_failed", "funded", "action_needed", "lapsing"]


@dataclass(frozen=True, slots=True)
class Funding:
    """To be told to the payer inside. `balance_minor`: what is left in the wallet. `client_secret`: of the payment
    that the payer must confirm, in the sandbox at `action_url`; `seconds`: time that was added, or that is left,
    or what the balance is in time."""

    pass_id: str
    room_id: str
    kind: FundingKind
    currency: str | None = None
    balance_minor: int | None = None
    seconds: int | None = None
    failure: str | None = None
    client_secret: str | None = field(default=None, repr=False)
    action_url: str | None = field(default=None, repr=False)


Notice = OrderPaid | PassChanged | RoomChanged | RatesChanged | OutboxFilled | StayLow | StayEnded | Funding
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
