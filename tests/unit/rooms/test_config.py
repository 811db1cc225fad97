"""Settings: every contradiction is refused in words, no secret is shown, every setting is documented."""

import os
import re
from pathlib import Path
from typing import Any

import pytest

from signaling.config import Settings, load
from signaling.errors import ConfigError

DOCUMENT = Path(__file__).parents[3] / "docs" / "configuration.md"
LIVE = {
    "public_url": "https://rooms.example.org",
    "stripe_secret_key": "sk_live_51AbCdEfGhIjKlMnOpQ",
    "stripe_publishable_key": "pk_live_51AbCdEfGhIjKlMnOpQ",
    "stripe_webhook_secret": "whsec_something",
}
TEST = LIVE | {"stripe_secret_key": "sk_test_5x", "stripe_publishable_key": "pk_test_5x"}


BOTH = LIVE | {
    "stripe_test_secret_key": "sk_test_51AbCdEfGhIjKlMnOpQ",
    "stripe_test_publishable_key": "pk_test_51AbCdEfGhIjKlMnOpQ",
    "stripe_test_webhook_secret": "whsec_of_tests",
}


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)


def settings(**values: Any) -> Settings:
    return load(_env_file=None, **values)


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        (LIVE | {"payments": "sandbox"}, "live Stripe key"),
        (TEST | {"payments": "sandbox"}, "PAYMENTS=sandbox"),
        ({"public_url": "https://rooms.example.org"}, "PAYMENTS=sandbox"),
        (LIVE | {"public_url": "http://rooms.example.org"}, "https://"),
        (LIVE | {"stripe_webhook_secret": ""}, "STRIPE_WEBHOOK_SECRET"),
        (LIVE | {"stripe_publishable_key": ""}, "STRIPE_PUBLISHABLE_KEY"),
        (LIVE | {"stripe_publishable_key": "pk_test_5x"}, "STRIPE_PUBLISHABLE_KEY"),
        (LIVE | {"stripe_secret_key": "whatever"}, "not a Stripe key"),
        (BOTH | {"stripe_test_secret_key": "sk_live_51AbCdEfGhIjKlMnOpQ"}, "sk_test_"),
        (BOTH | {"stripe_test_secret_key": "whatever"}, "STRIPE_TEST_SECRET_KEY is not a test key"),
        (BOTH | {"stripe_test_secret_key": ""}, "STRIPE_TEST_SECRET_KEY missing"),
        (BOTH | {"stripe_test_publishable_key": ""}, "STRIPE_TEST_PUBLISHABLE_KEY missing"),
        (BOTH | {"stripe_test_publishable_key": "pk_live_5x"}, "pk_test_"),
        (BOTH | {"stripe_test_webhook_secret": ""}, "STRIPE_TEST_WEBHOOK_SECRET missing"),
        (BOTH | {"stripe_test_webhook_secret": "whsec_a,whsec_something"}, "each address has its own"),
        (LIVE | {"stripe_test_account": "acct_x"}, "not complete"),
        (BOTH | TEST, "beside a live STRIPE_SECRET_KEY"),
        (BOTH | {"stripe_secret_key": ""}, "beside a live STRIPE_SECRET_KEY"),
        ({"payments": "stripe"}, "needs STRIPE_SECRET_KEY"),
        ({"payments": "paypal"}, "PAYMENTS"),
        ({"public_url": "localhost"}, "PUBLIC_URL"),
        ({"public_url": "http://localhost/path"}, "PUBLIC_URL"),
        ({"database_url": "mysql://x"}, "DATABASE_URL"),
        ({"http_port": 70_000}, "HTTP_PORT"),
        ({"http_port": "many"}, "HTTP_PORT"),
        ({"media_port": 65_000, "media_workers": 64, "sandbox_port": 65_063}, "SANDBOX_PORT"),
        ({"media_port": 8440, "media_workers": 4}, "8440 to 8443"),
        ({"media_port": 8080, "media_workers": 0}, "HTTP_PORT"),
        ({"media_port": 65_535, "media_workers": 2}, "MEDIA_PORT"),
        ({"video_codecs": "VP8,H266"}, "VIDEO_CODECS"),
        ({"media_address": "rooms.example.org"}, "MEDIA_ADDRESS"),
        ({"trusted_proxies": "everybody"}, "TRUSTED_PROXIES"),
        ({"token_secret": "short"}, "TOKEN_SECRET"),
        ({"ice_servers": "turn"}, "ICE_SERVERS"),
        ({"turn_urls": "turn:turn.example.org"}, "TURN_SECRET"),
        ({"turn_secret": "s"}, "TURN_URLS"),
        ({"turn_urls": "https://turn.example.org", "turn_secret": "s"}, "turn:HOST"),
        ({"turn_urls": "turn:a,turn://b", "turn_secret": "s"}, "turn://b"),
        ({"smtp_url": "smtp://mail.example.org"}, "MAIL_FROM"),
        ({"mail_from": "rooms@example.org"}, "SMTP_URL"),
        ({"smtp_url": "http://mail.example.org", "mail_from": "a@b.c"}, "SMTP_URL: must be"),
        ({"smtp_url": "smtp://mail.example.org", "mail_from": "rooms"}, "MAIL_FROM: must be"),
        ({"smtp_url": "smtp://mail.example.org", "mail_from": "a@b.c\r\nBcc: d@e.f"}, "MAIL_FROM: must be"),
        ({"admin_token": "short"}, "ADMIN_TOKEN must have"),
    ],
)
def test_contradictions_are_refused_in_words(values: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(sentence)) as refused:
        settings(**values)
    assert "sk_live_51AbCdEfGhIjKlMnOpQ" not in str(refused.value)


