"""Ids and secrets. Random bytes come in as an argument (`os.urandom` in production)."""

import base64
import hashlib
import hmac
from collections.abc import Callable

RandomBytes = Callable[[int], bytes]

ID_BYTES = 16
SECRET_BYTES = 32


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def new_id(prefix: str, random_bytes: RandomBytes) -> str:
    """`room_…`, `ses_…`: 128 random bits."""
    return f"{prefix}_{_text(random_bytes(ID_BYTES))}"


def new_secret(random_bytes: RandomBytes, prefix: str = "") -> str:
    """256 random bits, for links and bearer headers; only its hash is stored."""
    return prefix + _text(random_bytes(SECRET_BYTES))


def new_slug(random_bytes: RandomBytes) -> str:
    """The public part of a share link: unguessable enough not to be listed, short enough to be read out."""
    return base64.b32encode(random_bytes(10)).decode().lower()


def derived_secret(key: str, purpose: str) -> str:
    """A secret that only who has `key` can make, the same each time for one purpose; it gives nothing of the key away."""
    return _text(hmac.new(key.encode(), f"tollroom {purpose}".encode(), hashlib.sha256).digest())


def secret_hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def secret_matches(secret: str, stored_hash: str | None) -> bool:
    """Constant-time; a missing hash matches nothing."""
    return stored_hash is not None and hmac.compare_digest(secret_hash(secret), stored_hash)
