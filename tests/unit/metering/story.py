"""Runs a meter story: plain lines, one thing each, times as minutes and seconds.

pass 30:00              what was bought (or: pass unlimited); first line. `used 05:00`, `forgiven 00:20` may follow
payer alive             sends packets from now on (every half second)
host silent             sends nothing from now on
tick 30s                time passes (also 250ms, 05:00)
add 15:00               time is bought (or: add unlimited)
lease lost, lease back  the server may not, may again forward
lease lost 2s ago       noticed late
media dies              the media side closes the gate by itself
finish left             the session is told to end
database slow           segments are committed only at `database answers`
database refuses replaced
media waits             no packet passes until `media flows`
expect used 00:30       of the pass, by closed segments
expect left 29:30       as shown
expect state counting   as shown, with its reason after it if there is one (paused host_away)
expect warned 05:00     exactly these warnings since the last such line (expect warned nothing)
expect ended used_up
expect forgiven 00:12
expect segments 2       closed so far
expect forwarded 00:42  media let through so far
"""

from collections.abc import Callable

from metering.events import (
    Alive,
    CloseGate,
    CloseSegment,
    End,
    EndCode,
    Extended,
    Finish,
    Forwarding,
    GateClosed,
    LeaseLost,
    LeaseRenewed,
    Leg,
    OpenGate,
    OpenSegment,
    SegmentOpened,
    SegmentRefused,
    SessionEffect,
    SessionEvent,
    Show,
    Warn,
)
from metering.session import Session

START_MS = 1_000_000
PACKET_EVERY_MS = 500


def ms(text: str) -> int:
    if text.endswith("ms"):
        return int(text[:-2])
    if text.endswith("s"):
        return int(text[:-1]) * 1000
    minutes, seconds = text.split(":")
    return int(minutes) * 60_000 + round(float(seconds) * 1000)


def clock(value_ms: int | None) -> str:
    if value_ms is None:
        return "unlimited"
    minutes, rest_ms = divmod(value_ms, 60_000)
    seconds, part_ms = divmod(rest_ms, 1000)
    return f"{minutes:02d}:{seconds:02d}" + (f".{part_ms:03d}" if part_ms else "")


class Gate:
    """Media as the session asks for it: passes until its allowance, the lease, or the closing."""

    def __init__(self) -> None:
        self.is_open = False
        self.first_ms: int | None = None
        self.allow_ms: int | None = None
        self.forwarded_ms = 0

    def stop(self, at_ms: int) -> GateClosed:
        stopped_ms = at_ms
        if self.first_ms is not None:
            if self.allow_ms is not None:
                stopped_ms = min(stopped_ms, self.first_ms + self.allow_ms)
            self.forwarded_ms += stopped_ms - self.first_ms
        closed = GateClosed(stopped_ms, self.first_ms)
        self.is_open, self.first_ms = False, None
        return closed


