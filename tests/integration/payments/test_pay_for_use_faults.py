"""Holds that are charged over a bad line, by a process that dies, or too late: never guessed, never charged twice."""

import pytest

from signaling.payments.checkout import NewOrder
from signaling.stores.orders import get_order

from .test_crashes import _quietly, _restart_when_dead, _rounds
from .usage import METERED, Caller, caller
from .world import Customer, World

CAPTURE, CANCEL = "payment_intents.capture", "payment_intents.cancel"


@pytest.fixture
async def talk(world: World) -> World:
    await world.add_room(tariff=METERED)
    return world


async def _until_settled(world: World, who: Caller, rounds: int = 12) -> dict:
    for _ in range(rounds):
        await world.settle_down()
        use = await who.use()
        if use["charged_minor"] is not None:
            return use
        world.later(3)
    raise AssertionError(f"not settled: {use}")


# --- outcomes that are not known --------------------------------------------------------------------------

FAULTS = [
    ("truncate_after_commit", {}),
    ("reset_after_commit", {}),
    ("error_500_saved", {}),
    ("error_500_saved", {"effect": True}),
    ("conflict_409", {}),
    ("rate_limit_429", {}),
]


@pytest.mark.parametrize(("fault", "more"), FAULTS)
@pytest.mark.parametrize("case", [(CAPTURE, 432, 720), (CANCEL, 0, 0)])
async def test_a_lost_answer_is_looked_up(talk: World, fault: str, more: dict, case: tuple[str, int, int]):
    operation, used_s, charged = case
    ana = await caller(talk)
    await talk.control("faults", operation=operation, fault=fault, times=2, **more)
    await ana.enters()
    await ana.uses(used_s)
    await ana.goes()
    use = await _until_settled(talk, ana)
    assert use["charged_minor"] == charged
    (session,) = await talk.books()
    assert session["captured_minor"] == charged
    assert {call["state"] for call in await talk.rows("stripe_calls")} <= {"done", "refused"}
    await talk.assert_books_agree()


async def test_the_service_being_away_for_a_while_changes_nothing(talk: World):
    ana = await caller(talk)
    await talk.control("faults", operation="*", fault="error_500_saved", times=6)
    await ana.enters()
    await ana.uses(432)
    await ana.goes()
    await talk.settle_down()
    assert (await ana.use())["charged_minor"] is None
    assert (await ana.use())["settled"] is True
    for _ in range(8):
        talk.later(60)
        await talk.settle_down()
    assert (await ana.use())["charged_minor"] == 720
    await talk.assert_books_agree()


async def test_webhooks_told_twice_and_in_any_order_change_nothing(talk: World):
    await talk.control("faults", events="duplicate", times=50)
    ana = await caller(talk)
    await talk.control("faults", events="reorder", times=5, delay_s=1)
    await ana.calls(432)
    talk.later(700)
    await talk.settle_down()
    assert (await ana.use())["charged_minor"] == 720
    assert await talk.rows("quarantine") == []
    await talk.assert_books_agree()


async def test_without_any_webhook_it_is_settled_all_the_same(talk: World):
    ana = await caller(talk)
    talk.webhooks_reach_us = False
    await ana.calls(432)
    assert (await ana.use())["charged_minor"] == 720
    await talk.assert_books_agree()


# --- holds that are gone ----------------------------------------------------------------------------------


async def test_a_hold_that_somebody_released_is_charged_nothing_and_the_operator_is_told(talk: World):
    ana = await caller(talk)
    (window,) = await ana.windows()
    await talk.payments.ctx.service.cancel_intent(window["payment_intent_id"], "by-hand")
    await ana.calls(432)
    use = await _until_settled(talk, ana)
    assert (use["charged_minor"], use["released_minor"]) == (0, 1500)
    (told,) = await talk.rows("quarantine")
    assert (told["reason"], told["subject_id"]) == ("hold_lapsed", window["id"])
    assert await talk.rows("transfers") == []
    await talk.assert_books_agree()


async def test_a_hold_about_to_lapse_is_charged_before_it_does(talk: World):
    ana = await caller(talk)
    await ana.enters()
    await ana.uses(60)
    (window,) = await ana.windows()
    await ana.goes("connection_lost", told=False)
    assert window["capture_before_s"] > talk.clock.at_s + 3600
    talk.clock.at_s = window["capture_before_s"] - 3500
    await talk.settle_down()
    assert (await ana.use())["charged_minor"] == 100


async def test_somebody_inside_is_put_out_before_the_hold_lapses(talk: World):
    ana = await caller(talk)
    await ana.enters()
    await ana.uses(60)
    (window,) = await ana.windows()
    talk.clock.at_s = window["capture_before_s"] - 3500
    await talk.settle_down()
    row = await ana.pass_row()
    assert (row["state"], row["settled"]) == ("used_up", False)  # rooms end the stay, then it is settled
    await ana.goes("used_up")
    assert (await _until_settled(talk, ana))["charged_minor"] == 100


async def test_what_somebody_captured_by_hand_is_what_the_books_say(talk: World):
    ana = await caller(talk)
    (window,) = await ana.windows()
    await talk.payments.ctx.service.capture_intent(
        window["payment_intent_id"], {"amount_to_capture": 900}, "by-hand"
    )
    await talk.settle_down()
    assert (await talk.show(ana.who))["state"] == "paid"  # not quarantined for being less than was held
    await ana.calls(432)
    assert (await _until_settled(talk, ana))["charged_minor"] == 900
    await talk.assert_books_agree()


# --- the process dies between any two steps ---------------------------------------------------------------


async def _story(world: World, who: Customer) -> None:
    """Ordered, held, used for 7:12, left."""
    body = NewOrder(order_id=who.order_id, name="Bo", accept_terms=True)
    await _quietly(world.payments.make_order("talk", body, who.secret))
    await _restart_when_dead(world)
    await _quietly(world.payments.make_order("talk", body, who.secret))  # the browser asks again
    await _rounds(world)
    shown = await world.show(who)
    if shown["state"] == "open":
        await world.pay(shown)
    await _rounds(world)
    world.later(250)
    await _rounds(world)
    async with world.db.read() as tx:
        order = await get_order(tx, who.order_id)
    assert order is not None
    assert order.granted
    ana = Caller(world, who, (await world.show(who))["pass"]["id"])
    await ana.enters()
    await ana.uses(432)
    await ana.goes()
    await _rounds(world)
    world.later(301)  # the notice may have died with the process
    await _rounds(world, 6)
    world.later(700)  # failed webhooks come again
    await _rounds(world)


STEPS = 24


async def _assert_ended_well(world: World, who: Customer) -> None:
    use = (await world.show(who))["use"]
    assert (use["charged_minor"], use["released_minor"]) == (720, 780)
    assert [one["captured_minor"] for one in await world.books()] == [720]
    assert len(await world.rows("passes")) == 1
    assert await world.rows("quarantine") == []
    await world.assert_books_agree()


async def test_without_a_crash(talk: World):
    await talk.payments.catch_up()
    who = talk.customer()
    talk.steps.clear()
    await _story(talk, who)
    await _assert_ended_well(talk, who)
    assert len(talk.steps) == STEPS, "the deaths below must cover every step"


@pytest.mark.parametrize("dying_at", range(STEPS))
async def test_dying_after_any_step(talk: World, dying_at: int):
    await talk.payments.catch_up()
    who = talk.customer()
    talk.steps.clear()
    talk.crash_at = dying_at
    await _story(talk, who)
    assert talk.deaths == 1
    await _assert_ended_well(talk, who)
