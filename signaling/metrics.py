"""`GET /metrics`: Prometheus text, for loopback and for whoever has METRICS_TOKEN."""

import hmac
import ipaddress
from collections.abc import Awaitable, Callable, Iterator, Mapping

from aiohttp import web
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from mediaserver.server import MediaStats
from signaling.errors import ApiError
from signaling.http import bearer
from signaling.rooms.cards import Cards
from signaling.rooms.service import Rooms

ReadStats = Callable[[], Awaitable[Mapping[int, MediaStats]]]


class Figures:
    """Reads the figures when asked; keeps none. `media`: by media worker, set before each reading."""

    def __init__(self, rooms: Rooms, cards: Cards) -> None:
        self._rooms = rooms
        self._cards = cards
        self.media: Mapping[int, MediaStats] = {}

    def collect(self) -> Iterator[Metric]:
        rooms = tuple(self._rooms.rooms.values())
        yield GaugeMetricFamily("tollroom_rooms", "Rooms with somebody in them", value=len(rooms))
        yield GaugeMetricFamily(
            "tollroom_rooms_live", "Rooms whose host is live", value=sum(r.live for r in rooms)
        )
        yield GaugeMetricFamily(
            "tollroom_participants", "People in rooms", value=len(self._rooms.participants)
        )
        yield self._meters()
        yield GaugeMetricFamily("tollroom_watchers", "Open public cards", value=self._cards.watchers)
        yield from self._packets()

    def _meters(self) -> Metric:
        family = GaugeMetricFamily("tollroom_meters", "Metered stays by state", labels=["state"])
        counts: dict[str, int] = {}
        for stay in self._rooms.runner.stays.values():
            name = stay.session.state.name.lower()
            counts[name] = counts.get(name, 0) + 1
        for name, count in counts.items():
            family.add_metric([name], count)
        return family

    def _packets(self) -> Iterator[Metric]:
        labels = ["worker"]
        transports = GaugeMetricFamily("tollroom_media_transports", "Media transports", labels=labels)
        packets = GaugeMetricFamily(
            "tollroom_media_packets_out", "Packets sent to those here now", labels=labels
        )
        dropped = CounterMetricFamily(
            "tollroom_media_dropped", "Datagrams that belong to nobody", labels=labels
        )
        for worker, stats in self.media.items():
            found = [t for by_name in stats.participants.values() for t in by_name.values()]
            transports.add_metric([str(worker)], len(found))
            packets.add_metric([str(worker)], sum(t.packets_out for t in found))
            dropped.add_metric([str(worker)], stats.dropped)
        yield from (transports, packets, dropped)


class Metrics:
    """The route. Who may read: loopback itself (not through a proxy), or the bearer of the token."""

    def __init__(self, figures: Figures, read_stats: ReadStats, token: str | None) -> None:
        self._figures = figures
        self._read_stats = read_stats
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(figures)
        self._token = token

    async def show(self, request: web.Request) -> web.Response:
        if not self._may_read(request):
            raise ApiError(403, "forbidden", "metrics are for the operator")
        self._figures.media = await self._read_stats()
        return web.Response(
            body=generate_latest(self._registry), headers={"Content-Type": "text/plain; version=0.0.4"}
        )

    def _may_read(self, request: web.Request) -> bool:
        given = bearer(request)
        if (
            self._token is not None
            and given is not None
            and hmac.compare_digest(given.encode(), self._token.encode())
        ):
            return True
        is_direct = "X-Forwarded-For" not in request.headers and "Forwarded" not in request.headers
        return is_direct and _is_loopback(request.remote)


def _is_loopback(remote: str | None) -> bool:
    try:
        return remote is not None and ipaddress.ip_address(remote).is_loopback
    except ValueError:
        return False
