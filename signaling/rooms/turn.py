"""TURN credentials in coturn's shared-secret scheme (`use-auth-secret`; draft-uberti-behave-turn-rest).

The TURN server knows the secret too and needs no list of users: the name says until when it holds and for whom, the
password is its HMAC. A credential opens relaying only, so it may live long; it is checked when a relay is asked for.
"""

import base64
import hashlib
import hmac
from dataclasses import dataclass
from typing import Any

# A call that has its relay keeps it; every `joined` brings a fresh credential for the next one.
CREDENTIAL_S = 24 * 3600


@dataclass(frozen=True, slots=True)
class Turn:
    """A TURN server's URLs (RFC 7065) and the secret that is shared with it."""

    urls: tuple[str, ...]
    secret: str

    def ice_server(self, participant_id: str, wall_s: float) -> dict[str, Any]:
        """An RTCIceServer for one participant, good for CREDENTIAL_S. The TURN server logs the name: it is the
        participant's random id and nothing else."""
        username = f"{int(wall_s) + CREDENTIAL_S}:{participant_id}"
        # SHA-1 is what the scheme prescribes.
        digest = hmac.digest(self.secret.encode(), username.encode(), hashlib.sha1)
        return {
            "urls": list(self.urls),
            "username": username,
            "credential": base64.b64encode(digest).decode(),
        }
