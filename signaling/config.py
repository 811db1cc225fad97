"""Settings: read from the environment (and `.env`), checked against each other before anything starts.

A lost environment file must never turn a paid server into a free one, so whatever contradicts itself is refused.
Every setting is described in docs/configuration.md.
"""

import hashlib
import ipaddress
import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

import pydantic
from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from metering.payouts import HOLDING_DAYS, HOLDING_DAYS_MAX
from signaling.addresses import sender, smtp_server
from signaling.errors import ConfigError

Mode = Literal["sandbox", "test", "live"]
VIDEO_CODECS_KNOWN = ("VP8", "H264", "VP9", "AV1")
LOCAL_NAMES = {"localhost", "127.0.0.1", "::1"}
ACCOUNT_IN_KEY = re.compile(r"^[sr]k_(?:test|live)_5(1[A-Za-z0-9]{15,})")
ACCOUNT_CHARS = 16
TOKEN_SECRET_CHARS_MIN = 32
MEDIA_WORKERS_MAX = 64
PORT_MAX = 65_535
# RFC 7065 section 3.1; browsers refuse to open any connection when one URL is wrong.
TURN_URL = re.compile(r"turns?:(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(:[0-9]{1,5})?(\?transport=(udp|tcp))?\Z")


def one_per_core() -> int:
    """As many media workers as this process has cores; none, so media in this process, where there is one core."""
    cores = len(os.sched_getaffinity(0))
    return min(cores, MEDIA_WORKERS_MAX) if cores > 1 else 0


Words = Annotated[tuple[str, ...], NoDecode]


@dataclass(frozen=True, slots=True)
class KeySet:
    """One set of keys, and with it one set of books. The secrets are None in the sandbox, which makes its own."""

    mode: Mode
    account: str
    publishable_key: str = ""
    secret_key: SecretStr | None = field(default=None, repr=False)
    webhook_secret: SecretStr | None = field(default=None, repr=False)


