"""The README names every operation, control call, fault and card there is, and none that is not."""

import re
from pathlib import Path

from signaling.payments import sandbox
from signaling.payments.sandbox.cards import CARDS
from signaling.payments.sandbox.faults import API_FAULTS, EVENT_FAULTS
from signaling.payments.sandbox.resources import ROUTES

README = (Path(sandbox.__file__).parent / "README.md").read_text()


def test_every_operation_is_listed_with_its_path():
    listed = re.findall(r"^\| `([a-z_.]+)` \| `([A-Z]+) (/v1/[^`]+)`", README, re.MULTILINE)
    assert sorted(listed) == sorted((route.name, route.method, route.path) for route in ROUTES)


async def test_every_control_call_is_listed(world):
    served = {
        (route.method, resource.canonical)
        for resource in world.sandbox.api_app().router.resources()
        if resource.canonical.startswith("/_control")
        for sub in [resource._app.router]
        for inner in sub.resources()
        for route in inner
        for resource in [inner]
        if route.method != "HEAD"
    }
    listed = set(re.findall(r"`(GET|POST) (/_control/[a-z_]*)`", README))
    assert {(method, path) for method, path in served} == listed


def test_every_fault_and_card_is_named():
    for name in (*API_FAULTS, *EVENT_FAULTS, *CARDS):
        assert f"`{name}`" in README, name
