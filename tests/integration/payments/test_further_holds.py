"""The next hold during a call: on the same card, while its payer is there, a minute before the end."""

from typing import Any
from urllib.parse import urlsplit

import pytest
from sqlalchemy import update

from signaling.notices import Funding, StayLow
from signaling.stores.schema import orders

from .test_crashes import _rounds
from .usage import METERED, Caller, caller
from .world import World

CREATE = "payment_intents.create"


@pytest.fixture
async def talk(world: World) -> World:
    await world.add_room(tariff=METERED)
    return world


def told(world: World, kind: str | None = None) -> list[Funding]:
    found = [notice for notice in world.notices if isinstance(notice, Funding)]
    return [notice for notice in found if kind in {None, notice.kind}]


DECLINED = "pm_card_visa_chargeDeclined"
ASKED_BY_THE_BANK = "pm_card_threeDSecure2Required"


async def going_on(world: World, kept: str | None = None) -> Caller:
    """In the call, a minute left, and agreed to go on. `kept`: what the card does when it is asked again, by the name of
    one of Stripe's test methods."""
    ana = await caller(world, goes_on=True)
    await ana.enters()
    if kept is not None:
        change = update(orders).where(orders.c.id == ana.who.order_id).values(payment_method_id=kept)
        await world.db.write(lambda tx: tx.execute(change))
    return ana


async def states(ana: Caller) -> list[tuple[str, int | None]]:
    return [(row["state"], row["charged_minor"]) for row in await ana.windows()]


async def test_a_further_hold_extends_the_pass(talk: World):
    ana = await going_on(talk)
    await ana.runs_low()
    assert (await ana.pass_row())["granted_ms"] == 1_800_000
    assert await states(ana) == [("held", None), ("held", None)]
    (notice,) = told(talk)
    assert (notice.kind, notice.seconds) == ("funded", 900)
    assert (await ana.use())["held_minor"] == 3000
    first, second = await ana.windows()
    assert first["payment_intent_id"] != second["payment_intent_id"]
    assert (second["begins_ms"], second["held_minor"]) == (900_000, 1500)


async def test_two_holds_are_charged_one_price(talk: World):
    ana = await going_on(talk)
    await ana.runs_low()
    await ana.uses(1_212)  # 20:12
    await ana.goes()
    await talk.settle_down()
    assert await states(ana) == [("settled", 1500), ("settled", 520)]
    use = await ana.use()
    assert (use["charged_minor"], use["released_minor"]) == (2020, 980)
    booked = [
        row["amount_minor"] for row in await talk.rows("transfers") if row["code"] == "payment_captured"
    ]
    assert sum(booked) == 2020
    assert await talk.problems() == []


async def test_a_further_hold_that_is_not_needed_is_released_whole(talk: World):
    ana = await going_on(talk)
    await ana.runs_low()
    await ana.uses(880)
    await ana.goes()
    await talk.settle_down()
    assert await states(ana) == [("settled", 1466), ("settled", 0)]
    assert await talk.problems() == []


async def test_a_rest_below_the_smallest_charge_is_taken_with_the_first_hold(talk: World):
    """What a card cannot be charged by itself is moved, not lost."""
    ana = await going_on(talk)
    await ana.runs_low()
    await ana.uses(912)
    await ana.goes()
    await talk.settle_down()
    assert await states(ana) == [("settled", 1470), ("settled", 50)]
    assert (await ana.use())["charged_minor"] == 1520


async def test_who_did_not_agree_is_not_asked(talk: World):
    ana = await caller(talk)
    await ana.enters()
    await ana.runs_low()
    assert len(await ana.windows()) == 1
    (notice,) = told(talk)
    assert (notice.kind, notice.failure) == ("funding_failed", "not_agreed")


async def test_agreeing_is_possible_only_with_a_card_that_was_kept(talk: World):
    ana = await caller(talk)
    status, refused = await talk.call(
        "POST", f"/api/orders/{ana.who.order_id}/goes_on", ana.who, {"goes_on": True}
    )
    assert (status, refused["error"]["code"]) == (409, "no_saved_card")


