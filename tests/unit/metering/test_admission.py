"""Who may come in now: one row, one answer."""

from typing import get_args

import pytest

from metering.admission import Admit, PassFacts, RefusalCode, RoomFacts, admit_host, admit_payer

# pass                | room             | inside | answer
TABLE = """
none                  | open             | no     | not_paid
waiting               | open             | no     | admitted
active                | open             | no     | admitted
active, unlimited     | open             | no     | admitted
revoked               | open             | no     | revoked
refunded              | open             | yes    | revoked
disputed              | open             | no     | revoked
used_up               | open             | no     | pass_used_up
active, all used      | open             | no     | pass_used_up
active, live          | open             | no     | wrong_mode
active, other account | open             | no     | wrong_mode
active, other room    | open             | no     | wrong_room
active                | closed           | yes    | room_closed
active                | locked           | no     | room_locked
active                | locked           | yes    | admitted
active                | full             | no     | room_full
active                | full             | yes    | admitted
active                | no limit         | no     | admitted
revoked               | closed           | no     | revoked
none                  | full             | no     | not_paid
"""


def a_pass(text: str) -> PassFacts | None:
    if text == "none":
        return None
    state, _, rest = text.partition(", ")
    return PassFacts(
        state=state,
        mode="live" if rest == "live" else "test",
        account="acct_2" if rest == "other account" else "acct_1",
        room_id="room_2" if rest == "other room" else "room_1",
        granted_ms=None if rest == "unlimited" else 900_000,
        used_ms=900_000 if rest == "all used" else 5_000,
    )


def a_room(text: str) -> RoomFacts:
    capacity = None if text == "no limit" else 10
    occupied = 10 if text in ("full", "no limit") else 9
    return RoomFacts("room_1", "test", "acct_1", text != "closed", text == "locked", capacity, occupied)


@pytest.mark.parametrize("row", [row for row in TABLE.splitlines() if row.strip()])
def test_a_payer_at_the_door(row):
    pass_text, room_text, inside, answer = (cell.strip() for cell in row.split("|"))
    given_answer = admit_payer(a_pass(pass_text), a_room(room_text), inside=inside == "yes")
    assert ("admitted" if isinstance(given_answer, Admit) else given_answer.code) == answer


def test_every_code_has_its_row():
    assert {code for code in get_args(RefusalCode) if f"| {code}\n" not in TABLE} == set()


def test_a_host_comes_in_with_the_rooms_own_key_even_when_it_is_full_or_locked():
    assert admit_host("room_1", a_room("full")) == Admit()
    assert admit_host("room_1", a_room("locked")) == Admit()
    assert admit_host("room_2", a_room("open")).code == "wrong_room"
    assert admit_host(None, a_room("open")).code == "wrong_room"
    assert admit_host("room_1", a_room("closed")).code == "room_closed"
