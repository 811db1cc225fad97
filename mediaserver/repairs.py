"""Which of the packets that a viewer asks for again are sent again. Pure: time is an argument.

Repeats share the line with what comes next. Where it has just become narrow, hundreds of packets of a large encoding are
missed at once, and repeating them all would shut out the small encoding that the viewer is given instead. So:

- The same packet is repeated once in half a round trip (as we know it: with the wait for feedback in it): impatient viewers
  ask again for what is on its way, and a repeat that was lost is asked for after one round trip.
- Repeats take at most three tenths of what the line is estimated to carry, in each fifth of a second.
- While the line was cut within the last two seconds, packets of an encoding that the viewer has left are not repeated:
  what it shows now began with a keyframe after them.

All of this only for a viewer that tells what arrives; `dataplane.pyx` does the same.
"""

from array import array

from mediaserver.bandwidth import Line

REMEMBERED = 64  # a power of two
WINDOW_US = 200_000
SHARE = 0.3
LEAST_BYTES = 1_500
TROUBLE_US = 2_000_000


class Repairs:
    """Of one subscription."""

    def __init__(self) -> None:
        self._numbers = array("q", [-1]) * REMEMBERED
        self._at_us = array("q", [0]) * REMEMBERED
        self._window = -1
        self._spent = 0

    def admit(self, line: Line, number: int, size: int, now_ns: int, *, left_behind: bool) -> bool:
        """Whether the packet sent as `number` (unwrapped), of `size` bytes, is repeated now; then it counts as repeated.
        `left_behind`: it is of an encoding that the viewer gets no more."""
        if line.feedbacks == 0:
            return True
        now_us, place = now_ns // 1000, number & (REMEMBERED - 1)
        if left_behind and now_us - line.cut_us < TROUBLE_US:
            return False
        if self._numbers[place] == number and now_us - self._at_us[place] < line.rtt_us // 2:
            return False
        if now_us // WINDOW_US != self._window:
            self._window, self._spent = now_us // WINDOW_US, 0
        if self._spent >= max(LEAST_BYTES, int(SHARE * line.estimate_bps * WINDOW_US / 8e6)):
            return False
        self._spent += size
        self._numbers[place], self._at_us[place] = number, now_us
        return True
