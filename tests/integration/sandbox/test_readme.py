"""The README names every operation, control call, fault and card there is, and none that is not."""

import re
from pathlib import Path

from signaling.payments import sandbox
from signaling.payments.sandbox.cards import CARDS, SAVED_CARDS
from signaling.payments.sandbox.faults import API_FAULTS, EVENT_FAULTS
from signaling.payments.sandbox.resources import ROUTES

README = (Path(sandbox.__file__).parent / "README.md").read_text()


def test_every_operation_is_listed_with_its_path():
    listed = re.findall(r"^\| `([a-z0-9_.]+)` \| `([A-Z]+) (/v[12]/[^`]+)`", README, re.MULTILINE)
    assert sorted(listed) == sorted((route.name, route.method, route.path) for route in ROUTES)


async def test_every_control_call_is_listed(world):
    app = world.sandbox._control.app()
    served = {(route.method, f"/_control{route.resource.canonical}") for route in app.router.routes()}
    listed = set(re.findall(r"`(GET|POST) (/_control/[a-z_]*)`", README))
    assert {entry for entry in served if entry[0] != "HEAD"} == listed


def test_every_fault_and_card_is_named():
    for name in (*API_FAULTS, *EVENT_FAULTS, *CARDS, *SAVED_CARDS):
        assert f"`{name}`" in README, name
