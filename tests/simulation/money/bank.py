"""The payment sandbox on a machine, as a process of its own."""

import json
from pathlib import Path
from random import Random
from typing import Any

from aiohttp import web

from signaling.payments.sandbox import Sandbox

from .machine import AtOnce, Clock, Process
from .wire import Network, client

PORT = 12111
URL = f"http://127.0.0.1:{PORT}"
SECRET_KEY = "sk_sandbox_town"
WEBHOOK_SECRET = "whsec_town"
ACCOUNT = "sandbox"


class Bank(Process):
    def __init__(self, number: int, chance: Random, network: Network, folder: Path, webhook_url: str) -> None:
        super().__init__(f"bank {number}", chance)
        self._network = network
        self._folder = folder
        self._webhook_url = webhook_url
        self.sandbox: Sandbox

    async def boot(self) -> None:
        await self.inside(self._boot())

    async def _boot(self) -> None:
        self.http = client(self._network)
        self.sandbox = Sandbox(
            self._folder / "sandbox.db",
            secret_key=SECRET_KEY,
            webhook_secret=WEBHOOK_SECRET,
            webhook_url=self._webhook_url,
            public_url="http://localhost:8080",
            now=Clock().wall_s,
            random_bytes=self.chance.randbytes,
            http=self.http,
        )
        self.store = self.sandbox._store
        self.store._thread = AtOnce()  # type: ignore[assignment]
        await self.sandbox.start()
        assert self.store._db is not None
        self.store._db.execute("PRAGMA synchronous=OFF")
        app = self.sandbox.standalone_app()
        runner = web.AppRunner(app, access_log=None, handle_signals=False)
        await runner.setup()
        self._network.listen(PORT, self, runner.server)

    async def bury(self) -> None:
        await self.buried()
        if hasattr(self, "http"):
            await self.http.close()
        if hasattr(self, "sandbox"):
            await self.store.close()

    async def ask(self, read: Any) -> Any:
        """From its own file, past the network."""
        return await self.store.write(read)


def all_of(tx: Any, kind: str) -> list[dict[str, Any]]:
    """Every object of a kind that the bank has, as it was made."""
    rows = tx.db.execute("SELECT body FROM objects WHERE object = ? ORDER BY seq", (kind,))
    return [json.loads(row[0]) for row in rows]


__all__ = ["ACCOUNT", "PORT", "SECRET_KEY", "URL", "WEBHOOK_SECRET", "Bank", "all_of"]
