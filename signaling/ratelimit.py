"""Rate limits: token buckets by key, in this process. Nothing is lost when they are."""

from collections import OrderedDict
from dataclasses import dataclass
from typing import Protocol

from aiohttp import web

from signaling.clock import Clock
from signaling.errors import ApiError
from signaling.http import Network, client_address

KEYS_MAX = 20_000


@dataclass(frozen=True, slots=True)
class Rule:
    """`burst` calls at once, then one every `refill_s` seconds."""

    burst: int
    refill_s: float


class RateLimiter(Protocol):
    async def take(self, key: str, rule: Rule) -> float:
        """Takes one token. 0.0 when there was one, else the seconds until there is."""
        ...


@dataclass(slots=True)
class _Bucket:
    tokens: float
    at_ns: int


class LocalRateLimiter:
    """Bounded: beyond `keys_max` the key that was quiet longest is forgotten (its bucket is the fullest)."""

    def __init__(self, clock: Clock, keys_max: int = KEYS_MAX) -> None:
        self._clock = clock
        self._keys_max = keys_max
        self._buckets: OrderedDict[str, _Bucket] = OrderedDict()

    async def take(self, key: str, rule: Rule) -> float:
        now_ns = self._clock.now_ns()
        bucket = self._buckets.pop(key, None) or _Bucket(rule.burst, now_ns)
        self._buckets[key] = bucket
        while len(self._buckets) > self._keys_max:
            self._buckets.popitem(last=False)
        gained = (now_ns - bucket.at_ns) / 1e9 / rule.refill_s
        bucket.tokens = min(float(rule.burst), bucket.tokens + gained)
        bucket.at_ns = now_ns
        if bucket.tokens >= 1:
            bucket.tokens -= 1
            return 0.0
        return (1 - bucket.tokens) * rule.refill_s


async def require(limiter: RateLimiter, key: str, rule: Rule) -> None:
    """Raises ApiError 429 `rate_limited` when the key has used up its calls."""
    wait_s = await limiter.take(key, rule)
    if wait_s > 0:
        again_s = int(wait_s) + 1
        message = f"too many requests: try again in {again_s} s"
        raise ApiError(429, "rate_limited", message, retry_after_s=again_s)


class LimitedRoutes:
    """Handlers that slow their callers down by address, so that nothing is guessed and no script crowds others out."""

    def __init__(self, limiter: RateLimiter, trusted: tuple[Network, ...] = ()) -> None:
        self._limiter = limiter
        self._trusted = trusted

    async def _limit(self, request: web.Request, what: str, rule: Rule) -> None:
        """Raises ApiError 429 `rate_limited` when this address has used up its calls."""
        await require(self._limiter, f"{what}:{self._address(request)}", rule)

    def _address(self, request: web.Request) -> str:
        return client_address(request, self._trusted)
