"""Signing in by a one-time link: asked for, sent by mail, opened once.

The link's secret is made when the mail is written and stored as a hash. It stands in the fragment, and only the button
of the page it leads to uses it up, so that a program that looks at links in mail does not.
"""

from dataclasses import dataclass

from signaling.clock import Clock, rfc3339
from signaling.errors import ApiError
from signaling.ids import RandomBytes, new_id, new_secret, secret_hash
from signaling.mail import Letter
from signaling.notices import Notices, OutboxFilled
from signaling.people.sessions import Current, Sessions
from signaling.post import KIND, mail_payload
from signaling.stores import outbox, people
from signaling.stores.database import Database, Transaction
from signaling.stores.outbox import OutboxRow
from signaling.stores.people import Link, LinkFault, User

LINK_S = 20 * 60
# Who asked so long ago has given up: a letter that could not be sent before is not sent any more.
PATIENCE_S = 3600
LETTER = "sign_in"

_REFUSALS: dict[LinkFault, str] = {
    "used": "this link was used before",
    "too_old": "this link is not known here, or too old",
}


@dataclass(frozen=True, slots=True)
class SignedIn:
    current: Current
    next_path: str


class SignIn:
    """`origin`: PUBLIC_URL, to which links lead."""

    def __init__(
        self,
        db: Database,
        clock: Clock,
        random_bytes: RandomBytes,
        notices: Notices,
        *,
        sessions: Sessions,
        origin: str,
    ) -> None:
        self._db = db
        self._clock = clock
        self._random_bytes = random_bytes
        self._notices = notices
        self._sessions = sessions
        self._origin = origin

    async def ask(self, email: str, next_path: str) -> None:
        """A link is on its way to that address, whether anybody is known by it or not."""
        letter_id = new_id("mail", self._random_bytes)
        now_s, now_text = self._now_s(), rfc3339(self._clock.wall_s())
        payload = mail_payload(LETTER, email=email, next_path=next_path, asked_at_s=now_s)

        async def work(tx: Transaction) -> None:
            await outbox.add(
                tx,
                outbox_id=letter_id,
                kind=KIND,
                subject_id=letter_id,
                payload=payload,
                now_s=now_s,
                created_at=now_text,
            )

        await self._db.write(work)
        self._notices.publish(OutboxFilled())

    async def letter(self, row: OutboxRow) -> Letter | None:
        """A `post.Writer`: each time with a new link; the ones before stay good for their time."""
        now_s = self._now_s()
        if now_s - int(row.payload["asked_at_s"]) > PATIENCE_S:
            return None
        secret = new_secret(self._random_bytes)
        email = str(row.payload["email"])
        link = Link(secret_hash(secret), email, str(row.payload["next_path"]), now_s + LINK_S)
        await self._db.write(lambda tx: people.add_link(tx, link, now_s))
        return Letter(
            email,
            "Your link to sign in",
            (
                f"Somebody, probably you, wants to sign in at {self._origin}.",
                ("Sign in", f"{self._origin}/signin#token={secret}"),
                f"The link is good for {LINK_S // 60} minutes and for one time.",
                "If you did not ask for it, leave it: nobody can sign in without this mail.",
            ),
        )

    async def open(self, token: str, name: str | None, former: str | None) -> SignedIn:
        """Uses the link up and begins a session, in one transaction; `former`: hash of the session that the browser had
        until now, which ends. Raises ApiError 403 `link_used`, `link_too_old`."""
        now_s, now_text = self._now_s(), rfc3339(self._clock.wall_s())
        user_id, hashed = new_id("usr", self._random_bytes), secret_hash(token)
        begin = self._sessions.begin()

        async def work(tx: Transaction) -> SignedIn | LinkFault:
            link = await people.use_link(tx, hashed, now_s)
            if not isinstance(link, Link):
                return link
            fresh = User(user_id, link.email, name or link.email.partition("@")[0], "user", now_text)
            user = await people.known_or_new(tx, fresh)
            current = begin(user)
            if former is not None:
                await people.end_session(tx, former)
            await people.add_session(tx, current.session, now_s)
            return SignedIn(current, link.next_path)

        done = await self._db.write(work)
        if isinstance(done, SignedIn):
            return done
        raise ApiError(403, f"link_{done}", _REFUSALS[done])

    def _now_s(self) -> int:
        return int(self._clock.wall_s())
