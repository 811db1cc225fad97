"""When a publisher's packets arrived: what transport-wide feedback tells it. Pure."""

from mediaserver.rtp import SEQUENCE_MOD, unwrap_sequence


class ArrivalLog:
    """When the packets of one transport arrived: becomes transport-wide feedback for the sender's
    bandwidth estimate. Bounded: when full, the oldest arrivals are forgotten."""

    ARRIVALS_MAX = 2000
    # Two bits a number and at most two bytes an arrival: together they must fit a datagram.
    SPAN_MAX = 1024
    PER_FEEDBACK_MAX = 400

    def __init__(self) -> None:
        self._highest: int | None = None
        self._reported = -1
        self._arrivals: dict[int, int] = {}
        self._count = 0

    def add(self, sequence: int, now_ns: int) -> None:
        if self._highest is None:
            self._highest = sequence + SEQUENCE_MOD
        number = unwrap_sequence(sequence, self._highest)
        self._highest = max(self._highest, number)
        if number > self._reported:
            self._arrivals[number] = now_ns // 1000
        if len(self._arrivals) > self.ARRIVALS_MAX:
            del self._arrivals[next(iter(self._arrivals))]

    def take(self) -> tuple[int, list[tuple[int, int]]] | None:
        """(number of this feedback, arrivals for `rtcp.transport_cc`), None when nothing came."""
        if not self._arrivals:
            return None
        arrivals = sorted(self._arrivals.items())
        arrivals = [item for item in arrivals if arrivals[-1][0] - item[0] < self.SPAN_MAX][
            -self.PER_FEEDBACK_MAX :
        ]
        self._arrivals.clear()
        self._reported = arrivals[-1][0]
        self._count += 1
        return self._count - 1, arrivals
