"""One payer's meter. (Being written: the signatures stand.)"""

from dataclasses import dataclass

from metering.events import SessionEffect, SessionEvent, Show


@dataclass(frozen=True, slots=True)
class Policy:
    """The figures of the rules of time. `forgiven_ms_per_hour`: how much forwarded-but-forgiven time a payer's leg
    gets per purchased hour."""

    leg_timeout_ms: int = 12_000
    fresh_ms: int = 1_000
    end_silence_ms: int = 5_000
    forgiven_ms_per_hour: int = 60_000
    warnings_ms: tuple[int, ...] = (300_000, 60_000)


class Session:
    """One metered stay. Feed it with `handle` and `handle_timer`, then drain `next_effect` until None.

    `limit_ms`: what the pass grants in all (None: unlimited). `used_ms`: what was used of it before this session.
    `purchased_ms`: what was paid for, from which the allowance of forgiven time follows (None: take `limit_ms`).
    `forgiven_ms`: how much of that allowance the pass has used up; persist the property with each CloseSegment.
    """

    def __init__(
        self,
        session_id: str,
        *,
        limit_ms: int | None,
        used_ms: int,
        purchased_ms: int | None,
        forgiven_ms: int = 0,
        policy: Policy | None = None,
    ) -> None:
        raise NotImplementedError

    @property
    def used_ms(self) -> int:
        """Used of the pass by closed segments."""
        raise NotImplementedError

    @property
    def forgiven_ms(self) -> int:
        """Forwarded time that was given back so far, over the whole pass, for the payer's leg."""
        raise NotImplementedError

    @property
    def ended(self) -> bool:
        raise NotImplementedError

    def handle(self, event: SessionEvent, now_ms: int) -> None:
        raise NotImplementedError

    def next_deadline(self) -> int | None:
        """When `handle_timer` wants to be called (monotonic ms), or None."""
        raise NotImplementedError

    def handle_timer(self, now_ms: int) -> None:
        """Harmless when early."""
        raise NotImplementedError

    def next_effect(self) -> SessionEffect | None:
        raise NotImplementedError

    def view(self, now_ms: int) -> Show:
        """The meter as it stands now, for somebody who just arrived."""
        raise NotImplementedError


def recovered_used_ms(
    started_ms: int | None, last_beat_ms: int, silent_last_ms: int | None, limit_left_ms: int | None
) -> int:
    """What a segment of a dead run used, up to its last heartbeat or its session's silent entry."""
    raise NotImplementedError
