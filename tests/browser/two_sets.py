"""`python -m tests.browser.two_sets serve`: the real server with a live and a test set of keys, each behind a stand-in.

Live keys want an https address, for which a browser would have to be talked into trusting us: only here it is http all
the same.
"""

import asyncio
import signal
import sys
from contextlib import AsyncExitStack
from pathlib import Path

import aiohttp
from aiohttp import web

from signaling import config
from signaling.app import build_app
from tests.browser.server import Server
from tests.integration.keysets.twins import KEYS, stand_ins

SHUTDOWN_S = 1.0


class TwoSets(Server):
    """Its letters go to `smtp_url`."""

    module = "tests.browser.two_sets"
    stops_within_s = 60.0  # three servers and two stand-ins, one after the other

    def __init__(self, folder: Path, smtp_url: str) -> None:
        keys = {name.upper(): value for name, value in KEYS.items()}
        super().__init__(folder, **keys | {"SMTP_URL": smtp_url, "PUBLIC_URL": "https://localhost"})


async def serve() -> None:
    """Until SIGTERM."""
    stopped = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
    settings = config.load()
    settings = settings.model_copy(update={"public_url": f"http://localhost:{settings.http_port}"})
    assert settings.database_path is not None
    url = f"http://127.0.0.1:{settings.http_port}"
    async with AsyncExitStack() as stack:
        http = await stack.enter_async_context(aiohttp.ClientSession())
        services = await stand_ins(stack, http, settings.database_path.parent, url)
        app = build_app(settings, service_bases=services.bases)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=SHUTDOWN_S)
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        await web.TCPSite(runner, "127.0.0.1", settings.http_port).start()
        await stopped.wait()


if __name__ == "__main__":
    sys.exit(asyncio.run(serve()))
