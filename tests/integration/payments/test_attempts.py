"""The one owner of asking the payment service: attempt, look, next key. With an errand that nobody else runs."""

from dataclasses import dataclass, field
from typing import ClassVar

import pytest

from signaling.payments import attempts
from signaling.payments.port import OutcomeUnknownError, RefusedByServiceError
from signaling.stores import refunds as calls

from .world import World

FAILED = OutcomeUnknownError("500", answered=True)
LOST = OutcomeUnknownError("no answer")


@dataclass
class Bells(attempts.WatchedErrand[str]):
    """Asks for a bell. `answers`: what each request meets; `there`: what a look finds."""

    operation: ClassVar[str] = "bells.create"
    answers: list = field(default_factory=list)
    there: list = field(default_factory=list)
    wished: str = "wanted"
    told: list = field(default_factory=list)

    @property
    def subject_id(self):
        return "tower"

    async def make(self, params, key):
        self.told.append(("asked", key, params["size"]))
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def find(self, first):
        self.told.append(("looked", first.idempotency_key))
        return self.there

    def id_of(self, made):
        return made

    async def done(self, _tx, made, _now):
        self.told.append(("done", made))
        return ()

    async def refused(self, _tx, _error, _now):
        self.told.append("refused")
        return ()

    async def spare(self, made):
        self.told.append(("spared", made))

    async def wish(self, _tx, _now_s):
        return self.wished

    async def dropped(self, _tx, _now):
        self.told.append("dropped")
        return ()


async def begun(world: World, operation: str = Bells.operation, key: str = "bell"):
    now_s = int(world.clock.wall_s())
    return await world.db.write(
        lambda tx: attempts.begin(tx, operation, "tower", {"size": 3}, first_key=key, now_s=now_s)
    )


async def stored(world: World) -> list[tuple[str, str]]:
    async with world.db.read() as tx:
        return [
            (one.idempotency_key, one.state) for one in await calls.calls_of(tx, "tower", Bells.operation)
        ]


async def test_what_is_made_at_once_closes_its_call(world: World):
    call, bells = await begun(world), Bells(answers=["be_1"])
    assert await attempts.carry_out(world.payments.ctx, bells, call) == "be_1"
    assert bells.told == [("asked", "bell", 3), ("done", "be_1")]
    assert await stored(world) == [("bell", "done")]


async def test_a_refusal_is_final_for_its_key(world: World):
    call, bells = await begun(world), Bells(answers=[RefusedByServiceError("no", "no")])
    with pytest.raises(RefusedByServiceError):
        await attempts.carry_out(world.payments.ctx, bells, call)
    assert bells.told[1:] == ["refused"]
    assert await stored(world) == [("bell", "refused")]


async def test_no_answer_is_asked_again_with_the_same_key_after_a_look(world: World):
    await begun(world)
    bells = Bells(answers=[LOST, "be_1"])
    await attempts.attempt(world.payments.ctx, bells)
    assert await stored(world) == [("bell", "unknown")]
    await attempts.reconcile(world.payments.ctx, bells)
    assert bells.told[1:] == [("looked", "bell"), ("asked", "bell", 3), ("done", "be_1")]


async def test_the_next_key_comes_only_after_a_look_that_found_nothing(world: World):
    await begun(world)
    bells = Bells(answers=[FAILED, FAILED])
    await attempts.attempt(world.payments.ctx, bells)
    assert await stored(world) == [("bell", "unknown")]
    await attempts.attempt(world.payments.ctx, bells)
    assert bells.told[-1] == ("looked", "bell")
    assert await stored(world) == [("bell", "refused"), ("bell:2", "pending")]


async def test_what_a_failure_made_all_the_same_is_found_and_the_spare_one_ended(world: World):
    await begun(world)
    bells = Bells(answers=[FAILED, FAILED], there=["be_1", "be_2"])
    await attempts.attempt(world.payments.ctx, bells)
    await attempts.attempt(world.payments.ctx, bells)
    assert bells.told[-2:] == [("done", "be_1"), ("spared", "be_2")]
    assert await stored(world) == [("bell", "done")]


async def test_there_are_only_so_many_keys(world: World):
    await begun(world)
    bells = Bells(answers=[FAILED] * 20)
    for _ in range(20):
        await attempts.attempt(world.payments.ctx, bells)
    states = [state for _, state in await stored(world)]
    assert states == ["refused"] * (attempts.KEYS_MAX - 1) + ["unknown"]


async def test_a_late_answer_closes_the_calls_that_were_begun_after_it(world: World):
    first, _second = await begun(world), await begun(world)
    other = await begun(world, "ropes.create", "rope")
    await attempts.adopt(world.payments.ctx, Bells(), "be_1", first)
    assert await stored(world) == [("bell", "done"), ("bell:2", "done")]
    async with world.db.read() as tx:
        (rope,) = await calls.calls_of(tx, "tower", "ropes.create")
    assert (rope.idempotency_key, rope.state) == (other.idempotency_key, "pending")


async def test_what_nobody_wants_is_given_up_only_when_nothing_can_be_on_its_way(world: World):
    await begun(world)
    bells = Bells(answers=[LOST])
    await attempts.attempt(world.payments.ctx, bells)
    bells.wished = "dropped"
    await attempts.reconcile(world.payments.ctx, bells)
    assert bells.told[-1] == ("looked", "bell")
    world.later(attempts.IN_FLIGHT_S)
    await attempts.reconcile(world.payments.ctx, bells)
    assert bells.told[-2:] == [("looked", "bell"), "dropped"]
    assert await stored(world) == [("bell", "refused")]