async def test_the_payer_may_change_their_mind_during_the_call(talk: World):
    ana = await going_on(talk)
    path = f"/api/orders/{ana.who.order_id}/goes_on"
    status, shown = await talk.call("POST", path, ana.who, {"goes_on": False})
    assert (status, shown["use"]["goes_on"]) == (200, False)
    await ana.runs_low()
    assert len(await ana.windows()) == 1
    # In the last minute, after all.
    await talk.call("POST", path, ana.who, {"goes_on": True})
    await talk.settle_down()
    assert (await ana.pass_row())["granted_ms"] == 1_800_000


async def test_after_the_end_there_is_nothing_to_agree_to(talk: World):
    ana = await going_on(talk)
    await ana.uses(60)
    await ana.goes()
    await talk.settle_down()
    path = f"/api/orders/{ana.who.order_id}/goes_on"
    status, refused = await talk.call("POST", path, ana.who, {"goes_on": True})
    assert (status, refused["error"]["code"]) == (409, "settled")


async def test_the_longest_call_is_not_exceeded(world: World):
    await world.add_room(tariff=METERED | {"max_seconds": 1200})
    ana = await going_on(world)
    await ana.runs_low()
    assert (await ana.pass_row())["granted_ms"] == 1_200_000
    assert [row["held_minor"] for row in await ana.windows()] == [1500, 500]
    await ana.runs_low()
    assert told(world)[-1].failure == "at_the_end"


# --- the bank says no, or asks ----------------------------------------------------------------------------


async def test_a_decline_ends_the_call_at_the_end_of_what_is_held(talk: World):
    ana = await going_on(talk, DECLINED)
    await ana.runs_low()
    assert await states(ana) == [("held", None), ("failed", None)]
    (notice,) = told(talk)
    assert (notice.kind, notice.failure) == ("funding_failed", "generic_decline")
    assert (await ana.pass_row())["granted_ms"] == 900_000
    await ana.uses(900)
    await ana.goes("used_up")
    await talk.settle_down()
    assert await states(ana) == [("settled", 1500), ("failed", None)]
    await talk.assert_books_agree()


async def test_too_many_declines_are_the_last_word(talk: World):
    ana = await going_on(talk, DECLINED)
    for _ in range(6):
        await ana.runs_low()
    assert [state for state, _ in await states(ana)].count("failed") == 5
    assert told(talk)[-1].failure == "too_many_failures"


async def test_what_the_bank_asks_is_told_to_the_payer_and_told_again(talk: World):
    ana = await going_on(talk, ASKED_BY_THE_BANK)
    await ana.runs_low()
    asked = told(talk, "action_needed")[0]
    assert asked.client_secret
    assert asked.client_secret not in repr(asked)
    assert (await states(ana))[1] == ("action", None)
    talk.notices.clear()
    await talk.call("POST", f"/api/orders/{ana.who.order_id}/refresh", ana.who)  # the page was loaded again
    assert told(talk, "action_needed")[0].client_secret == asked.client_secret


@pytest.mark.parametrize(
    ("approved", "state", "granted_ms"), [(True, "held", 1_800_000), (False, "failed", 900_000)]
)
async def test_the_payers_answer_to_the_bank_decides(
    talk: World, approved: bool, state: str, granted_ms: int
):
    ana = await going_on(talk, ASKED_BY_THE_BANK)
    await ana.runs_low()
    url = told(talk, "action_needed")[0].action_url or ""
    asked = urlsplit(url).path.replace("/sandbox/", "/sandbox/api/") + "/challenge"
    async with talk.http.post(talk.api.make_url(asked), json={"approved": approved}) as answer:
        assert (await answer.json())["status"] == (
            "requires_capture" if approved else "requires_payment_method"
        )
    await talk.settle_down()
    assert (await states(ana))[1] == (state, None)
    assert (await ana.pass_row())["granted_ms"] == granted_ms
    assert told(talk)[-1].kind == ("funded" if approved else "funding_failed")
    await ana.uses(60)
    await ana.goes()
    await talk.settle_down()
    await talk.assert_books_agree()


