"""Listening: HTTP on loopback, HTTPS for other devices, until SIGTERM or SIGINT."""

import asyncio
import signal
import ssl
import sys

import structlog
from aiohttp import web

from mediaserver.worker import collect_garbage_rarely
from signaling.app import build_app
from signaling.config import Settings
from signaling.errors import ConfigError

log = structlog.get_logger()

SHUTDOWN_S = 4.0
RUN_LOST = 3


async def serve(settings: Settings) -> int:
    """Runs the server. The exit code: 0 when it was asked to stop, 3 when another process took its place. Raises
    ConfigError when it cannot listen."""
    stopped = asyncio.Event()
    code = 0

    def lost() -> None:
        nonlocal code
        code = RUN_LOST
        stopped.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    runner = web.AppRunner(
        build_app(settings, on_run_lost=lost), access_log=None, shutdown_timeout=SHUTDOWN_S
    )
    try:
        await runner.setup()
        await _listen(runner, settings)
        collect_garbage_rarely()
        say(f"Tollroom is ready: {settings.origin}")
        await stopped.wait()
        log.info("stopping")
    finally:
        await runner.cleanup()
    return code


def say(line: str) -> None:
    """A line for whoever started us, at once."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


async def _listen(runner: web.AppRunner, settings: Settings) -> None:
    if settings.http_port:
        await _site(web.TCPSite(runner, settings.bind, settings.http_port), "HTTP_PORT", settings.http_port)
    context = _tls(settings)
    if context is not None:
        site = web.TCPSite(runner, settings.https_bind, settings.https_port, ssl_context=context)
        await _site(site, "HTTPS_PORT", settings.https_port)


async def _site(site: web.TCPSite, name: str, port: int) -> None:
    try:
        await site.start()
    except OSError as error:
        raise ConfigError(f"{name}: cannot listen on port {port}: {error.strerror or error}") from error


def _tls(settings: Settings) -> ssl.SSLContext | None:
    """None when there is no certificate: then only the loopback port is served."""
    if not settings.https_port or not settings.tls_cert.exists():
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(settings.tls_cert, settings.tls_key)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(f"TLS_CERT and TLS_KEY cannot be used: {error}") from error
    return context
