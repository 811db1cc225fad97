"""Letters over a real SMTP server in this process: what arrives, and what happens while it is away."""

import asyncio
import re
import secrets
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from signaling.addresses import sender, smtp_server
from signaling.mail import Letter, MailError, SmtpMailer, compose
from signaling.notices import Notices
from signaling.payments.receipts import ask_receipts
from signaling.post import ATTEMPTS_MAX, BACKOFF_MAX_S, KIND, Post, mail_payload
from signaling.stores import outbox
from signaling.stores.database import Database
from signaling.stores.outbox import OutboxRow
from signaling.stores.schema import outbox as outbox_table
from tests.integration.harness import running_app
from tests.integration.people.smtp import MailServer, text_of
from tests.integration.people.visitor import Visitor
from tests.unit.rooms.fakes import InventedClock

FROM = sender("Tollroom <rooms@example.org>")
LETTER = Letter(
    "ben@example.org", "Your receipt", ("Thank you, Ben & Ana <3", ("See it", "https://x.example/o#s=1"))
)


class Office:
    """A mail server, and our post."""

    def __init__(self, db: Database) -> None:
        self.db = db
        self.server = MailServer()
        self.inbox = self.server.inbox
        self.clock = InventedClock(1_790_000_000_000)
        mailer = SmtpMailer(smtp_server(self.server.url), FROM, timeout_s=10)
        self.words: dict[str, Any] = {"hello": LETTER}
        writers = {"hello": self._write, "bad": self._fail}
        self.post = Post(db, self.clock, Notices(), mailer=mailer, writers=writers)

    async def _write(self, row: OutboxRow) -> Letter | None:
        return self.words["hello"]

    async def _fail(self, row: OutboxRow) -> Letter | None:
        raise RuntimeError("no words")

    async def put(self, letter: str = "hello", outbox_id: str = "mail_1") -> None:
        now_s = int(self.clock.wall_s())
        await self.db.write(
            lambda tx: outbox.add(
                tx,
                outbox_id=outbox_id,
                kind=KIND,
                subject_id="x",
                payload=mail_payload(letter),
                now_s=now_s,
                created_at="",
            )
        )

    async def states(self) -> dict[str, str]:
        async with self.db.read() as tx:
            return {row.id: row.state for row in await tx.execute(outbox_table.select())}


@pytest.fixture
async def office(tmp_path: Path) -> AsyncIterator[Office]:
    db = Database(f"sqlite:///{tmp_path}/post.db")
    await db.create_schema()
    made = Office(db)
    yield made
    made.server.close()
    await db.close()


async def test_a_letter_arrives_once_as_text_and_as_html(office: Office) -> None:
    office.server.open()
    await office.put()
    assert await office.post.work_once() == 1
    assert await office.post.work_once() == 0
    (mail,) = office.inbox.mails
    assert (mail["To"], mail["From"], mail["Subject"]) == (
        "ben@example.org",
        "Tollroom <rooms@example.org>",
        "Your receipt",
    )
    text, html = mail.get_body(("plain",)), mail.get_body(("html",))
    assert text is not None
    assert html is not None
    assert "Ben & Ana <3" in text.get_content()
    assert "https://x.example/o#s=1" in text.get_content()
    assert "Ben &amp; Ana &lt;3" in html.get_content()
    assert '<a href="https://x.example/o#s=1">See it</a>' in html.get_content()


async def test_a_mail_server_that_is_away_for_a_while_delays_letters_and_loses_none(office: Office) -> None:
    await office.put()
    for _ in range(4):
        assert await office.post.work_once() == 1
        assert await office.post.work_once() == 0, "it waits before it tries again"
        office.clock.at_ms += BACKOFF_MAX_S * 1000
    assert (await office.states()) == {"mail_1": "waiting"}
    office.server.open()
    await office.post.work_once()
    assert len(office.inbox.mails) == 1
    assert (await office.states()) == {"mail_1": "done"}


async def test_a_server_that_says_later_is_asked_later_and_one_that_says_never_is_not(office: Office) -> None:
    office.server.open()
    office.inbox.refuse = "451 4.7.1 greylisted"
    await office.put()
    await office.post.work_once()
    assert (await office.states()) == {"mail_1": "waiting"}
    office.inbox.refuse = "550 5.1.1 no such mailbox"
    office.clock.at_ms += BACKOFF_MAX_S * 1000
    await office.post.work_once()
    assert (await office.states()) == {"mail_1": "failed"}


async def test_after_two_days_a_letter_is_given_up(office: Office) -> None:
    await office.put()
    for _ in range(ATTEMPTS_MAX):
        await office.post.work_once()
        office.clock.at_ms += BACKOFF_MAX_S * 1000
    assert (await office.states()) == {"mail_1": "failed"}