async def test_a_question_that_nobody_answers_is_canceled_with_the_end(talk: World):
    ana = await going_on(talk, ASKED_BY_THE_BANK)
    await ana.runs_low()
    await ana.uses(900)
    await ana.goes("used_up")
    await talk.settle_down()
    talk.later(10)
    await talk.settle_down()
    assert await states(ana) == [("settled", 1500), ("released", None)]
    assert (await ana.pass_row())["granted_ms"] == 900_000
    await talk.assert_books_agree()


# --- outcomes that are not known --------------------------------------------------------------------------

FAULTS = [
    ("truncate_after_commit", {}),
    ("reset_after_commit", {}),
    ("error_500_saved", {}),
    ("error_500_saved", {"effect": True}),
    ("conflict_409", {}),
]


@pytest.mark.parametrize(("fault", "more"), FAULTS)
async def test_a_hold_whose_answer_is_lost_is_found_and_made_once(
    talk: World, fault: str, more: dict[str, Any]
):
    ana = await going_on(talk)
    await talk.control("faults", operation=CREATE, fault=fault, **more)
    await ana.runs_low()
    for _ in range(6):
        talk.later(10)
        await talk.settle_down()
    assert await states(ana) == [("held", None), ("held", None)]
    assert (await ana.pass_row())["granted_ms"] == 1_800_000
    await ana.uses(1_200)
    await ana.goes()
    await talk.settle_down()
    assert (await ana.use())["charged_minor"] == 2000
    assert await talk.problems() == []


async def test_a_hold_that_comes_too_late_is_let_go(talk: World):
    ana = await going_on(talk)
    talk.webhooks_reach_us = False
    await talk.control("faults", operation=CREATE, fault="truncate_after_commit")
    await ana.runs_low()
    assert (await states(ana))[1] == ("asked", None)
    await ana.uses(900)
    await ana.goes("used_up")
    for _ in range(10):
        await talk.settle_down()
        talk.later(30)
    assert await states(ana) == [("settled", 1500), ("released", None)]
    assert (await ana.pass_row())["granted_ms"] == 900_000
    assert await talk.problems() == []


async def test_hearing_twice_that_it_runs_low_asks_once(talk: World):
    ana = await going_on(talk, ASKED_BY_THE_BANK)
    await ana.runs_low()
    await ana.runs_low()
    assert len(await ana.windows()) == 2


async def test_old_news_of_a_low_stay_holds_nothing(talk: World):
    """Two connections of one pass may both have told it, the later one after the pass was extended."""
    ana = await going_on(talk)
    for _ in range(2):
        talk.payments.hear(StayLow(ana.pass_id, "room_talk", 900_000))
        await talk.settle_down()
    assert len(await ana.windows()) == 2


# --- the process dies between any two steps ---------------------------------------------------------------


async def _story(world: World, ana: Caller) -> None:
    """The call runs low, goes on with a second hold, and is left after 20:12."""
    for _ in range(2):  # after a crash the payer comes in again, and the room tells it again
        world.payments.hear(StayLow(ana.pass_id, "room_talk", 900_000))
        await _rounds(world)
    world.later(60)
    await _rounds(world)
    await ana.uses(1_212)
    await ana.goes()
    await _rounds(world)
    world.later(301)
    await _rounds(world, 6)
    world.later(700)
    await _rounds(world)


STEPS = 38


async def _assert_ended_well(world: World, ana: Caller) -> None:
    assert await states(ana) == [("settled", 1500), ("settled", 520)]
    assert (await ana.use())["charged_minor"] == 2020
    assert await world.rows("quarantine") == []
    assert await world.problems() == []


async def test_without_a_crash(talk: World):
    await talk.payments.catch_up()
    ana = await going_on(talk)
    talk.steps.clear()
    await _story(talk, ana)
    await _assert_ended_well(talk, ana)
    assert len(talk.steps) == STEPS, "the deaths below must cover every step"


@pytest.mark.parametrize("dying_at", range(STEPS))
async def test_dying_after_any_step(talk: World, dying_at: int):
    await talk.payments.catch_up()
    ana = await going_on(talk)
    talk.steps.clear()
    talk.crash_at = dying_at
    await _story(talk, ana)
    assert talk.deaths == 1
    await _assert_ended_well(talk, ana)
