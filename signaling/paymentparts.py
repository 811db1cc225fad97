"""Makes the payments: for each set of keys a `Payments` over Stripe, or one over the sandbox behind the same SDK."""

import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from signaling.clock import Clock
from signaling.config import KeySet, Settings
from signaling.errors import ConfigError
from signaling.ids import RandomBytes, new_secret
from signaling.notices import Notices
from signaling.payments.sandbox import Sandbox
from signaling.payments.service import Payments
from signaling.payments.settings import PaymentsSettings
from signaling.payments.stripe import StripePayments
from signaling.paymentsets import PaymentSets
from signaling.stores.database import Database

LOOPBACK = "127.0.0.1"
SANDBOX_FILE = Path("var/sandbox.db")  # when the database is no file beside which it could lie


@dataclass(slots=True)
class SandboxParts:
    """The stand-in for Stripe, and the loopback socket on which the SDK reaches it."""

    sandbox: Sandbox
    listener: socket.socket


@dataclass(frozen=True, slots=True)
class Hands:
    """What every part is handed. `bases`: by mode, where the service answers instead of at Stripe (tests)."""

    db: Database
    clock: Clock
    random_bytes: RandomBytes
    notices: Notices
    http: aiohttp.ClientSession
    bases: Mapping[str, str]


def make_sets(settings: Settings, hands: Hands) -> tuple[PaymentSets, SandboxParts | None]:
    """The sandbox's secrets live as long as the process. Raises ConfigError when SANDBOX_PORT is taken."""
    sandbox: SandboxParts | None = None
    made = []
    for keys in settings.key_sets:
        if keys.secret_key is None:
            service, sandbox = _over_the_sandbox(settings, hands)
        else:
            service = _over_stripe(keys, hands)
        made.append(
            Payments(
                db=hands.db,
                clock=hands.clock,
                random_bytes=hands.random_bytes,
                notices=hands.notices,
                service=service,
                settings=payments_settings(settings, keys),
            )
        )
    return PaymentSets(made), sandbox


def _over_stripe(keys: KeySet, hands: Hands) -> StripePayments:
    assert keys.secret_key is not None, "asked by the caller"
    assert keys.webhook_secret is not None, "refused at the start"
    return StripePayments(
        keys.secret_key.get_secret_value(),
        http=hands.http,
        mode=keys.mode,
        account=keys.account,
        webhook_secret=keys.webhook_secret.get_secret_value(),
        api_base=hands.bases.get(keys.mode),
    )


def _over_the_sandbox(settings: Settings, hands: Hands) -> tuple[StripePayments, SandboxParts]:
    secret_key = new_secret(hands.random_bytes, "sk_sandbox_")
    webhook_secret = new_secret(hands.random_bytes, "whsec_")
    sandbox = _make_sandbox(
        settings, hands.clock, hands.random_bytes, hands.http, (secret_key, webhook_secret)
    )
    service = StripePayments(
        secret_key,
        http=hands.http,
        mode=settings.mode,
        account=settings.account,
        webhook_secret=webhook_secret,
        api_base=f"http://{LOOPBACK}:{sandbox.listener.getsockname()[1]}",
    )
    return service, sandbox


def _make_sandbox(
    settings: Settings,
    clock: Clock,
    random_bytes: RandomBytes,
    http: aiohttp.ClientSession,
    secrets: tuple[str, str],
) -> SandboxParts:
    """Raises ConfigError when SANDBOX_PORT is taken."""
    try:
        listener = socket.create_server((LOOPBACK, settings.sandbox_port))
    except OSError as error:
        raise ConfigError(
            f"SANDBOX_PORT: cannot listen on {settings.sandbox_port}: {error.strerror}"
        ) from error
    database = settings.database_path
    path = database.with_name(database.stem + "-sandbox.db") if database else SANDBOX_FILE
    path.parent.mkdir(parents=True, exist_ok=True)
    hook_host = LOOPBACK if settings.bind in {"", "0.0.0.0", "::", "localhost"} else settings.bind  # noqa: S104
    sandbox = Sandbox(
        path,
        secret_key=secrets[0],
        webhook_secret=secrets[1],
        webhook_url=f"http://{hook_host}:{settings.http_port}/stripe/webhook" if settings.http_port else None,
        public_url=settings.origin,
        now=clock.wall_s,
        random_bytes=random_bytes,
        http=http,
    )
    return SandboxParts(sandbox, listener)


def payments_settings(settings: Settings, keys: KeySet) -> PaymentsSettings:
    main, *_ = settings.key_sets
    return PaymentsSettings(
        mode=keys.mode,
        account=keys.account,
        public_url=settings.origin,
        publishable_key=keys.publishable_key,
        checkout_ui=settings.checkout_ui,
        earnings_days=settings.earnings_days,
        connect=settings.connect == "on",
        receipts=settings.can_sign_in,
        beside=tuple((one.mode, one.account) for one in settings.key_sets if one != keys),
        main=keys == main,
    )
