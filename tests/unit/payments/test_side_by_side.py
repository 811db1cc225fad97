"""Several errands at once, a few at a time."""

import asyncio

import pytest

from signaling.payments.context import side_by_side


async def test_errands_that_a_cancellation_kept_from_beginning_are_put_away_too():
    begun: list[int] = []

    async def errand(number: int) -> None:
        begun.append(number)
        await asyncio.Event().wait()

    task = asyncio.create_task(side_by_side([errand(number) for number in range(5)], limit=2))
    while len(begun) < 2:
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert begun == [0, 1]


async def test_what_one_raises_is_raised_once_all_have_ended():
    ended: list[str] = []

    async def fails() -> None:
        raise LookupError("gone")

    async def ends() -> None:
        await asyncio.sleep(0)
        ended.append("second")

    with pytest.raises(LookupError):
        await side_by_side([fails(), ends()])
    assert ended == ["second"]
