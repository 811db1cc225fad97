"""Windows of passes that are paid for by use: rows as plain data, and the lists that the sweeper looks for.

The id of a window follows from its pass and number, so that every attempt to place it names the same one.
"""

from dataclasses import asdict, dataclass, fields
from typing import Any, Literal

from sqlalchemy import ColumnElement, and_, exists, func, or_, select, update

from metering import funding
from metering.disputes import Dispute
from metering.funding import Ask, WindowState
from signaling.stores.database import Transaction
from signaling.stores.orders import BY_USE
from signaling.stores.schema import passes, rooms, segments, sessions, waived, windows
from signaling.stores.statements import insert_once

WindowKind = Literal["card", "wallet"]

ALIVE = ("waiting", "active")


@dataclass(frozen=True, slots=True)
class Window:
    """One row of `windows`."""

    id: str
    pass_id: str
    number: int
    mode: str
    account: str
    kind: WindowKind
    begins_ms: int
    length_ms: int
    held_minor: int
    charged_minor: int | None
    currency: str
    state: WindowState
    payment_intent_id: str | None
    capture_before_s: int | None
    failure: str | None
    created_at: str
    refunded_minor: int = 0
    dispute: Dispute = "none"
    lost_minor: int = 0

    @property
    def refundable_minor(self) -> int:
        """What can still go back of what it was charged: nothing while the payer's bank has it."""
        if self.state != "settled" or self.dispute in {"open", "lost"}:
            return 0
        return (self.charged_minor or 0) - self.refunded_minor

    def plain(self) -> funding.Window:
        """What the rules look at."""
        return funding.Window(
            self.number, self.begins_ms, self.length_ms, self.held_minor, self.state, self.charged_minor
        )


def window_id(pass_id: str, number: int) -> str:
    return f"win_{pass_id.removeprefix('pass_')}_{number}"


_COLUMNS = [windows.c[field.name] for field in fields(Window)]


def _window(row: Any) -> Window:
    return Window(**row._mapping)  # noqa: SLF001 - SQLAlchemy's documented name


async def _all(tx: Transaction, query: Any) -> list[Window]:
    return [_window(row) for row in await tx.execute(query)]


def asked(
    ask: Ask, *, pass_id: str, mode: str, account: str, kind: WindowKind, currency: str, created_at: str
) -> Window:
    """The row of a window that is about to be asked for."""
    return Window(
        id=window_id(pass_id, ask.number),
        pass_id=pass_id,
        number=ask.number,
        mode=mode,
        account=account,
        kind=kind,
        begins_ms=ask.begins_ms,
        length_ms=ask.length_ms,
        held_minor=ask.held_minor,
        charged_minor=None,
        currency=currency,
        state="asked",
        payment_intent_id=None,
        capture_before_s=None,
        failure=None,
        created_at=created_at,
    )


async def insert_window(tx: Transaction, window: Window) -> bool:
    """False when that window exists already."""
    return await insert_once(tx, windows, asdict(window))


async def get_window(tx: Transaction, window_id: str) -> Window | None:
    found = await _all(tx, select(*_COLUMNS).where(windows.c.id == window_id))
    return found[0] if found else None


async def windows_of(tx: Transaction, pass_id: str) -> list[Window]:
    """By number."""
    return await _all(tx, select(*_COLUMNS).where(windows.c.pass_id == pass_id).order_by(windows.c.number))


async def find_by_intent(tx: Transaction, payment_intent_id: str) -> Window | None:
    found = await _all(tx, select(*_COLUMNS).where(windows.c.payment_intent_id == payment_intent_id))
    return found[0] if found else None


async def move_window(tx: Transaction, window: Window, state: WindowState, **values: Any) -> bool:
    """To its next state, as `metering.funding.moved` allows, unless it is elsewhere by now: then False. A repeat of the
    state it is in changes only `values`."""
    funding.moved(window.plain(), state)
    done = await tx.execute(
        update(windows)
        .where(windows.c.id == window.id, windows.c.state == window.state)
        .values(state=state, **values)
    )
    return done.rowcount == 1


