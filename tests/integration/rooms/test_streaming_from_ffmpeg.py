"""FFmpeg itself as encoder: it offers `setup:passive`, no mid, and baseline H264 without the bit for "constrained"."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import av
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests.integration.harness import App, running_app
from tests.integration.rooms.streaming import room_key

ROOT = Path(__file__).parents[3]


def certificate(folder: Path) -> tuple[Path, Path]:
    """On P-256: FFmpeg built with GnuTLS makes one on P-224, which browsers' and OpenSSL's defaults refuse."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "encoder")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    cert_file, key_file = folder / "encoder.pem", folder / "encoder.key"
    cert_file.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    key_file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return cert_file, key_file


@asynccontextmanager
async def ffmpeg(app: App, key: str, folder: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.integration.rooms.ffmpeg_encoder"),
        *(f"{app.url}/whip", key, *map(str, certificate(folder))),
        cwd=ROOT,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


@pytest.mark.skipif("whip" not in av.formats_available, reason="this PyAV's FFmpeg has no WHIP muxer")
async def test_a_host_goes_live_from_ffmpeg(tmp_path: Path) -> None:
    async with running_app(tmp_path) as app:
        room = await app.create_room()
        async with ffmpeg(app, await room_key(app, room), tmp_path) as encoder:
            await app.until_state(room, "live")
            payer = await app.payer(await app.buy(room))
            await payer.watching()
            await payer.wait("meter", state="counting")
            encoder.terminate()
            assert await encoder.wait() == 0
            await app.until_state(room, "away")  # it said goodbye with DELETE
            await payer.wait("notice", kind="host_away")