def test_two_sets_of_keys_have_books_of_their_own() -> None:
    live, beside = settings(**BOTH).key_sets
    assert (live.mode, beside.mode) == ("live", "test")
    assert live.account == beside.account == "acct_1AbCdEfGhIjKlMnO"
    assert (live.publishable_key, beside.publishable_key) == (
        "pk_live_51AbCdEfGhIjKlMnOpQ",
        "pk_test_51AbCdEfGhIjKlMnOpQ",
    )
    assert "sk_test" not in repr(beside)
    assert "whsec" not in repr(beside)
    named = settings(**BOTH, stripe_test_account="acct_other").key_sets[1]
    assert named.account == "acct_other"


def test_one_set_of_keys_stands_alone() -> None:
    assert [one.mode for one in settings(**LIVE).key_sets] == ["live"]
    assert [one.mode for one in settings(**TEST).key_sets] == ["test"]
    assert [(one.mode, one.secret_key) for one in settings().key_sets] == [("sandbox", None)]


def test_nothing_needs_to_be_set() -> None:
    found = settings()
    assert (found.mode, found.account, found.origin) == ("sandbox", "sandbox", "http://localhost:8080")
    assert found.rooms_are_open


@pytest.mark.parametrize(("cores", "workers"), [(1, 0), (2, 2), (16, 16), (200, 64)])
def test_there_is_a_media_worker_for_each_core_unless_there_is_only_one(
    monkeypatch: pytest.MonkeyPatch, cores: int, workers: int
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(cores)))
    found = settings()
    assert found.media_workers == workers
    assert found.sandbox_port not in found.media_ports
    assert settings(media_workers=0).media_workers == 0


def test_keys_decide_whose_books_these_are() -> None:
    assert (settings(**LIVE).mode, settings(**LIVE).account) == ("live", "acct_1AbCdEfGhIjKlMnO")
    assert settings(**TEST).mode == "test"
    assert settings(**LIVE | {"stripe_account": "acct_x"}).account == "acct_x"
    assert not settings(**LIVE).rooms_are_open
    assert settings(**LIVE | {"room_creation": "open"}).rooms_are_open
    assert not settings(room_creation="invitation").rooms_are_open


def test_a_public_sandbox_must_be_asked_for() -> None:
    asked = settings(public_url="https://demo.example.org", payments="sandbox")
    assert asked.sandbox


def test_lists_are_written_with_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRUSTED_PROXIES", "127.0.0.1, 10.0.0.0/8")
    monkeypatch.setenv("ICE_SERVERS", '[{"urls": "turn:turn.example.org"}]')
    found = settings()
    assert found.trusted_proxies == ("127.0.0.1", "10.0.0.0/8")
    assert found.ice_servers == ({"urls": "turn:turn.example.org"},)


def test_secrets_are_not_in_the_representation() -> None:
    mail = {"smtp_url": "smtp://me:my-password@x.org", "mail_from": "a@b.c", "admin_token": "a" * 40}
    shown = repr(settings(**LIVE, **mail, token_secret="t" * 40, metrics_token="m" * 20))
    for secret in ("sk_live", "whsec_something", "t" * 40, "m" * 20, "my-password", "a" * 40):
        assert secret not in shown


def test_every_setting_is_documented_and_every_documented_setting_exists() -> None:
    rows = [line for line in DOCUMENT.read_text().splitlines() if line.startswith("| `")]
    documented = {name.lower() for row in rows for name in re.findall(r"`([A-Z_]+)`", row.split("|")[1])}
    assert documented == set(Settings.model_fields)
