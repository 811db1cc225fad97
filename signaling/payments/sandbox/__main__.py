"""`python -m signaling.payments.sandbox`: the sandbox as a process of its own, API and pages on one loopback port."""

import argparse
import asyncio
import os
import secrets
import signal
import socket
import time

import aiohttp
from aiohttp import web

from .app import LIVE_PREFIXES, Sandbox
from .errors import SandboxRefusedError


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m signaling.payments.sandbox", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="loopback port; 0 picks a free one")
    parser.add_argument("--db", required=True, help="SQLite file")
    parser.add_argument("--webhook-url", default=None, help="where signed events are sent")
    parser.add_argument(
        "--public-url", default=None, help="where browsers find the pages (default: this port)"
    )
    parser.add_argument("--secret-key", default="sk_sandbox_local")
    parser.add_argument("--webhook-secret", default="whsec_sandbox_local")
    return parser.parse_args()


async def serve(arguments: argparse.Namespace) -> None:
    """Until SIGTERM or SIGINT. Prints `listening URL` once requests are answered."""
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    listener = web_socket(arguments.port)
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    async with aiohttp.ClientSession() as http:
        sandbox = Sandbox(
            arguments.db,
            secret_key=arguments.secret_key,
            webhook_secret=arguments.webhook_secret,
            webhook_url=arguments.webhook_url,
            public_url=arguments.public_url or url,
            now=time.time,
            random_bytes=secrets.token_bytes,
            http=http,
        )
        await sandbox.start()
        runner = web.AppRunner(sandbox.standalone_app(), access_log=None)
        await runner.setup()
        await web.SockSite(runner, listener).start()
        print(f"listening {url}", flush=True)  # noqa: T201  (read by whoever started us)
        await stopped.wait()
        await runner.cleanup()
        await sandbox.close()


def web_socket(port: int) -> socket.socket:
    return socket.create_server(("127.0.0.1", port))


def main() -> None:
    if os.environ.get("STRIPE_SECRET_KEY", "").startswith(LIVE_PREFIXES):
        raise SandboxRefusedError(
            "The payment sandbox never runs beside a live Stripe key (STRIPE_SECRET_KEY)"
        )
    asyncio.run(serve(parse_arguments()))


if __name__ == "__main__":
    main()
