"""Several calls on one wallet at the same moment: they never hold or spend more than there is."""

import asyncio

from metering import accounts, chart
from metering.orders import OrderState
from signaling.errors import ApiError
from signaling.payments import walletstays
from signaling.payments.apply import Stamp
from signaling.payments.holds import find_stay
from signaling.payments.wallets import credits_of
from signaling.stores import rooms, windows
from signaling.stores.checks import run_checks
from signaling.stores.database import Database
from signaling.stores.ledger import Entry, available_minor, post_all
from signaling.stores.orders import insert_order
from signaling.stores.passes import get_pass
from signaling.stores.schema import passes, users
from signaling.stores.wallets import Key

from .rows import NOW_TEXT, add_room, an_order

WALLET = {"kind": "wallet", "rate_minor_per_min": 100, "currency": "eur"}
KEY = Key("user_1", "sandbox", "sandbox", "eur")


async def a_wallet(db: Database, credit_minor: int) -> None:
    await add_room(db, tariff=WALLET, capacity=50)
    person = {"id": "user_1", "email": "bo@example.org", "name": "Bo", "role": "user", "created_at": NOW_TEXT}
    package = {"kind": "topup", "price_minor": credit_minor, "credit_minor": credit_minor, "currency": "eur"}
    topup = an_order(
        "ord_topup",
        room_id=None,
        user_id="user_1",
        purpose="topup",
        tariff=package,
        seconds=None,
        amount_minor=credit_minor,
        state=OrderState.PAID,
        granted=True,
    )
    transfers = chart.topped_up("ord_topup", "user_1", credit_minor, 0, "eur")

    async def work(tx):
        await tx.execute(users.insert().values(person))
        await insert_order(tx, topup)
        await post_all(tx, [Entry(one, "sandbox", "sandbox", "ord_topup") for one in transfers], NOW_TEXT)

    await db.write(work)


async def enter(db: Database, number: int) -> str | None:
    """The pass, or None when the wallet does not have it."""
    order = an_order(
        f"ord_{number}", tariff=WALLET, funding="wallet", amount_minor=0, user_id="user_1", seconds=120
    )
    stamp = Stamp(f"pass_{number}", 1000, NOW_TEXT)

    async def work(tx):
        room = await rooms.by_id(tx, "room_1")
        assert room is not None
        return await walletstays.open_stay(tx, order, room, stamp)

    try:
        await db.write(work)
    except ApiError as error:
        if error.code == "balance_low":
            return None
        raise
    return stamp.pass_id


async def go_on(db: Database, pass_id: str) -> str | None:
    async def work(tx):
        stay = await find_stay(tx, pass_id)
        assert stay is not None
        return (await walletstays.hold_next(tx, stay, Stamp(pass_id, 1000, NOW_TEXT))).refused

    return await db.write(work)


async def end(db: Database, pass_id: str) -> None:
    """After all that was granted was used."""

    async def work(tx):
        found = await get_pass(tx, pass_id)
        assert found is not None
        await tx.execute(passes.update().where(passes.c.id == pass_id).values(used_ms=found.granted_ms))
        stay = await find_stay(tx, pass_id)
        assert stay is not None
        if await windows.mark_settled(tx, pass_id):
            await walletstays.close_stay(tx, stay, Stamp(pass_id, 1000, NOW_TEXT))

    await db.write(work)


async def test_calls_that_begin_and_go_on_at_once_stay_within_the_wallet(db: Database):
    await a_wallet(db, 1090)
    entered = await asyncio.gather(*(enter(db, number) for number in range(12)))
    inside = [pass_id for pass_id in entered if pass_id is not None]
    assert len(inside) == 5  # two euros each; the rest is no minute
    refusals = await asyncio.gather(*(go_on(db, pass_id) for pass_id in inside))
    assert refusals.count(None) == 1  # ninety cents are 54 seconds for one of them
    async with db.read() as tx:
        found = await credits_of(tx, KEY)
    assert (found.available_minor, found.held_minor) == (0, 1090)

    await asyncio.gather(*(end(db, pass_id) for pass_id in [*inside, *inside]))
    async with db.read() as tx:
        assert await available_minor(tx, "sandbox", "sandbox", accounts.wallet("user_1"), "eur") == 0
        earned = await available_minor(tx, "sandbox", "sandbox", accounts.earned_pending("room_1"), "eur")
        assert earned == 1090
        for pass_id in inside:
            held = await available_minor(tx, "sandbox", "sandbox", accounts.stay_hold(pass_id), "eur")
            assert held == 0
    assert [one for one in await run_checks(db) if one.kind == "broken"] == []
