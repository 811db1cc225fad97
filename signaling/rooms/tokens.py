"""Join tokens: a short-lived, single-use key from the HTTP call that proved a secret to the WebSocket.

The token alone is never enough: at join the pass is looked up. Its two minutes have nothing to do with the paid time.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Literal

import jwt
from sqlalchemy import delete, select

from signaling.clock import Clock
from signaling.ids import RandomBytes, new_id, new_secret, secret_hash
from signaling.stores.database import Database, Transaction
from signaling.stores.schema import settings, used_tokens
from signaling.stores.statements import insert_once

ALGORITHM = "HS256"
ISSUER = "tollroom"
AUDIENCE = "tollroom/ws"
VALID_S = 120
LEEWAY_S = 5
KEYS_KEPT = 2
JTI_CHARS_MAX = 64
SETTING = "token_keys"

Role = Literal["host", "payer"]


@dataclass(frozen=True, slots=True)
class Claims:
    """What a token permits: `role` in `room_id`, on the pass `pass_id` (None for the host)."""

    role: Role
    room_id: str
    pass_id: str | None
    publish: bool
    mode: str
    jti: str = ""
    expires_at_s: int = 0


@dataclass(frozen=True, slots=True)
class Key:
    kid: str
    secret: str

    def __repr__(self) -> str:
        return f"Key(kid={self.kid!r})"


class BadTokenError(Exception):
    """Forged, expired, or for something else. The message is for the log; the client learns `bad_token`."""


class Tokens:
    """Signs with the first key and takes any of them, so that keys can be rotated without a gap."""

    def __init__(
        self,
        mode: str,
        clock: Clock,
        random_bytes: RandomBytes,
        keys: tuple[Key, ...] = (),
        *,
        other_modes: Collection[str] = (),
    ) -> None:
        self._keys = keys
        self._modes = {mode, *other_modes}
        self._clock = clock
        self._random_bytes = random_bytes

    def use(self, keys: tuple[Key, ...]) -> None:
        """From now on; call before the first token (`load_keys`) and after each rotation."""
        self._keys = keys

    @property
    def keys(self) -> tuple[Key, ...]:
        """Newest first; for who else signs in this server's name."""
        return self._keys

    def make(self, claims: Claims) -> tuple[str, int]:
        """The token and when it expires (Unix seconds)."""
        now_s = int(self._clock.wall_s())
        key = self._keys[0]
        body = {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "iat": now_s,
            "exp": now_s + VALID_S,
            "jti": new_id("jti", self._random_bytes),
            "sub": claims.pass_id or claims.room_id,
            "role": claims.role,
            "room": claims.room_id,
            "pass": claims.pass_id,
            "publish": claims.publish,
            "mode": claims.mode,
        }
        return jwt.encode(body, key.secret, algorithm=ALGORITHM, headers={"kid": key.kid}), now_s + VALID_S

    def read(self, token: str) -> Claims:
        """Raises BadTokenError."""
        try:
            body = jwt.decode(
                token,
                self._secret(token),
                algorithms=[ALGORITHM],
                audience=AUDIENCE,
                issuer=ISSUER,
                # Expiry is checked below on our clock.
                options={"require": ["exp", "iat", "jti", "sub"], "verify_exp": False, "verify_iat": False},
            )
        except (jwt.InvalidTokenError, ValueError, TypeError) as error:
            raise BadTokenError(str(error)) from error
        claims = _claims(body)
        now_s = self._clock.wall_s()
        if claims.expires_at_s <= now_s:
            raise BadTokenError("expired")
        if claims.expires_at_s > now_s + VALID_S + LEEWAY_S:
            raise BadTokenError("valid for longer than any token of ours")
        if claims.mode not in self._modes:
            raise BadTokenError("of another mode")
        return claims

    def _secret(self, token: str) -> str:
        kid = jwt.get_unverified_header(token).get("kid")
        for key in self._keys:
            if key.kid == kid:
                return key.secret
        raise BadTokenError("signed with a key that is not ours")


def _claims(body: dict[str, Any]) -> Claims:
    role, room_id, pass_id = body.get("role"), body.get("room"), body.get("pass")
    exp, jti = body["exp"], body["jti"]
    well_formed = (
        isinstance(room_id, str)
        and isinstance(exp, int)
        and isinstance(jti, str)
        and 0 < len(jti) <= JTI_CHARS_MAX
    )
    if not well_formed or role not in {"host", "payer"} or (role == "payer") != isinstance(pass_id, str):
        raise BadTokenError("malformed claims")
    return Claims(
        role=role,
        room_id=str(room_id),
        pass_id=pass_id,
        publish=body.get("publish") is True,
        mode=str(body.get("mode")),
        jti=jti,
        expires_at_s=exp,
    )


async def spend(tx: Transaction, claims: Claims, now_s: int) -> bool:
    """Marks the token as used; False when it was. Old marks are cleared on the way."""
    await tx.execute(delete(used_tokens).where(used_tokens.c.expires_at_s < now_s - VALID_S))
    return await insert_once(tx, used_tokens, {"jti": claims.jti, "expires_at_s": claims.expires_at_s})


async def load_keys(db: Database, random_bytes: RandomBytes, token_secret: str | None) -> tuple[Key, ...]:
    """TOKEN_SECRET as the only key, or those in the database, made on first use."""
    if token_secret is not None:
        return (Key("env-" + secret_hash(token_secret)[:8], token_secret),)
    fresh = Key(new_id("key", random_bytes), new_secret(random_bytes))

    async def work(tx: Transaction) -> list[dict[str, str]]:
        await insert_once(
            tx, settings, {"name": SETTING, "value": [{"kid": fresh.kid, "secret": fresh.secret}]}
        )
        return list(
            (await tx.execute(select(settings.c.value).where(settings.c.name == SETTING))).scalar_one()
        )

    return tuple(Key(row["kid"], row["secret"]) for row in await db.write(work))


async def rotate_keys(db: Database, random_bytes: RandomBytes) -> tuple[Key, ...]:
    """A new signing key in front; the one before stays good for the tokens that are out."""
    fresh = Key(new_id("key", random_bytes), new_secret(random_bytes))
    kept = (fresh, *await load_keys(db, random_bytes, None))[:KEYS_KEPT]
    value = [{"kid": key.kid, "secret": key.secret} for key in kept]
    await db.write(
        lambda tx: tx.execute(settings.update().where(settings.c.name == SETTING).values(value=value))
    )
    return kept
