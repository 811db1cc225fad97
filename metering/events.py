"""What happens to a payer's session (events) and what is to be done about it (effects).

Times are integer milliseconds on one monotonic clock, given by the caller; the session never reads one.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

Leg = Literal["payer", "host"]


class EndCode(StrEnum):
    """Why a session ended. The stable codes of the wire message `ended`."""

    USED_UP = "used_up"
    LAPSED = "lapsed"  # the subscription is not paid any more
    LEFT = "left"
    KICKED = "kicked"
    REPLACED = "replaced"
    REVOKED = "revoked"
    REFUNDED = "refunded"
    DISPUTED = "disputed"
    HOST_ENDED = "host_ended"
    SHUTDOWN = "shutdown"
    CONNECTION_LOST = "connection_lost"
    RUN_LOST = "run_lost"


# --- events -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Alive:
    """The last authenticated packet of a leg arrived at `at_ms` (repeats and older times are harmless)."""

    leg: Leg
    at_ms: int


@dataclass(frozen=True, slots=True)
class SegmentOpened:
    """The segment's row is committed."""


@dataclass(frozen=True, slots=True)
class SegmentRefused:
    """The segment's row could not be committed: another connection owns the pass, or the pass ended."""

    code: EndCode


@dataclass(frozen=True, slots=True)
class Forwarding:
    """The first packet passed since the gate opened."""

    since_ms: int


@dataclass(frozen=True, slots=True)
class GateClosed:
    """Forwarding stopped at `stopped_ms`; `first_forwarded_ms` is None when nothing had passed."""

    stopped_ms: int
    first_forwarded_ms: int | None


@dataclass(frozen=True, slots=True)
class LeaseLost:
    """The run may not forward since `at_ms`: its heartbeats do not reach the database."""

    at_ms: int


@dataclass(frozen=True, slots=True)
class LeaseRenewed:
    """Heartbeats go through again."""


@dataclass(frozen=True, slots=True)
class Extended:
    """The pass was extended by `by_ms` (None: it became unlimited)."""

    by_ms: int | None


@dataclass(frozen=True, slots=True)
class Finish:
    """End the session now: leave, kick, revoke, replaced, host ended, shutdown, connection lost."""

    code: EndCode


SessionEvent = (
    Alive
    | SegmentOpened
    | SegmentRefused
    | Forwarding
    | GateClosed
    | LeaseLost
    | LeaseRenewed
    | Extended
    | Finish
)

# --- effects ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class OpenSegment:
    """Commit a segment row, then answer SegmentOpened or SegmentRefused."""


@dataclass(frozen=True, slots=True)
class OpenGate:
    """Let media pass for `allow_ms` from the first forwarded packet (None: without limit). Also sent for an
    open gate when time was added: the allowance then counts from the same first packet."""

    allow_ms: int | None


@dataclass(frozen=True, slots=True)
class CloseGate:
    """Stop forwarding, then answer GateClosed."""


@dataclass(frozen=True, slots=True)
class CloseSegment:
    """Commit the end of the open segment: `used_ms` is what it adds to the pass's used time."""

    started_ms: int | None
    closed_ms: int
    used_ms: int


@dataclass(frozen=True, slots=True)
class Warn:
    """Tell payer and host that about `remaining_ms` is left (5 minutes, 1 minute)."""

    remaining_ms: int


MeterState = Literal["waiting", "counting", "paused", "holding", "ended"]
PauseReason = Literal["connecting", "host_away", "payer_away", "server"]


@dataclass(frozen=True, slots=True)
class Show:
    """The meter as it is to be shown. `remaining_ms` None: unlimited; `ends_at_ms` only while counting."""

    state: MeterState
    reason: PauseReason | None
    remaining_ms: int | None
    ends_at_ms: int | None


@dataclass(frozen=True, slots=True)
class End:
    """The session is over and its last segment closed; `used_ms` of the pass in all."""

    code: EndCode
    used_ms: int


SessionEffect = OpenSegment | OpenGate | CloseGate | CloseSegment | Warn | Show | End
