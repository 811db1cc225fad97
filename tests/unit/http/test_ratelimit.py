"""Token buckets by key."""

import pytest

from signaling.errors import ApiError
from signaling.http import error_response
from signaling.ratelimit import LocalRateLimiter, Rule, require

RULE = Rule(burst=2, refill_s=10)


class _Clock:
    def __init__(self) -> None:
        self.at_s = 0.0

    def now_ns(self) -> int:
        return int(self.at_s * 1e9)

    def wall_s(self) -> float:
        return self.at_s


async def test_a_burst_then_one_for_each_refill():
    clock = _Clock()
    limiter = LocalRateLimiter(clock)
    assert [await limiter.take("a", RULE) for _ in range(3)] == [0.0, 0.0, 10.0]
    clock.at_s = 4
    assert await limiter.take("a", RULE) == pytest.approx(6.0)
    clock.at_s = 10
    assert await limiter.take("a", RULE) == 0.0


async def test_keys_do_not_disturb_each_other():
    limiter = LocalRateLimiter(_Clock())
    for _ in range(3):
        await limiter.take("a", RULE)
    assert await limiter.take("b", RULE) == 0.0


async def test_a_long_silence_gives_no_more_than_a_burst():
    clock = _Clock()
    limiter = LocalRateLimiter(clock)
    await limiter.take("a", RULE)
    clock.at_s = 1_000_000
    assert [await limiter.take("a", RULE) > 0 for _ in range(3)] == [False, False, True]


async def test_the_number_of_keys_is_bounded():
    limiter = LocalRateLimiter(_Clock(), keys_max=10)
    for number in range(100):
        await limiter.take(str(number), RULE)
    assert len(limiter._buckets) == 10


async def test_the_refusal_has_a_stable_code():
    limiter = LocalRateLimiter(_Clock())
    await require(limiter, "a", Rule(1, 5))
    with pytest.raises(ApiError) as refused:
        await require(limiter, "a", Rule(1, 5))
    assert (refused.value.status, refused.value.code) == (429, "rate_limited")
    assert error_response(refused.value).headers["Retry-After"] == "6"
