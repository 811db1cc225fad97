"""API.md against the code, where a reader would copy from it: the example, the figures of rates."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from metering.rates import DEFAULTS, FIGURES, HOST_FIGURES
from metering.tariff import parse_tariff
from signaling.payments.checkout import NewOrder, require_secret
from signaling.rooms.gateway import HostTokenBody
from signaling.rooms.opening import NewRoom

API = (Path(__file__).parents[3] / "signaling" / "API.md").read_text(encoding="utf-8")
# As the shell of the example has them when it gets there.
SHELL = {"$ROOM": "room_1", "$KEY": "k" * 43, "$ORDER": "ord_" + "o" * 22}


def example_body(path: str) -> dict[str, Any]:
    """What the example posts there."""
    example = API.split("```sh\n")[1].split("```")[0].replace("\\\n", " ")
    call = example.split(f"$BASE{path}", 1)[1]
    quoted = re.match(r"[^\n]*? -d '([^']+)'", call) or re.match(r"[^\n]*? -d \"(.+)\"\n", call)
    assert quoted is not None, path
    text = quoted[1].replace('\\"', '"')
    for name, value in SHELL.items():
        text = text.replace(name, value)
    return dict(json.loads(text))


def test_the_example_opens_a_room_that_its_order_buys() -> None:
    room = NewRoom.model_validate(example_body("/api/rooms"))
    tariff = parse_tariff(room.tariff)
    HostTokenBody.model_validate(example_body("/api/host/token"))
    order = NewOrder.model_validate(example_body("/api/rooms/$SLUG/orders"))
    assert order.accept_terms
    assert order.seconds == getattr(tariff, "seconds", None)


def figures() -> dict[str, tuple[str, int]]:
    """Figure → what holds where nobody says it, and its line in the table."""
    table = API.split("| figure | what it sets |")[1].split("\n\n")[0].splitlines()[2:]
    found = {}
    for line, text in enumerate(table):
        cells = text.strip("|").split("|")
        for name in re.findall(r"`([a-z_]+)`", cells[0]):
            found[name] = (cells[2].strip(), line)
    return found


def test_every_figure_of_the_rates_is_told() -> None:
    assert set(figures()) == set(FIGURES)


@pytest.mark.parametrize("name", sorted(set(DEFAULTS) - {"earnings_days"}))
def test_what_holds_where_nobody_says_it_is_told(name: str) -> None:
    assert json.dumps(DEFAULTS[name]).strip('"') in re.split(r"[ ,`]+", figures()[name][0])


def test_the_figures_of_the_host_come_first() -> None:
    lines = {line for name, (_, line) in figures().items() if name in HOST_FIGURES}
    assert lines == set(range(5))
    assert "The first five lines are also the host's" in API
    assert all((line < 5) == (name in HOST_FIGURES) for name, (_, line) in figures().items())


def test_the_secret_of_the_example_is_long_enough() -> None:
    made = re.search(r"SECRET=\$\(head -c (\d+)", API)
    assert made is not None
    require_secret("s" * (int(made[1]) * 4 // 3))
