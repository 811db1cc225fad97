"""A hundred payers, each with a limit of its own: media ends at the limit, counted where it arrives."""

import asyncio

from bench.media import Bench, Options

PAYERS = 100
FIRST_LIMIT_MS = 2500
STEP_MS = 20
# Opus comes every 20 ms: the last packet before a limit cannot be expected to be closer than that.
AUDIO_GAP_MS = 20
CUT_ERROR_MS = 20
# A busy machine stops the host, the server or the kernel's deliveries for as long as it likes. Whoever's end falls into such a
# stop gets the packet before it late, and it is then the last one before all those ends: those are few, and the stop is not long.
STOPPED_MOST = 10
STOP_MS = 500

# A tenth of a camera's traffic: what is tested is the cut, not the throughput.
TRAFFIC = Options(viewers=(PAYERS,), seconds=1, video_per_s=30, video_bytes=300)


def limit_ms(n: int) -> int:
    return FIRST_LIMIT_MS + n * STEP_MS


async def test_media_of_a_hundred_payers_ends_at_each_ones_limit() -> None:
    async with Bench(PAYERS, TRAFFIC) as bench:
        await bench.start_host()
        names = await bench.join_viewers(gates=False)
        await bench.open_gates({name: limit_ms(n) for n, name in enumerate(names)})
        await asyncio.sleep((limit_ms(PAYERS) + 500) / 1000)
        reports = {name: await bench.server.request("close", participant_id=name) for name in names}
        arrived = await bench.last_packets()

    ends, lasts, late = [], [], []
    for n, name in enumerate(names):
        report = reports[name]
        end_ms = report["first_forwarded_ms"] + limit_ms(n)
        assert report["last_forwarded_ms"] <= end_ms, f"{name}: forwarded after its limit"
        assert report["stopped_ms"] == end_ms
        ends.append(end_ms)
        lasts.append(report["last_forwarded_ms"])
        first_ns, last_ns = arrived[name]
        # Both times are arrivals, so the way to the payer cancels out.
        late.append((last_ns - first_ns) / 1e6 - limit_ms(n))
    assert sorted(late)[-STOPPED_MOST - 1] <= CUT_ERROR_MS, "received after their limits"
    assert max(late) <= STOP_MS, "received long after a limit"
    early = [newest_before(end_ms, lasts) - last_ms for end_ms, last_ms in zip(ends, lasts, strict=True)]
    assert sorted(early)[-STOPPED_MOST - 1] <= AUDIO_GAP_MS, "cut before packets that others still got"
    assert max(early) <= STOP_MS, "cut long before packets that others still got"


def newest_before(end_ms: int, lasts: list[int]) -> int:
    """The newest packet that the server is known to have forwarded to anybody by then."""
    return max(last_ms for last_ms in lasts if last_ms <= end_ms)