class Story:
    def __init__(self, text: str) -> None:
        self.now_ms = START_MS
        self.gate = Gate()
        self.talking: set[Leg] = set()
        self.session = Session("ses_story", limit_ms=0, used_ms=0, purchased_ms=0)
        self.warned: list[str] = []
        self.shown: list[Show] = []
        self.effects: list[SessionEffect] = []
        self.ended: End | None = None
        self.segments: list[CloseSegment] = []
        self.slow = self.media_waits = False
        self.refuses: EndCode | None = None
        self.lines = [line for line in (raw.strip() for raw in text.splitlines()) if line]

    def run(self) -> "Story":
        head = [line for line in self.lines if line.split()[0] in ("pass", "used", "forgiven")]
        self._buy({line.split()[0]: line.split()[1] for line in head})
        for line in self.lines[len(head) :]:
            verb, *words = line.split()
            getattr(self, f"do_{verb}")(*words) if verb != "expect" else self._expect(line, *words)
        return self

    def _buy(self, facts: dict[str, str]) -> None:
        limit_ms = None if facts["pass"] == "unlimited" else ms(facts["pass"])
        self.session = Session(
            "ses_story",
            limit_ms=limit_ms,
            used_ms=ms(facts.get("used", "0s")),
            purchased_ms=limit_ms,
            forgiven_ms=ms(facts.get("forgiven", "0s")),
        )
        self._drain()

    # --- lines ---

    def do_payer(self, how: str) -> None:
        self._leg("payer", how)

    def do_host(self, how: str) -> None:
        self._leg("host", how)

    def _leg(self, leg: Leg, how: str) -> None:
        if how == "silent":
            self.talking.discard(leg)
        else:
            self.talking.add(leg)
            self.tell(Alive(leg, self.now_ms))

    def do_tick(self, how_long: str) -> None:
        until_ms = self.now_ms + ms(how_long)
        while self.now_ms < until_ms:
            beat_ms = self.now_ms - self.now_ms % PACKET_EVERY_MS + PACKET_EVERY_MS
            deadline_ms = self.session.next_deadline()
            assert deadline_ms is None or deadline_ms > self.now_ms, "a deadline that does not move"
            self.now_ms = min(until_ms, beat_ms, until_ms if deadline_ms is None else deadline_ms)
            if self.now_ms == beat_ms:
                for leg in sorted(self.talking):
                    self.tell(Alive(leg, self.now_ms))
            self.session.handle_timer(self.now_ms)
            self._drain()

    def do_add(self, how_much: str) -> None:
        self.tell(Extended(None if how_much == "unlimited" else ms(how_much)))

    def do_lease(self, what: str, ago: str = "0s", _ago: str = "") -> None:
        self.tell(LeaseLost(self.now_ms - ms(ago)) if what == "lost" else LeaseRenewed())

    def do_media(self, what: str) -> None:
        if what == "dies":
            self.tell(self.gate.stop(self.now_ms))
        self.media_waits = what == "waits"
        self._flow()

    def do_finish(self, code: str) -> None:
        self.tell(Finish(EndCode(code)))

    def do_database(self, what: str, code: str = "") -> None:
        if what == "answers":
            self.slow = False
            self.tell(SegmentOpened())
        self.slow = what == "slow"
        self.refuses = EndCode(code) if what == "refuses" else None

    # --- the shell ---

    def tell(self, event: SessionEvent) -> None:
        self.session.handle(event, self.now_ms)
        self._drain()

    def _drain(self) -> None:
        while (effect := self.session.next_effect()) is not None:
            assert self.ended is None, f"{effect} after the end"
            self.effects.append(effect)
            self._obey(effect)

    def _obey(self, effect: SessionEffect) -> None:
        match effect:
            case OpenSegment() if not self.slow:
                refused = self.refuses
                self.tell(SegmentOpened() if refused is None else SegmentRefused(refused))
            case OpenGate(allow_ms):
                self.gate.is_open, self.gate.allow_ms = True, allow_ms
                self._flow()
            case CloseGate():
                self.tell(self.gate.stop(self.now_ms))
            case CloseSegment():
                self.segments.append(effect)
            case Warn(remaining_ms):
                self.warned.append(clock(remaining_ms))
            case Show():
                self.shown.append(effect)
            case End():
                self.ended = effect

    def _flow(self) -> None:
        if self.gate.is_open and self.gate.first_ms is None and not self.media_waits:
            self.gate.first_ms = self.now_ms
            self.tell(Forwarding(self.now_ms))

    # --- expectations ---

    def _expect(self, line: str, what: str, *words: str) -> None:
        show = self.session.view(self.now_ms)
        answers: dict[str, Callable[[], str]] = {
            "used": lambda: clock(self.session.used_ms),
            "left": lambda: clock(show.remaining_ms),
            "state": lambda: " ".join(filter(None, (show.state, show.reason))),
            "ended": lambda: "no" if self.ended is None else self.ended.code.value,
            "forgiven": lambda: clock(self.session.forgiven_ms),
            "segments": lambda: str(len(self.segments)),
            "forwarded": lambda: clock(self.gate.forwarded_ms),
            "warned": lambda: " ".join(self.warned) or "nothing",
        }
        assert answers[what]() == " ".join(words), line
        if what == "warned":
            self.warned.clear()


def tell(text: str) -> Story:
    """Run the story, and check what holds in every one: the books of its segments."""
    story = Story(text).run()
    session = story.session
    assert all(segment.used_ms >= 0 for segment in story.segments)
    assert session.limit_ms is None or session.used_ms <= session.limit_ms
    if story.ended is not None:
        assert story.ended.used_ms == session.used_ms
        assert story.shown[-1].state == "ended"
        assert not story.gate.is_open, "ended with an open gate"
    return story
