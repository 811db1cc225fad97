"""Rows of people: who they are, their one-time links, their sessions. Secrets are stored as hashes."""

from dataclasses import dataclass, field
from typing import Literal

from sqlalchemy import RowMapping, and_, delete, select, update

from signaling.stores.database import Transaction
from signaling.stores.schema import login_links, user_sessions, users
from signaling.stores.statements import insert_once

Role = Literal["user", "host", "operator"]
LinkFault = Literal["used", "too_old"]

# A link that was used or ran out is remembered for a day, so that its owner is told which.
LINK_REMEMBERED_S = 86_400


@dataclass(frozen=True, slots=True)
class User:
    """A row of `users`; `email` is in lower case, and empty of any person once erased."""

    id: str
    email: str = field(repr=False)
    name: str = field(repr=False)
    role: Role
    created_at: str

    @property
    def is_erased(self) -> bool:
        """Nobody can sign in to it any more. What stands in place of the address has no @."""
        return "@" not in self.email


@dataclass(frozen=True, slots=True)
class Link:
    """A row of `login_links`."""

    secret_hash: str = field(repr=False)
    email: str = field(repr=False)
    next_path: str
    expires_at_s: int


@dataclass(frozen=True, slots=True)
class UserSession:
    """A row of `user_sessions`."""

    secret_hash: str = field(repr=False)
    user_id: str
    csrf_hash: str = field(repr=False)
    created_at: str
    expires_at_s: int


def _user(row: RowMapping) -> User:
    return User(**{name: row[name] for name in User.__slots__})


def _session(row: RowMapping) -> UserSession:
    return UserSession(**{name: row[name] for name in UserSession.__slots__})


# --- users ------------------------------------------------------------------------------------------------


async def by_id(tx: Transaction, user_id: str) -> User | None:
    row = (await tx.execute(select(users).where(users.c.id == user_id))).mappings().first()
    return _user(row) if row else None


async def by_email(tx: Transaction, email: str) -> User | None:
    row = (await tx.execute(select(users).where(users.c.email == email))).mappings().first()
    return _user(row) if row else None


async def known_or_new(tx: Transaction, fresh: User) -> User:
    """The person with that address, who is `fresh` when nobody has it yet."""
    values = {name: getattr(fresh, name) for name in User.__slots__}
    await insert_once(tx, users, values)
    found = await by_email(tx, fresh.email)
    assert found is not None, "inserted above"
    return found


async def set_name(tx: Transaction, user_id: str, name: str) -> None:
    await tx.execute(update(users).where(users.c.id == user_id).values(name=name))


async def set_role(tx: Transaction, user_id: str, role: Role) -> None:
    await tx.execute(update(users).where(users.c.id == user_id).values(role=role))


async def becomes_host(tx: Transaction, user_id: str) -> None:
    """Whoever has a room of their own; an operator stays one."""
    await tx.execute(update(users).where(users.c.id == user_id, users.c.role == "user").values(role="host"))


async def replace_identity(tx: Transaction, user_id: str, email: str, name: str) -> None:
    """Erasure: the row stays, as rooms, orders and the ledger refer to it; nobody can sign in to it again."""
    values = {"email": email, "name": name, "role": "user"}
    await tx.execute(update(users).where(users.c.id == user_id).values(values))


# --- links ------------------------------------------------------------------------------------------------


async def add_link(tx: Transaction, link: Link, now_s: int) -> None:
    """Old links are cleared on the way."""
    await tx.execute(delete(login_links).where(login_links.c.expires_at_s < now_s - LINK_REMEMBERED_S))
    values = {name: getattr(link, name) for name in Link.__slots__}
    await tx.execute(login_links.insert().values(**values, used=False))


async def use_link(tx: Transaction, secret_hash: str, now_s: int) -> Link | LinkFault:
    """Once: of two who come at the same time, one is told `used`."""
    good = and_(
        login_links.c.secret_hash == secret_hash, ~login_links.c.used, login_links.c.expires_at_s > now_s
    )
    done = await tx.execute(update(login_links).where(good).values(used=True))
    row = await tx.execute(select(login_links).where(login_links.c.secret_hash == secret_hash))
    found = row.mappings().first()
    if found is None:
        return "too_old"
    if done.rowcount == 1:
        return Link(**{name: found[name] for name in Link.__slots__})
    return "used" if found["used"] else "too_old"


async def forget_links(tx: Transaction, email: str) -> None:
    await tx.execute(delete(login_links).where(login_links.c.email == email))


# --- sessions ---------------------------------------------------------------------------------------------


async def add_session(tx: Transaction, session: UserSession, now_s: int) -> None:
    """Sessions that ran out are cleared on the way."""
    await tx.execute(delete(user_sessions).where(user_sessions.c.expires_at_s <= now_s))
    values = {name: getattr(session, name) for name in UserSession.__slots__}
    await tx.execute(user_sessions.insert().values(**values))


async def session_of(tx: Transaction, secret_hash: str, now_s: int) -> tuple[UserSession, User] | None:
    """The session with its person, while it is good."""
    query = (
        select(user_sessions, *(users.c[name].label(f"person_{name}") for name in User.__slots__))
        .join(users, users.c.id == user_sessions.c.user_id)
        .where(user_sessions.c.secret_hash == secret_hash, user_sessions.c.expires_at_s > now_s)
    )
    row = (await tx.execute(query)).mappings().first()
    if row is None:
        return None
    return _session(row), User(**{name: row[f"person_{name}"] for name in User.__slots__})


async def sessions_of(tx: Transaction, user_id: str, now_s: int) -> list[UserSession]:
    """Newest first."""
    query = select(user_sessions).where(
        user_sessions.c.user_id == user_id, user_sessions.c.expires_at_s > now_s
    )
    rows = await tx.execute(query.order_by(user_sessions.c.created_at.desc(), user_sessions.c.secret_hash))
    return [_session(row) for row in rows.mappings()]


async def extend_session(tx: Transaction, secret_hash: str, expires_at_s: int) -> None:
    statement = update(user_sessions).where(user_sessions.c.secret_hash == secret_hash)
    await tx.execute(statement.values(expires_at_s=expires_at_s))


async def end_session(tx: Transaction, secret_hash: str) -> None:
    await tx.execute(delete(user_sessions).where(user_sessions.c.secret_hash == secret_hash))


async def end_sessions(tx: Transaction, user_id: str, *, but: str | None = None) -> int:
    """All sessions of that person, or all but one (its hash); how many ended."""
    statement = delete(user_sessions).where(user_sessions.c.user_id == user_id)
    if but is not None:
        statement = statement.where(user_sessions.c.secret_hash != but)
    return int((await tx.execute(statement)).rowcount)
