"""What the bench makes of its counts: figures, faults of the run, and where it stops asking."""

import json
from contextlib import nullcontext
from typing import Any

import pytest

from bench import media
from bench.media import Options, OverloadedError, Run, UnfairError, kept_up, percentile, remarks, result

GCM = "SRTP_AEAD_AES_256_GCM"
VIEWERS, SECONDS = 10, 4
OPTIONS = Options((VIEWERS,), SECONDS)
USAGE = {
    "idle": {"cpu_ns": 0, "rss_kb": 1000},
    "joined": {"cpu_ns": 30_000_000, "rss_kb": 2000},
    "after": {"cpu_ns": 10**9, "rss_kb": 3000},
}


def seen(**changed: Any) -> dict[str, Any]:
    counts = {
        "received": 990,
        "expected": 1000,
        "streams": 2 * VIEWERS,
        "unauthentic": 0,
        "closed": [],
        "delays_us": list(range(0, 100_000, 100)),
        "sent": 100,
        "server_cpu_ns": 990_000,
        "load_cpu_ns": 10**9,
        "load_busiest_ns": 10**9,
        "softirq_ns": 99_000,
        "ksoftirqd_ns": dict.fromkeys((*media.cores(), 999), 990_000),
        "server_drops": 0,
        "buffer_drops": 0,
        "backlog_drops": 0,
        "feedback": 400,
        "retransmitted": 3,
        "repeated": 2,
    }
    return counts | changed


def line(options: Options = OPTIONS, profiles: frozenset[str] = frozenset({GCM}), **changed: Any) -> Any:
    return result(VIEWERS, options, seen(**changed), USAGE, set(profiles))


def test_figures_are_of_the_window_and_of_each_viewer():
    found = line()
    assert found["loss"] == 0.01
    assert (found["offered_per_s"], found["packets_per_s"]) == (250, 248)
    assert found["us_per_packet"] == 1.0
    assert (found["delay_p50_ms"], found["delay_p99_ms"]) == (50.0, 99.0)
    assert (found["kb_per_viewer"], found["join_cpu_ms"], found["feedback_per_viewer_s"]) == (200, 3.0, 10.0)
    assert (found["retransmitted"], found["srtp_profile"]) == (5, GCM)
    assert set(media.COLUMNS) <= set(found)


def test_softirq_work_that_was_put_off_is_the_servers_where_it_has_a_core_of_its_own():
    shared, own = line(), line(Options((VIEWERS,), SECONDS, one_core=True))
    assert (shared["us_per_packet"], shared["softirq_us_per_packet"]) == (1.0, None)
    assert (own["us_per_packet"], own["softirq_us_per_packet"]) == (2.0, 0.1)


@pytest.mark.parametrize("profiles", [set(), {GCM, "SRTP_AES128_CM_SHA1_80"}])
def test_legs_with_unequal_srtp_profiles_are_no_result(profiles: set[str]):
    with pytest.raises(UnfairError, match="profile"):
        line(profiles=frozenset(profiles))


def test_packets_that_are_not_authentic_are_no_result():
    with pytest.raises(UnfairError):
        line(unauthentic=1)


@pytest.mark.parametrize("changed", [{"streams": 2 * VIEWERS - 1}, {"closed": [{"participant_id": "v1"}]}])
def test_a_viewer_without_a_stream_is_an_overload(changed: dict[str, Any]):
    with pytest.raises(OverloadedError):
        line(**changed)


def test_percentiles_of_few_and_of_none():
    assert percentile([7], 0.99) == 7
    assert percentile(range(100), 0.5) == 50
    assert percentile(range(100), 0.99) == 99
    assert percentile([], 0.5) != percentile([], 0.5)


def test_losses_of_the_load_clients_are_told():
    assert list(remarks(line(buffer_drops=0))) == []
    assert "load clients lost 500" in next(remarks(line(buffer_drops=500)))


def test_a_server_that_delivers_too_little_did_not_keep_up():
    assert kept_up(line())
    assert not kept_up(line(received=700, expected=700))
    assert not kept_up(line(received=940, expected=1000))


class Script:
    """Stands in for the measuring itself: (server, viewers) to what comes of it."""

    def __init__(self, outcomes: dict[tuple[str, int], Any]) -> None:
        self.asked: list[tuple[str, int]] = []
        self._outcomes = outcomes

    async def measure(self, viewers: int, options: Options) -> Any:
        self.asked.append((options.server, viewers))
        outcome = self._outcomes.get((options.server, viewers), {})
        if isinstance(outcome, Exception):
            raise outcome
        return line() | outcome


async def played(
    monkeypatch: pytest.MonkeyPatch, outcomes: dict[tuple[str, int], Any]
) -> tuple[list[tuple[str, int]], Run]:
    script, run = Script(outcomes), Run()
    monkeypatch.setattr(media, "measure", script.measure)
    monkeypatch.setattr(media, "network", lambda _case: nullcontext(media.Network()))
    await run.all(Options((20, 100, 300), 1, servers=("tollroom", "janus"), traffic=("burst",)))
    return script.asked, run


async def test_servers_take_turns_at_each_number(monkeypatch: pytest.MonkeyPatch, capsys):
    asked, run = await played(monkeypatch, {})
    assert asked == [(server, n) for n in (20, 100, 300) for server in ("tollroom", "janus")]
    assert len(run.lines) == 6
    assert run.failures == 0
    assert [json.loads(text) for text in capsys.readouterr().out.splitlines()] == run.lines


async def test_a_server_that_did_not_keep_up_is_asked_for_no_more(monkeypatch: pytest.MonkeyPatch):
    asked, run = await played(monkeypatch, {("janus", 100): {"loss": 0.2}})
    assert asked == [("tollroom", 20), ("janus", 20), ("tollroom", 100), ("janus", 100), ("tollroom", 300)]
    assert len(run.lines) == 5
    assert run.failures == 0


@pytest.mark.parametrize(
    "error", [OverloadedError("streams"), TimeoutError("join"), RuntimeError("child ended")]
)
async def test_to_fall_short_of_more_viewers_is_a_result(monkeypatch: pytest.MonkeyPatch, error: Exception):
    asked, run = await played(monkeypatch, {("janus", 300): error})
    assert asked[-1] == ("janus", 300)
    assert run.failures == 0


async def test_to_serve_nobody_is_a_fault(monkeypatch: pytest.MonkeyPatch):
    asked, run = await played(monkeypatch, {("janus", 20): OverloadedError("streams")})
    assert asked.count(("janus", 100)) == 0
    assert run.failures == 1


async def test_an_unfair_measurement_is_a_fault_at_any_number(monkeypatch: pytest.MonkeyPatch):
    _, run = await played(monkeypatch, {("tollroom", 300): UnfairError("profiles")})
    assert run.failures == 1
