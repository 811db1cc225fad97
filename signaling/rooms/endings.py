"""Every way in which a stay ends, in one place: the message, the close code, the log line."""

from dataclasses import dataclass
from typing import Any

import structlog

from metering.events import EndCode
from signaling.rooms.wire import Ended

log = structlog.get_logger()

# PROTOCOL.md, "Endings".
CLOSE_CODES = {
    "bad_token": 4401,
    "resume_unknown": 4404,
    "not_paid": 4403,
    "pass_used_up": 4403,
    "revoked": 4403,
    "wrong_mode": 4403,
    "room_full": 4403,
    "room_locked": 4403,
    "room_closed": 4403,
    "protocol_error": 4400,
    "slow_client": 4408,
    "rate_limited": 4429,
    "used_up": 4000,
    "lapsed": 4403,
    "left": 4000,
    "kicked": 4403,
    "refunded": 4403,
    "disputed": 4403,
    "replaced": 4409,
    "host_ended": 4000,
    "connection_lost": 4000,
    "media_failed": 4000,
    "shutdown": 1012,
    "run_lost": 1012,
}
# How the meter is told, where it has no word of its own.
METER_CODES = {"media_failed": EndCode.CONNECTION_LOST, "slow_client": EndCode.CONNECTION_LOST}


@dataclass(frozen=True, slots=True)
class Ending:
    """Why it ended. `used_ms` of the pass in all and what was `charged` for it; None for hosts and strangers."""

    code: str
    used_ms: int | None = None
    charged: dict[str, Any] | None = None
    refund: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Conclusion:
    """What to send last, and the WebSocket's close code."""

    message: Ended
    close_code: int


def conclude(ending: Ending, **about: str | None) -> Conclusion:
    """Turns an ending into what is sent, and writes its log line with what is known `about` it (ids, no secrets)."""
    log.info(
        "ended", code=ending.code, used_ms=ending.used_ms, **{k: v for k, v in about.items() if v is not None}
    )
    message = Ended(ending.code, ending.used_ms, ending.charged, ending.refund)
    return Conclusion(message, CLOSE_CODES[ending.code])


def meter_code(code: str) -> EndCode:
    """The meter's word for an ending of a running session."""
    return METER_CODES.get(code) or EndCode(code)
