"""Passes as payments change them: granted, extended, ended, restored. Who owns one is another store's."""

from collections.abc import Collection
from dataclasses import dataclass, fields
from typing import Any, Literal

from sqlalchemy import Select, bindparam, exists, select, update

from signaling.stores.database import Transaction
from signaling.stores.orders import Funding, Order
from signaling.stores.runs import BEAT_MS
from signaling.stores.schema import passes, runs, segments, sessions
from signaling.stores.statements import insert_once

PassState = Literal["waiting", "active", "used_up", "refunded", "disputed", "revoked"]
EndState = Literal["used_up", "refunded", "disputed", "revoked"]


@dataclass(frozen=True, slots=True)
class Pass:
    """One row of `passes`; `granted_ms` None: unlimited."""

    id: str
    room_id: str
    order_id: str
    mode: str
    account: str
    state: PassState
    name: str
    granted_ms: int | None
    used_ms: int
    forgiven_ms: int
    may_publish: bool
    run_id: str | None
    epoch: int
    created_at: str
    funding: Funding
    user_id: str | None
    settled: bool
    taken_ms: int = 0

    @property
    def remaining_ms(self) -> int | None:
        """Of closed segments; None: unlimited."""
        return None if self.granted_ms is None else max(0, self.granted_ms - self.used_ms)


_COLUMNS = [passes.c[field.name] for field in fields(Pass)]


_BY_ID = select(*_COLUMNS).where(passes.c.id == bindparam("key"))
_BY_ORDER = select(*_COLUMNS).where(passes.c.order_id == bindparam("key"))


async def _one(tx: Transaction, query: Select[Any], key: str) -> Pass | None:
    row = (await tx.execute(query, {"key": key})).first()
    return None if row is None else Pass(**row._mapping)  # noqa: SLF001 - SQLAlchemy's documented name


async def get_pass(tx: Transaction, pass_id: str) -> Pass | None:
    return await _one(tx, _BY_ID, pass_id)


async def pass_of_order(tx: Transaction, order: Order) -> Pass | None:
    """The pass that the order granted or extends."""
    if order.extends_pass_id is not None:
        return await get_pass(tx, order.extends_pass_id)
    return await _one(tx, _BY_ORDER, order.id)


async def grant_pass(
    tx: Transaction, order: Order, pass_id: str, created_at: str, *, may_publish: bool = False
) -> bool:
    """The pass of a paid order, once; False when the order has one already."""
    values = {
        "id": pass_id,
        "room_id": order.room_id,
        "order_id": order.id,
        "mode": order.mode,
        "account": order.account,
        "state": "waiting",
        "name": order.name,
        "granted_ms": None if order.seconds is None else order.seconds * 1000,
        "used_ms": 0,
        "forgiven_ms": 0,
        "may_publish": may_publish,
        "run_id": None,
        "epoch": 0,
        "created_at": created_at,
        "funding": order.funding,
        "user_id": order.user_id,
        "settled": False,
    }
    return await insert_once(tx, passes, values)


async def set_funding(tx: Transaction, pass_id: str, funding: Funding) -> None:
    """Free minutes that are paid for from now on."""
    await _set(tx, pass_id, funding=funding)


async def extend_pass(tx: Transaction, pass_id: str, seconds: int | None) -> None:
    """Adds time (None: the pass becomes unlimited). A used-up pass can be entered again."""
    found = await _require(tx, pass_id)
    unlimited = seconds is None or found.granted_ms is None
    granted_ms = None if unlimited else (found.granted_ms or 0) + (seconds or 0) * 1000
    await _set(tx, pass_id, granted_ms=granted_ms)
    if found.state == "used_up":
        await _reopen(tx, pass_id)


async def shorten_pass(tx: Transaction, pass_id: str, by_ms: int, end_state: EndState) -> int:
    """Takes time off again, never time that was used; a pass with nothing left ends as `end_state`. Returns what was
    taken. What a stay that goes on has used beyond it by the time it hears of it, is put back when its segment closes."""
    found = await _require(tx, pass_id)
    if found.granted_ms is None:
        return 0
    used_ms = await used_so_far_ms(tx, found)
    taken_ms = min(by_ms, max(0, found.granted_ms - used_ms))
    await _set(tx, pass_id, granted_ms=found.granted_ms - taken_ms, taken_ms=found.taken_ms + taken_ms)
    if found.granted_ms - taken_ms <= used_ms:
        await end_pass(tx, pass_id, end_state)
    return taken_ms


