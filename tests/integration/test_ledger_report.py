"""`tollroom ledger` prints and writes the books as they are."""

import asyncio
import csv
import stat
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from metering.chart import Sale, WalletWindow, sold, topped_up, window_held
from signaling import cli
from signaling.stores import ledger
from signaling.stores.database import Database
from signaling.stores.migrations import upgrade

JANUARY, FEBRUARY = "2026-01-31T23:59:59.999Z", "2026-02-01T00:00:00.000Z"

Run = Callable[..., tuple[int, str]]


async def _fill(url: str) -> None:
    await upgrade(url)
    db = Database(url)

    async def book(transfers: object, at: str, mode: str = "sandbox") -> None:
        entries = [ledger.Entry(one, mode, "sandbox", "=1+1") for one in transfers]  # type: ignore[attr-defined]
        await db.write(lambda tx: ledger.require_posted(tx, entries, at))

    await book(sold(Sale("ord_1", "ana", 1500, "eur", fee_minor=150)), JANUARY)
    await book(topped_up("ord_2", "bo", 2000, 0, "jpy"), FEBRUARY)
    await book(window_held(WalletWindow("w1", "pass_1", "bo", 300, "jpy")), FEBRUARY)
    (other,) = topped_up("other", "bo", 7, 0, "eur")
    await book([replace(other, id="elsewhere")], FEBRUARY, "test")
    await db.close()


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    url = f"sqlite:///{tmp_path}/books.db"
    asyncio.run(_fill(url))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DATABASE_URL", url)

    def call(*words: str) -> tuple[int, str]:
        code = cli.main(["ledger", *words])
        return code, capsys.readouterr().out

    return call


def test_accounts_with_what_they_hold(run: Run):
    code, printed = run()
    assert code == 0
    assert [line.split() for line in printed.splitlines()[1:]] == [
        ["earned_pending:ana", "13.50", "eur"],
        ["hold:pass_1", "0", "jpy"],
        ["platform_fee", "-1.50", "eur"],
        ["stripe_clearing", "15.00", "eur"],
        ["stripe_clearing", "2000", "jpy"],
        ["wallet:bo", "2000", "jpy", "300", "held"],
    ]


def test_the_journal_of_one_account(run: Run):
    _, printed = run("--account", "wallet:bo")
    lines = printed.splitlines()
    assert [line.split(maxsplit=6)[-1] for line in lines[1:3]] == ["hold:w1 (hold)", "topup:ord_2"]
    assert lines[3].split() == ["wallet:bo", "2000", "jpy", "300", "held"]


def test_days_are_whole_and_both_included(run: Run):
    _, printed = run("--from", "2026-01-31", "--to", "2026-01-31")
    assert [line.split()[0] for line in printed.splitlines()[1:]] == [JANUARY, JANUARY]
    _, printed = run("--from", "2026-02-01")
    assert [line.split()[0] for line in printed.splitlines()[1:]] == [FEBRUARY, FEBRUARY]


def test_a_spreadsheet_takes_no_cell_for_a_formula(run: Run, tmp_path: Path):
    code, _ = run("--csv", "books.csv")
    assert code == 0
    raw = (tmp_path / "books.csv").read_bytes()
    assert raw.count(b"\r\n") == 5
    assert b"\n" not in raw.replace(b"\r\n", b"")
    header, *rows = csv.reader(raw.decode().splitlines())
    assert header[7:] == ["amount", "amount_minor", "currency"]
    assert [row[7:] for row in rows] == [
        ["1.50", "150", "eur"],
        ["13.50", "1350", "eur"],
        ["300", "300", "jpy"],
        ["2000", "2000", "jpy"],
    ]
    assert {row[4] for row in rows} == {"'=1+1"}
    assert not any(cell.startswith(("=", "+", "-", "@")) for row in rows for cell in row)
    assert stat.S_IMODE((tmp_path / "books.csv").stat().st_mode) == 0o600


def test_a_file_that_cannot_be_written_is_said(run: Run):
    assert run("--csv", "nowhere/books.csv")[0] == 2


def test_each_set_of_keys_has_its_own(run: Run, monkeypatch: pytest.MonkeyPatch):
    keys = {
        "PUBLIC_URL": "https://rooms.example.org",
        "STRIPE_SECRET_KEY": "sk_live_51LiveLiveLiveLiveX",
        "STRIPE_PUBLISHABLE_KEY": "pk_live_5x",
        "STRIPE_WEBHOOK_SECRET": "whsec_live",
        "STRIPE_TEST_SECRET_KEY": "sk_test_51LiveLiveLiveLiveX",
        "STRIPE_TEST_PUBLISHABLE_KEY": "pk_test_5x",
        "STRIPE_TEST_WEBHOOK_SECRET": "whsec_test",
        "STRIPE_TEST_ACCOUNT": "sandbox",
    }
    for name, value in keys.items():
        monkeypatch.setenv(name, value)
    assert run() == (0, "books of live/acct_1LiveLiveLiveLiv\n")
    code, printed = run("--mode", "test")
    assert code == 0
    assert printed.splitlines()[0] == "books of test/sandbox"
    assert "wallet:bo" in printed
    assert "0.07" in printed
    assert run("--mode", "sandbox")[0] == 2