# --- settling ---------------------------------------------------------------------------------------------


async def mark_settled(tx: Transaction, pass_id: str) -> bool:
    """From now on nothing is added to the pass, and nobody enters with it. False when it was so before: of two that
    settle, one does."""
    done = await tx.execute(
        update(passes).where(passes.c.id == pass_id, ~passes.c.settled).values(settled=True)
    )
    if done.rowcount != 1:
        return False
    alive = passes.c.state.in_(ALIVE)
    await tx.execute(update(passes).where(passes.c.id == pass_id, alive).values(state="used_up"))
    return True


async def waive(tx: Transaction, *, room_id: str, fingerprint: str, day: str, order_id: str) -> bool:
    """A call below the smallest charge is let go; False when that card had it in this room on that day."""
    values = {"room_id": room_id, "fingerprint": fingerprint, "day": day, "order_id": order_id}
    return await insert_once(tx, waived, values)


async def was_waived(tx: Transaction, *, room_id: str, fingerprint: str, day: str) -> bool:
    query = select(
        exists().where(waived.c.room_id == room_id, waived.c.fingerprint == fingerprint, waived.c.day == day)
    )
    return bool((await tx.execute(query)).scalar_one())


@dataclass(frozen=True, slots=True)
class Unsettled:
    """A pass with holds that are not settled, and nobody inside. `outside_since`: when its last stay ended (RFC 3339; its
    making when there was none). `is_over`: it can not be entered any more. `capture_before_s`: when the first of its
    holds lapses."""

    pass_id: str
    outside_since: str
    is_over: bool
    capture_before_s: int | None


def _inside(pass_id: Any) -> ColumnElement[bool]:
    """Somebody is in the room with that pass, or its meter is open."""
    return or_(
        exists().where(sessions.c.pass_id == pass_id, sessions.c.ended_at.is_(None)),
        exists().where(segments.c.pass_id == pass_id, segments.c.closed_ms.is_(None)),
    )


async def is_inside(tx: Transaction, pass_id: str) -> bool:
    return bool((await tx.execute(select(_inside(pass_id)))).scalar_one())


def _lapses() -> Any:
    """When the first hold of a pass lapses."""
    first = select(func.min(windows.c.capture_before_s))
    return first.where(windows.c.pass_id == passes.c.id, windows.c.state == "held").scalar_subquery()


def _open(mode: str, account: str) -> ColumnElement[bool]:
    return and_(
        passes.c.funding.in_(BY_USE), ~passes.c.settled, passes.c.mode == mode, passes.c.account == account
    )


async def unsettled(tx: Transaction, mode: str, account: str, limit: int = 200) -> list[Unsettled]:
    """Passes in windows that nobody is inside with and that are not settled; who went first comes first."""
    last_ended = select(func.max(sessions.c.ended_at)).where(sessions.c.pass_id == passes.c.id)
    since = func.coalesce(last_ended.scalar_subquery(), passes.c.created_at)
    query = (
        select(
            passes.c.id,
            since.label("since"),
            or_(passes.c.state.not_in(ALIVE), rooms.c.state == "closed").label("is_over"),
            _lapses().label("lapses"),
        )
        .join(rooms, rooms.c.id == passes.c.room_id)
        .where(_open(mode, account), ~_inside(passes.c.id))
        .order_by(since, passes.c.id)
        .limit(limit)
    )
    rows = await tx.execute(query)
    return [Unsettled(row.id, row.since, bool(row.is_over), row.lapses) for row in rows]


async def lapsing_inside(
    tx: Transaction, mode: str, account: str, before_s: int, limit: int = 50
) -> list[str]:
    """Passes that somebody is inside with, and whose hold lapses before that second."""
    query = select(passes.c.id).where(
        _open(mode, account), passes.c.state.in_(ALIVE), _lapses() <= before_s, _inside(passes.c.id)
    )
    return [row.id for row in await tx.execute(query.order_by(passes.c.id).limit(limit))]