async def give_time_back(tx: Transaction, pass_id: str, by_ms: int) -> None:
    """Of what was taken off, as after a dispute that was won. A used-up pass can be entered again."""
    found = await _require(tx, pass_id)
    if found.granted_ms is None:
        return
    back_ms = min(by_ms, found.taken_ms)
    await _set(tx, pass_id, granted_ms=found.granted_ms + back_ms, taken_ms=found.taken_ms - back_ms)
    if found.state == "used_up":
        await _reopen(tx, pass_id)


async def used_so_far_ms(tx: Transaction, found: Pass) -> int:
    """Used by closed segments, and at most what an open one has used by now: up to the last heartbeat of its run, and until
    the next. Too much by what is forgiven for dead legs: for taking time off, where that errs for the payer."""
    query = (
        select(segments.c.started_ms, runs.c.run_ms)
        .join(runs, runs.c.id == segments.c.run_id)
        .where(segments.c.pass_id == found.id, segments.c.closed_ms.is_(None))
    )
    running = (await tx.execute(query)).first()
    if running is None or running.started_ms is None:
        return found.used_ms
    counted_ms = max(0, running.run_ms - running.started_ms) + BEAT_MS
    return found.used_ms + int(min(counted_ms, found.remaining_ms or 0))


async def end_pass(tx: Transaction, pass_id: str, state: EndState) -> bool:
    """Closes the pass; False when it is closed for good already. A dispute may still follow a refund, a revoked
    pass stays revoked."""
    found = await _require(tx, pass_id)
    if found.state in {state, "revoked"}:
        return False
    await _set(tx, pass_id, state=state)
    return True


async def restore_pass(tx: Transaction, pass_id: str) -> bool:
    """After a dispute was won: the pass of before. A revoked or refunded pass stays so."""
    found = await _require(tx, pass_id)
    if found.state != "disputed":
        return False
    await _reopen(tx, pass_id)
    return True


async def has_open_segment(tx: Transaction, pass_id: str) -> bool:
    """Whether the meter still counts on that pass, so that `used_ms` is not final."""
    query = select(exists().where(segments.c.pass_id == pass_id, segments.c.closed_ms.is_(None)))
    return bool((await tx.execute(query)).scalar_one())


async def last_ending(tx: Transaction, pass_id: str) -> tuple[str, str] | None:
    """Code and time of the end of the newest stay; None while it lasts, or when there was none."""
    query = select(sessions.c.end_code, sessions.c.ended_at).where(sessions.c.pass_id == pass_id)
    last = (await tx.execute(query.order_by(sessions.c.epoch.desc()).limit(1))).first()
    return None if last is None or last.ended_at is None else (str(last.end_code), str(last.ended_at))


async def ended_by(
    tx: Transaction,
    end_codes: Collection[str],
    *,
    books: tuple[str, str],
    after: str,
    before: str,
    limit: int = 100,
) -> list[str]:
    """Passes that were bought and can still be used, whose newest stay ended so between these two times."""
    later = sessions.alias("later")
    came_back = exists().where(later.c.pass_id == passes.c.id, later.c.epoch > sessions.c.epoch)
    query = (
        select(passes.c.id)
        .join(sessions, sessions.c.pass_id == passes.c.id)
        .where(
            passes.c.mode == books[0],
            passes.c.account == books[1],
            passes.c.state.in_(["waiting", "active"]),
            passes.c.funding == "payment",
            sessions.c.end_code.in_(end_codes),
            sessions.c.ended_at.between(after, before),
            ~came_back,
        )
    )
    rows = await tx.execute(query.order_by(sessions.c.ended_at.desc()).limit(limit))
    return [row.id for row in rows]


async def _reopen(tx: Transaction, pass_id: str) -> None:
    """`waiting` keeps a seat for somebody who has not been in yet; who has been in comes back as `active`."""
    found = await _require(tx, pass_id)
    been_inside = select(exists().where(sessions.c.pass_id == pass_id))
    state: PassState = "active" if (await tx.execute(been_inside)).scalar_one() else "waiting"
    await _set(tx, pass_id, state="used_up" if found.remaining_ms == 0 else state)


async def _require(tx: Transaction, pass_id: str) -> Pass:
    found = await get_pass(tx, pass_id)
    if found is None:
        raise LookupError(f"no pass {pass_id}")
    return found


async def _set(tx: Transaction, pass_id: str, **values: Any) -> None:
    await tx.execute(update(passes).where(passes.c.id == pass_id).values(**values))
