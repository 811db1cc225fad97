"""A child that fails, dies or babbles is heard of at once; nobody waits for it."""

from pathlib import Path

import pytest

from bench.pipe import Child

CHILD = """
import asyncio, os, sys
from bench.pipe import serve

async def handle(op, args):
    if op == "fail":
        raise ValueError("not today")
    if op == "die":
        os._exit(3)
    if op == "babble":
        print("no answer at all", flush=True)
    return {"said": args}

asyncio.run(serve(handle))
"""


@pytest.fixture
def child(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Child:
    (tmp_path / "chatty.py").write_text(CHILD, encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{Path.cwd()}")
    return Child("chatty")


async def test_an_answer_belongs_to_its_question(child: Child):
    async with child:
        assert await child.request("echo", n=1) == {"said": {"n": 1}}
        assert await child.request("echo", n=2) == {"said": {"n": 2}}


async def test_an_error_comes_with_its_text(child: Child):
    async with child:
        with pytest.raises(RuntimeError, match="ValueError: not today"):
            await child.request("fail")
        assert await child.request("echo") == {"said": {}}


async def test_a_child_that_died_answers_nobody_and_holds_nobody_up(child: Child):
    async with child:
        with pytest.raises(RuntimeError, match="ended"):
            await child.request("die")
        with pytest.raises(RuntimeError, match="ended"):
            await child.request("echo")


async def test_what_is_no_answer_ends_the_talk(child: Child):
    await child.__aenter__()
    with pytest.raises(RuntimeError, match="ended"):
        await child.request("babble")
    with pytest.raises(ValueError, match="Expecting value"):
        await child.__aexit__()
