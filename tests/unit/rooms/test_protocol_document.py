"""PROTOCOL.md against the code: every message, every field, every ending."""

import re
from dataclasses import fields
from pathlib import Path
from typing import get_args

import pytest

from signaling.rooms import endings, wire
from signaling.rooms.commands import HOST_ONLY, PAYER_ONLY

DOCUMENT = (Path(__file__).parents[3] / "signaling" / "PROTOCOL.md").read_text()


def table(heading: str) -> dict[str, list[str]]:
    """First column → the other cells, of the table under that heading."""
    part = DOCUMENT.split(heading, 1)[1].split("\n## ", 1)[0].split("\n**", 1)[0]
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in part.splitlines()
        if line.startswith("| `")
    ]
    return {name: row[1:] for row in rows for name in re.findall(r"`([a-z_]+)`", row[0])}


def names(cell: str) -> set[str]:
    """Top-level field names of a cell: `room {slug, title}` is `room`, `name?` is `name`."""
    flat = re.sub(r"[\[{(].*?[\]})]", "", re.sub(r"\{[^{}]*\}", "", re.sub(r"\([^()]*\)", "", cell)))
    return {word.rstrip("?") for word in re.findall(r"[a-z_]+\??", flat)}


def test_every_client_message_and_field_is_documented() -> None:
    rows = table("## Client to server")
    assert set(rows) == {message.type for message in wire.CLIENT_MESSAGES}
    for message in wire.CLIENT_MESSAGES:
        assert names(rows[message.type][0]) == {field.name for field in fields(message)}, message.type


def test_who_may_send_is_documented() -> None:
    for name, row in table("## Client to server").items():
        message = next(m for m in wire.CLIENT_MESSAGES if m.type == name)
        assert (row[1] == "host") == (message in HOST_ONLY), name
        assert (row[1] == "payer") == (message in PAYER_ONLY), name


def test_every_server_message_and_field_is_documented() -> None:
    rows = table("## Server to client")
    assert set(rows) == {message.type for message in wire.SERVER_MESSAGES}
    for message in wire.SERVER_MESSAGES:
        documented = names(rows[message.type][0])
        if message is wire.Joined:
            documented.add("resumed")  # in the column of meanings
            assert "`resumed: true`" in rows["joined"][1]
        assert documented == {field.name for field in fields(message)}, message.type


def test_every_kind_of_notice_is_documented() -> None:
    kinds = re.findall(r"`([a-z_]+)`", table("## Server to client")["notice"][0].split("(")[1].split(")")[0])
    assert set(kinds) == set(get_args(wire.NoticeKind))


def test_every_ending_and_its_close_code_is_documented() -> None:
    documented = {name: int(row[0]) for name, row in table("**Endings.**").items()}
    assert documented == endings.CLOSE_CODES


@pytest.mark.parametrize(
    "code", ["too_large", "bad_json", "bad_message", "unknown_type", "binary", "out_of_order"]
)
def test_every_error_of_the_wire_is_documented(code: str) -> None:
    assert f"`{code}`" in DOCUMENT.split("**Errors.**")[1].split("**Endings.**")[0]
