"""The real server in a process of its own: started, killed and started again on the same data and ports."""

import base64
import json
import os
import secrets
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

ROOT = Path(__file__).parents[2]
START_S = 40.0
# A lost environment must not decide a test: only these are passed on.
KEPT = ("PATH", "HOME", "LANG", "VIRTUAL_ENV")


@dataclass(frozen=True, slots=True)
class Room:
    id: str
    slug: str
    share_url: str
    host_url: str
    host_key: str


@dataclass(frozen=True, slots=True)
class Order:
    """What a browser keeps of an order."""

    id: str
    secret: str
    slug: str


class RefusedError(Exception):
    """The API answered with an error: `status` and its stable `code`."""

    def __init__(self, status: int, code: str) -> None:
        super().__init__(f"{status} {code}")
        self.status = status
        self.code = code


def free_ports(count: int) -> list[int]:
    """Free for TCP now. All are held until all are found, so they differ."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [int(one.getsockname()[1]) for one in sockets]
    finally:
        for one in sockets:
            one.close()


def free_media_port(count: int) -> int:
    """The first of `count` ports in a row that are free for UDP and TCP now: one for each media worker."""
    for _ in range(200):
        (first,) = free_ports(1)
        kinds = (socket.SOCK_DGRAM, socket.SOCK_STREAM)
        sockets = [socket.socket(type=kinds[place % 2]) for place in range(2 * count)]
        try:
            for place, one in enumerate(sockets):
                one.bind(("127.0.0.1", first + place // 2))
        except (OSError, OverflowError):
            continue
        finally:
            for one in sockets:
                one.close()
        return first
    raise RuntimeError(f"no {count} free ports in a row")


def tested_workers() -> int:
    """How many media workers every server of the tests has, unless a test says otherwise: the same tests run over the
    server of one process and, with TEST_MEDIA_WORKERS=2 in the environment, over workers."""
    return int(os.environ.get("TEST_MEDIA_WORKERS", "0"))


def tested_plane() -> str:
    """Likewise, what forwards packets: TEST_MEDIA_PLANE=python where it should not be the native plane."""
    return os.environ.get("TEST_MEDIA_PLANE", "auto")


class Server:
    """`start`, `kill9`, `stop`; the same folder and ports each time. `prefix`: what starts it elsewhere (`ip netns exec
    NAME`), where it is found as `host`."""

    module = "signaling"
    stops_within_s = 10.0

    def __init__(
        self, folder: Path, *, host: str = "localhost", prefix: Sequence[str] = (), **settings: str
    ) -> None:
        self.folder = folder
        self._prefix = prefix
        self.http_port, self.sandbox_port = free_ports(2)
        self.media_workers = int(settings.get("MEDIA_WORKERS", tested_workers()))
        self.media_port = free_media_port(max(1, self.media_workers))
        self.url = f"http://{host}:{self.http_port}"
        self._settings = settings
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Returns when it answers. Raises RuntimeError with its log when it ends or stays silent."""
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [*self._prefix, sys.executable, "-m", self.module, "serve"],
                cwd=ROOT,
                env=self._environment(),
                stdout=log,
                stderr=log,
            )
        until = time.monotonic() + START_S
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > until:
                raise RuntimeError(
                    f"the server did not start:\n{self.log.read_text(errors='replace')[-4000:]}"
                )
            time.sleep(0.1)

    def kill9(self) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def workers(self) -> list[int]:
        """The processes of its media workers."""
        assert self._process is not None
        pid = self._process.pid
        return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]

    def stop(self) -> None:
        """SIGTERM; fails when it does not leave in time."""
        if self._process is None or self._process.poll() is not None:
            return
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(self.stops_within_s)
        except subprocess.TimeoutExpired:
            self.kill9()
            raise

    def command(self, *arguments: str) -> str:
        """What `tollroom …` prints with this server's settings."""
        done = subprocess.run(
            [sys.executable, "-m", "signaling", *arguments],
            cwd=ROOT,
            env=self._environment(),
            capture_output=True,
            text=True,
            timeout=30,
            check=True,
        )
        return done.stdout.strip()

    @property
    def dashboard(self) -> str:
        """The payment sandbox's own, for whoever runs the server."""
        return f"http://127.0.0.1:{self.sandbox_port}/_control/"

    @property
    def log(self) -> Path:
        return self.folder / "server.log"

    def call(self, method: str, path: str, body: Any = None, bearer: str | None = None) -> Any:
        """The JSON answer. Raises RefusedError."""
        headers = {"Content-Type": "application/json"}
        if bearer is not None:
            headers["Authorization"] = f"Bearer {bearer}"
        data = None if body is None else json.dumps(body).encode()
        request = Request(self.url + path, data, headers, method=method)
        try:
            with urlopen(request, timeout=10) as answer:
                return json.load(answer)
        except HTTPError as error:
            with error:
                text = error.read().decode(errors="replace")
            raise RefusedError(error.code, _code(text)) from None

    def create_room(self, **changes: Any) -> Room:
        """A confidential room, 5.00 EUR for 30 minutes unless changed."""
        body = {
            "title": "Italian conversation",
            "description": "We talk about whatever you like, and I correct you gently.",
            "host_name": "Ana",
            "tariff": {"kind": "entrance", "price_minor": 500, "currency": "eur", "seconds": 1800},
            "privacy": "confidential",
        }
        answer = self.call("POST", "/api/rooms", body | changes)
        return Room(*(answer[name] for name in ("id", "slug", "share_url", "host_url", "host_key")))

    def order(self, room: Room, name: str, **changes: Any) -> tuple[Order, Any]:
        """A new order, not yet paid, and the API's answer to it."""
        order = Order("ord_" + _random(16), _random(32), room.slug)
        seconds = self.call("GET", f"/api/rooms/{room.slug}")["choices"][0]["seconds"]
        body = {"order_id": order.id, "name": name, "seconds": seconds, "accept_terms": True}
        answer = self.call("POST", f"/api/rooms/{room.slug}/orders", body | changes, order.secret)
        return order, answer

    def buy(self, room: Room, name: str, card: str = "succeeds", **changes: Any) -> Order:
        """An order paid at the sandbox's till; the host must be live."""
        order, answer = self.order(room, name, **changes)
        session_id = answer["checkout"]["url"].rstrip("/").rsplit("/", 1)[-1]
        self.call(
            "POST", f"/sandbox/api/checkout/{session_id}/pay", {"card": card, "email": None, "name": None}
        )
        until = time.monotonic() + 10
        while self.refresh(order)["state"] not in ("paid", "failed"):
            assert time.monotonic() < until, "the payment did not arrive"
            time.sleep(0.1)
        return order

    def refresh(self, order: Order) -> Any:
        return self.call("POST", f"/api/orders/{order.id}/refresh", bearer=order.secret)

    def leave_ms(self, order: Order, left_ms: int) -> None:
        """As if all but `left_ms` of the pass had been used: the shortest time for sale is a minute. Waits for the end
        of a stay that is still being written."""
        with closing(sqlite3.connect(self.folder / "tollroom.db", timeout=10)) as db, db:
            counting = (
                "SELECT count(*) FROM segments JOIN passes ON passes.id = segments.pass_id "
                "WHERE passes.order_id = ? AND segments.closed_ms IS NULL"
            )
            until = time.monotonic() + 10
            while db.execute(counting, (order.id,)).fetchone()[0]:
                assert time.monotonic() < until, "the stay does not end"
                time.sleep(0.05)
            changed = db.execute(
                "UPDATE passes SET used_ms = granted_ms - ? WHERE order_id = ?", (left_ms, order.id)
            )
            assert changed.rowcount == 1

    def holding_time_is_over(self) -> None:
        """As if the days between a sale and its being due had passed, for all that was sold."""
        with closing(sqlite3.connect(self.folder / "tollroom.db", timeout=10)) as db, db:
            assert db.execute("UPDATE earnings SET available_at_s = 0").rowcount > 0

    def _answers(self) -> bool:
        try:
            return bool(self.call("GET", "/healthz")["status"] == "ok")
        except (OSError, RefusedError):
            return False

    def _environment(self) -> dict[str, str]:
        kept = {name: os.environ[name] for name in KEPT if name in os.environ}
        return kept | {
            "PUBLIC_URL": self.url,
            "HTTP_PORT": str(self.http_port),
            "HTTPS_PORT": "0",
            "MEDIA_PORT": str(self.media_port),
            "MEDIA_ADDRESS": "127.0.0.1",
            "MEDIA_PLANE": tested_plane(),
            "MEDIA_WORKERS": str(self.media_workers),
            "SANDBOX_PORT": str(self.sandbox_port),
            "DATABASE_URL": f"sqlite:///{self.folder}/tollroom.db",
            **self._settings,
        }


def _random(count: int) -> str:
    return base64.urlsafe_b64encode(secrets.token_bytes(count)).rstrip(b"=").decode()


def _code(text: str) -> str:
    try:
        return str(json.loads(text)["error"]["code"])
    except (ValueError, KeyError, TypeError):
        return text[:200]
