"""How often a viewer may ask for keyframes. Pure.

A keyframe costs every viewer of the publication: it is many times as large as other frames, and the encoder pays for it with
the quality of those that follow. So what one viewer asks for is bounded, however bad its line or its intentions.
"""

KEYFRAMES_AT_ONCE = 5
KEYFRAME_REFILL_NS = 4_000_000_000
# Asked again so soon, the keyframe is still on its way: decoders repeat themselves every 200 ms.
KEYFRAME_SPACING_NS = 500_000_000


class KeyframePatience:
    """Of one subscription: KEYFRAMES_AT_ONCE requests may follow one another, later ones come one in
    KEYFRAME_REFILL_NS."""

    def __init__(self) -> None:
        self._left = KEYFRAMES_AT_ONCE
        self._refilled_ns = 0
        self._asked_ns = -KEYFRAME_SPACING_NS

    def allows(self, now_ns: int) -> bool:
        """Whether a request that arrives now is to be listened to; it is counted then."""
        if now_ns - self._asked_ns < KEYFRAME_SPACING_NS:
            return False
        self._refill(now_ns)
        if self._left == 0:
            return False
        self._left -= 1
        self._asked_ns = now_ns
        return True

    def _refill(self, now_ns: int) -> None:
        if self._left == KEYFRAMES_AT_ONCE:
            self._refilled_ns = now_ns
        more = (now_ns - self._refilled_ns) // KEYFRAME_REFILL_NS
        self._left = min(KEYFRAMES_AT_ONCE, self._left + more)
        self._refilled_ns += more * KEYFRAME_REFILL_NS