class Settings(BaseSettings):
    """Field names are the environment variables in lower case."""

    model_config = SettingsConfigDict(env_file=".env", extra="ignore", frozen=True, hide_input_in_errors=True)

    public_url: str = ""
    bind: str = "127.0.0.1"
    http_port: int = Field(8080, ge=0, le=65535)
    https_bind: str = "0.0.0.0"  # noqa: S104 - other devices of the household; nothing but TLS is spoken there
    https_port: int = Field(8443, ge=0, le=65535)
    tls_cert: Path = Path("certs/dev.pem")
    tls_key: Path = Path("certs/dev.key")
    media_port: int = Field(8444, ge=1, le=65535)
    media_address: Words = ()
    media_plane: Literal["auto", "native", "python"] = "auto"
    media_workers: int = Field(default_factory=one_per_core, ge=0, le=MEDIA_WORKERS_MAX)
    media_loudest_max: int = Field(4, ge=0, le=1000)
    video_codecs: Words = ("VP8", "H264")
    ice_servers: tuple[dict[str, Any], ...] = ()
    turn_urls: Words = ()
    turn_secret: SecretStr | None = None
    database_url: str = "sqlite:///var/tollroom.db"
    redis_url: SecretStr | None = None
    payments: Literal["", "stripe", "sandbox"] = ""
    sandbox_port: int = Field(8442, ge=0, le=65535)
    stripe_secret_key: SecretStr | None = None
    stripe_publishable_key: str = ""
    stripe_webhook_secret: SecretStr | None = None
    stripe_account: str = ""
    stripe_test_secret_key: SecretStr | None = None
    stripe_test_publishable_key: str = ""
    stripe_test_webhook_secret: SecretStr | None = None
    stripe_test_account: str = ""
    checkout_ui: Literal["hosted", "embedded"] = "hosted"
    connect: Literal["off", "on"] = "off"
    earnings_days: int = Field(HOLDING_DAYS, ge=0, le=HOLDING_DAYS_MAX)
    room_creation: Literal["", "open", "invitation"] = ""
    trusted_proxies: Words = ()
    admin_token: SecretStr | None = None
    smtp_url: SecretStr | None = None
    mail_from: str = ""
    retention_days: int = Field(0, ge=0, le=36_500)
    metrics_token: SecretStr | None = None
    token_secret: SecretStr | None = None
    log_level: Literal["debug", "info", "warning", "error"] = "info"

    @pydantic.field_validator("media_address", "video_codecs", "turn_urls", "trusted_proxies", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        """Lists are written with commas."""
        return (
            tuple(word.strip() for word in value.split(",") if word.strip())
            if isinstance(value, str)
            else value
        )

    @pydantic.field_validator(
        "redis_url",
        "stripe_secret_key",
        "stripe_webhook_secret",
        "stripe_test_secret_key",
        "stripe_test_webhook_secret",
        "admin_token",
        "smtp_url",
        "metrics_token",
        "token_secret",
        "turn_secret",
        mode="before",
    )
    @classmethod
    def _empty_is_unset(cls, value: object) -> object:
        return None if value == "" else value

    @property
    def origin(self) -> str:
        """PUBLIC_URL without a trailing slash."""
        return (self.public_url or f"http://localhost:{self.http_port}").rstrip("/")

    @property
    def is_local(self) -> bool:
        return urlsplit(self.origin).hostname in LOCAL_NAMES

    @property
    def media_ports(self) -> range:
        """One for each worker, or the one of this process."""
        return range(self.media_port, self.media_port + max(1, self.media_workers))

    @property
    def sandbox(self) -> bool:
        return self.mode == "sandbox"

    @property
    def mode(self) -> Mode:
        """Which books: a key decides, and without one there is only the sandbox."""
        return "sandbox" if self.stripe_secret_key is None else _mode_of(self.stripe_secret_key)

    @property
    def account(self) -> str:
        """Whose books: the Stripe account, which Stripe writes into its keys (`sk_test_5` + `1…`)."""
        if self.stripe_secret_key is None:
            return "sandbox"
        return self.stripe_account or _account_of(self.stripe_secret_key)

    @property
    def key_sets(self) -> tuple[KeySet, ...]:
        """The main one first, then the one of test mode beside it, where there is one."""
        main = KeySet(
            self.mode,
            self.account,
            self.stripe_publishable_key,
            self.stripe_secret_key,
            self.stripe_webhook_secret,
        )
        key = self.stripe_test_secret_key
        if key is None:
            return (main,)
        account = self.stripe_test_account or _account_of(key)
        beside = KeySet(
            "test", account, self.stripe_test_publishable_key, key, self.stripe_test_webhook_secret
        )
        return (main, beside)

    @property
    def can_sign_in(self) -> bool:
        """Links and receipts are mailed, or shown by the sandbox."""
        return self.sandbox or self.smtp_url is not None

    @property
    def rooms_are_open(self) -> bool:
        """Whether anybody may open a room: in the sandbox, unless told otherwise."""
        return self.room_creation == "open" or (self.sandbox and self.room_creation == "")

    @property
    def database_path(self) -> Path | None:
        """The SQLite file, None on PostgreSQL."""
        _, _, path = self.database_url.partition("sqlite:///")
        return Path(path) if path else None


def _mode_of(key: SecretStr) -> Literal["test", "live"]:
    return "live" if "_live_" in key.get_secret_value()[:8] else "test"


def _account_of(key: SecretStr) -> str:
    text = key.get_secret_value()
    if match := ACCOUNT_IN_KEY.match(text):
        return "acct_" + match[1][:ACCOUNT_CHARS]
    return "key_" + hashlib.sha256(text.encode()).hexdigest()[:ACCOUNT_CHARS]


def load(**overrides: Any) -> Settings:
    """The settings of this process. Raises ConfigError in words for the operator, without any value of a secret."""
    try:
        settings = Settings(**overrides)
    except pydantic.ValidationError as error:
        faults = "; ".join(
            f"{'.'.join(map(str, fault['loc'])).upper()}: {fault['msg']}" for fault in error.errors()
        )
        raise ConfigError(faults) from None
    for refuse in (
        _refuse_urls,
        _refuse_payments,
        _refuse_test_keys,
        _refuse_sandbox,
        _refuse_lists,
        _refuse_ports,
        _refuse_turn,
        _refuse_mail,
    ):
        refuse(settings)
    return settings


def _refuse_urls(settings: Settings) -> None:
    parts = urlsplit(settings.origin)
    if (
        parts.scheme not in {"http", "https"}
        or not parts.hostname
        or parts.path
        or parts.query
        or parts.fragment
    ):
        raise ConfigError("PUBLIC_URL must be an origin such as https://rooms.example.org, without a path")
    if settings.mode == "live" and parts.scheme != "https":
        raise ConfigError("PUBLIC_URL must start with https:// when the Stripe key is a live one")
    if not settings.database_url.startswith(("sqlite:///", "postgresql:")):
        raise ConfigError("DATABASE_URL must start with sqlite:/// or postgresql:")


def _refuse_payments(settings: Settings) -> None:
    if settings.stripe_secret_key is None:
        if settings.payments == "stripe":
            raise ConfigError("PAYMENTS=stripe needs STRIPE_SECRET_KEY")
        return
    key = settings.stripe_secret_key.get_secret_value()
    if settings.payments == "sandbox":
        kind = "a live Stripe key" if settings.mode == "live" else "STRIPE_SECRET_KEY"
        raise ConfigError(f"PAYMENTS=sandbox together with {kind}: remove one of the two")
    if not key.startswith(("sk_live_", "rk_live_", "sk_test_", "rk_test_")):
        raise ConfigError(
            "STRIPE_SECRET_KEY is not a Stripe key: it starts with sk_live_, sk_test_, rk_live_ or rk_test_"
        )
    if settings.stripe_webhook_secret is None:
        raise ConfigError(
            "STRIPE_SECRET_KEY is set without STRIPE_WEBHOOK_SECRET: payments would not be noticed"
        )
    _refuse_publishable_key(settings)


def _refuse_publishable_key(settings: Settings) -> None:
    key = settings.stripe_publishable_key
    if not key:
        raise ConfigError("STRIPE_PUBLISHABLE_KEY is missing: adding time beside the call needs it")
    if not key.startswith(f"pk_{settings.mode}_"):
        raise ConfigError(
            f"STRIPE_PUBLISHABLE_KEY does not belong to a {settings.mode} key: it starts with pk_{settings.mode}_"
        )


def _refuse_test_keys(settings: Settings) -> None:
    """The second set stands beside a live one, whole, or not at all."""
    given = {
        "STRIPE_TEST_SECRET_KEY": settings.stripe_test_secret_key is not None,
        "STRIPE_TEST_PUBLISHABLE_KEY": settings.stripe_test_publishable_key != "",
        "STRIPE_TEST_WEBHOOK_SECRET": settings.stripe_test_webhook_secret is not None,
    }
    if not any(given.values()) and not settings.stripe_test_account:
        return
    missing = [name for name, is_there in given.items() if not is_there]
    if missing:
        raise ConfigError(f"the keys of test mode are not complete: {', '.join(missing)} missing")
    if settings.mode != "live":
        raise ConfigError(
            "STRIPE_TEST_SECRET_KEY stands beside a live STRIPE_SECRET_KEY: with test keys alone, set them as STRIPE_SECRET_KEY"
        )
    key, hook = settings.stripe_test_secret_key, settings.stripe_test_webhook_secret
    assert key is not None, "asked above"
    assert hook is not None, "asked above"
    if not key.get_secret_value().startswith(("sk_test_", "rk_test_")):
        raise ConfigError(
            "STRIPE_TEST_SECRET_KEY is not a test key of Stripe: it starts with sk_test_ or rk_test_"
        )
    if not settings.stripe_test_publishable_key.startswith("pk_test_"):
        raise ConfigError("STRIPE_TEST_PUBLISHABLE_KEY is not one of test mode: it starts with pk_test_")
    assert settings.stripe_webhook_secret is not None, "asked of every key"
    if set(hook.get_secret_value().split(",")) & set(
        settings.stripe_webhook_secret.get_secret_value().split(",")
    ):
        raise ConfigError("STRIPE_TEST_WEBHOOK_SECRET is STRIPE_WEBHOOK_SECRET: each address has its own")


def _refuse_sandbox(settings: Settings) -> None:
    if settings.sandbox and not settings.is_local and settings.payments != "sandbox":
        raise ConfigError(
            "PUBLIC_URL is not localhost and there is no STRIPE_SECRET_KEY. Set the Stripe keys, or PAYMENTS=sandbox if this "
            "public server is really meant to take test payments only"
        )


def _refuse_lists(settings: Settings) -> None:
    unknown = set(settings.video_codecs) - set(VIDEO_CODECS_KNOWN)
    if unknown or not settings.video_codecs:
        raise ConfigError(f"VIDEO_CODECS must be chosen from {', '.join(VIDEO_CODECS_KNOWN)}")
    for name, words in (
        ("MEDIA_ADDRESS", settings.media_address),
        ("TRUSTED_PROXIES", settings.trusted_proxies),
    ):
        for word in words:
            _refuse_address(name, word)
    if (
        settings.token_secret is not None
        and len(settings.token_secret.get_secret_value()) < TOKEN_SECRET_CHARS_MIN
    ):
        raise ConfigError(f"TOKEN_SECRET must have at least {TOKEN_SECRET_CHARS_MIN} characters")
    if settings.admin_token is not None and not _is_strong(settings.admin_token.get_secret_value()):
        raise ConfigError(f"ADMIN_TOKEN must have at least {TOKEN_SECRET_CHARS_MIN} characters, ASCII alone")


def _refuse_ports(settings: Settings) -> None:
    media = settings.media_ports
    if media[-1] > PORT_MAX:
        raise ConfigError("MEDIA_PORT is too high: each of MEDIA_WORKERS needs a port of its own after it")
    for name in ("http_port", "https_port", "sandbox_port"):
        if getattr(settings, name) in media:
            raise ConfigError(
                f"{name.upper()} is one of the media ports, {media[0]} to {media[-1]}: one for each of MEDIA_WORKERS"
            )


def _refuse_turn(settings: Settings) -> None:
    if bool(settings.turn_urls) != (settings.turn_secret is not None):
        raise ConfigError(
            "TURN_URLS and TURN_SECRET belong together: where the TURN server is, and what it shares with us"
        )
    for url in settings.turn_urls:
        if not TURN_URL.match(url):
            raise ConfigError(
                f"TURN_URLS: {url!r} is not of the form turn:HOST:PORT?transport=udp (or tcp, or turns:)"
            )


def _is_strong(token: str) -> bool:
    return len(token) >= TOKEN_SECRET_CHARS_MIN and token.isascii() and not any(map(str.isspace, token))


def _refuse_mail(settings: Settings) -> None:
    if (settings.smtp_url is None) != (settings.mail_from == ""):
        raise ConfigError(
            "SMTP_URL and MAIL_FROM belong together: who takes our mail, and whom it says it is from"
        )
    if settings.smtp_url is None:
        return
    try:
        smtp_server(settings.smtp_url.get_secret_value())
    except ValueError as error:
        raise ConfigError(f"SMTP_URL: {error}") from None
    try:
        sender(settings.mail_from)
    except ValueError as error:
        raise ConfigError(f"MAIL_FROM: {error}") from None


def _refuse_address(name: str, word: str) -> None:
    try:
        ipaddress.ip_network(word, strict=False) if name == "TRUSTED_PROXIES" else ipaddress.ip_address(word)
    except ValueError as error:
        raise ConfigError(f"{name}: {word!r} is not an IP address") from error
