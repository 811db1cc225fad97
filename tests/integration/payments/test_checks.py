"""`run_checks` finds what is broken in the books; on sound ones it finds nothing."""

from typing import Any

import pytest
from sqlalchemy import delete, update

from signaling.stores.checks import run_checks
from signaling.stores.schema import earnings, metadata, orders, passes, refunds, transfers

from .world import World


async def _codes(world: World) -> set[tuple[str, str]]:
    return {(problem.kind, problem.code) for problem in await run_checks(world.db)}


async def test_sound_books(world: World):
    await world.add_room()
    await world.buy()
    assert await _codes(world) == set()


@pytest.mark.parametrize(
    ("damage", "code"),
    [
        (delete(transfers), "payment_not_booked"),
        (update(transfers).values(amount_minor=1), "payment_not_booked"),
        (update(orders).values(refunded_minor=5), "refund_not_booked"),
        (update(orders).values(lost_minor=5), "loss_not_booked"),
        (update(orders).values(refunded_minor=2000), "refunded_too_much"),
        (update(orders).values(granted=False), "booked_not_granted"),
        (update(orders).values(granted=False), "paid_not_granted"),
        (update(orders).values(granted=False), "pass_without_payment"),
        (delete(passes), "paid_without_pass"),
        (update(passes).values(used_ms=900_001), "overused"),
        (update(passes).values(mode="live"), "books_mixed"),
        (update(transfers).values(account="acct_other"), "books_mixed"),
        (update(transfers).values(debit="wallet:nobody"), "ledger"),
        (delete(earnings), "earnings"),
        (update(earnings).values(payee="somebody"), "earnings"),
        (update(orders).values(reserved_until_s=1), "seat_kept"),
    ],
)
async def test_damage_is_found(world: World, damage: Any, code: str):
    await world.add_room()
    await world.buy()
    await world.db.write(lambda tx: tx.execute(damage))
    assert ("broken", code) in await _codes(world)


async def test_what_waits_for_a_person_is_named(world: World):
    await world.add_room()
    who, _ = await world.buy()
    failed = {
        "id": "ref_1",
        "order_id": who.order_id,
        "amount_minor": 1,
        "currency": "eur",
        "reason": "dashboard",
        "state": "failed",
        "created_at": "t",
    }
    await world.db.write(lambda tx: tx.execute(refunds.insert().values(failed)))
    outbox = {
        "id": "o",
        "kind": "refund",
        "subject_id": "x",
        "payload": {},
        "state": "failed",
        "attempts": 1,
        "next_at_s": 1,
        "created_at": "t",
    }
    await world.db.write(lambda tx: tx.execute(metadata.tables["outbox"].insert().values(outbox)))
    assert await _codes(world) == {("attention", "refund_failed"), ("attention", "outbox_failed")}