async def test_a_letter_that_cannot_be_written_holds_up_no_other(office: Office) -> None:
    office.server.open()
    await office.put("bad", "mail_0")
    await office.put("unknown", "mail_00")
    await office.put()
    await office.post.work_once()
    assert (await office.states()) == {"mail_0": "waiting", "mail_00": "waiting", "mail_1": "done"}


async def test_when_there_is_nothing_to_say_any_more_nothing_is_sent(office: Office) -> None:
    office.server.open()
    office.words["hello"] = None
    await office.put()
    await office.post.work_once()
    assert (await office.states()) == {"mail_1": "done"}
    assert office.inbox.mails == []


def test_a_repeat_is_the_same_mail_and_another_letter_is_another() -> None:
    first, again, other = (
        compose(LETTER, sender=FROM, letter_id=letter_id, wall_s=wall_s)["Message-ID"]
        for letter_id, wall_s in (("a", 0), ("a", 9), ("b", 0))
    )
    assert first == again != other


@pytest.mark.parametrize("to", ["a@b.c\r\nBcc: d@e.f", "a@b.c, d@e.f", "a b@c.d", "", "a@b@c"])
def test_no_line_end_and_no_second_address_reaches_a_header(to: str) -> None:
    with pytest.raises(ValueError, match="not an e-mail address"):
        compose(Letter(to, "x", ()), sender=FROM, letter_id="a", wall_s=0)


def test_a_subject_is_one_line_whatever_a_room_is_called() -> None:
    mail = compose(Letter("a@b.c", "Talk\r\nBcc: d@e.f\n\n é", ()), sender=FROM, letter_id="a", wall_s=0)
    assert mail["Subject"] == "Talk Bcc: d@e.f é"
    assert mail["Bcc"] is None
    assert b"\r\nBcc" not in mail.as_bytes()


async def test_an_address_that_is_none_is_refused_for_good() -> None:
    mailer = SmtpMailer(smtp_server("smtp://127.0.0.1:1"), FROM)
    with pytest.raises(MailError) as refused:
        await mailer.send(Letter("nobody", "x", ()), "a", 0)
    assert refused.value.for_good


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("smtp://mail.example.org", ("mail.example.org", 25, False, False)),
        ("smtp://u:p%40ss@mail.example.org", ("mail.example.org", 587, False, True)),
        ("smtps://u:p@mail.example.org", ("mail.example.org", 465, True, False)),
        ("smtp://u:p@localhost:2525", ("localhost", 2525, False, False)),
    ],
)
def test_a_password_is_never_sent_in_the_clear_to_another_machine(
    url: str, expected: tuple[Any, ...]
) -> None:
    server = smtp_server(url)
    assert (server.host, server.port, server.tls, server.must_upgrade) == expected
    assert "p@ss" not in repr(server)


@pytest.mark.parametrize("url", ["http://x", "smtp://", "smtp://u@x", "smtp://x:port", "smtp://x/y", "x:25"])
def test_other_addresses_of_a_mail_server_are_refused(url: str) -> None:
    with pytest.raises(ValueError, match=r"must be|the port|something after|without a"):
        smtp_server(url)


async def test_the_whole_server_mails_its_links_and_receipts(tmp_path: Path) -> None:
    server = MailServer()
    server.open()
    mail = {"smtp_url": server.url, "mail_from": "rooms@example.org"}
    try:
        async with running_app(tmp_path, media_workers=0, **mail) as app, Visitor(app) as ana:

            async def mails(count: int) -> str:
                async with asyncio.timeout(20):
                    while len(server.inbox.mails) < count:
                        await asyncio.sleep(0.05)
                return text_of(server.inbox.mails[-1])

            assert (await ana.call("POST", "/api/signin", {"email": "ana@example.org"}))[0] == 202
            link = re.search(r"/signin#token=(\S+)", await mails(1))
            assert link is not None
            assert (await ana.open(link[1]))[0] == 200
            async with ana.http.get(f"{app.url}/sandbox/mail") as response:
                assert response.status == 404, "mail that is sent is not shown"
            room = await app.create_room()
            await app.host(room)
            order = await app.buy(room, email="bo@example.org")
            asked = {"refund_id": f"rfd_{secrets.token_urlsafe(16)}", "order_id": order.id}
            refund = asked | {"reason": "goodwill", "part": "all"}
            await app.call("POST", f"/api/host/rooms/{room.id}/refunds", refund, room.host_key)
            async with asyncio.timeout(20):
                while (await app.state(order))["state"] != "refunded":
                    await asyncio.sleep(0.05)
            await ask_receipts(app.parts.payments.ctx)
            text = await mails(2)
            assert "Italian conversation" in text
            assert "Total: 0.00 EUR" in text
    finally:
        server.close()
