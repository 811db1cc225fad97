"""Money in tables that need no Python to be read: `tables/*.txt`. What their lines mean is in `tables/README.md`."""

from pathlib import Path

import pytest

from .table import PHRASES, Table, WrongLineError

FOLDER = Path(__file__).parent / "tables"
TABLES = sorted(FOLDER.glob("*.txt"))


@pytest.mark.parametrize("path", TABLES, ids=lambda path: path.stem)
def test_the_table_holds(path: Path):
    Table(path.name, path.read_text()).run()


def test_there_are_tables_and_every_kind_of_line_is_used():
    assert len(TABLES) >= 12
    lines = [
        " ".join(line.partition("#")[0].split()).split(": ", 1)[-1]
        for path in TABLES
        for line in path.read_text().splitlines()
    ]
    assert [one.pattern for one, _ in PHRASES if not any(map(one.fullmatch, lines))] == []


WRONG = {
    "account wallet:ana 10.00\nexpect wallet:ana 9.99": "t.txt:2: expect wallet:ana 9.99: it is 10.00",
    "account wallet:ana 10.00\nexpect wallet:ana 9.99 free": "t.txt:2: .*it is 10.00",
    "account wallet:ana 1.00\n\nhold w1 2.00 of wallet:ana for 60 s": "t.txt:3: .*answers exceeds",
    "account wallet:ana 1.00\nanswers exceeds: hold w1 1.00 of wallet:ana for 60 s": "answers created",
    "price 10.00 fee 10%\nexpect net 9.01": "t.txt:2: .*it is 9.00",
    "rate 1.00 a minute\ncard holds 15.00 for 15 min\nover after 15:00\nexpect let go": "t.txt:4: .*not let go",
    "expect walet:ana 0.00": "no such account",
    "expect wallet:ana 0": "2 digits",
    "currency kwd\naccount wallet:ana 1.005": "multiple of 10",
    "give ana money": "t.txt:1: give ana money: no such line",
    "account wallet:ana 1.00": "expects nothing",
}


@pytest.mark.parametrize("text", WRONG)
def test_a_wrong_line_fails_and_says_where(text: str):
    with pytest.raises(WrongLineError, match=WRONG[text]):
        Table("t.txt", text).run()


@pytest.mark.parametrize("path", TABLES, ids=lambda path: path.stem)
def test_no_expected_amount_could_be_another(path: Path):
    """Each amount that is expected, made larger by one step, fails at its line."""
    lines = path.read_text().splitlines()
    for number, line in enumerate(lines):
        words = line.partition("#")[0].split()
        amounts = [word for word in words if word.replace(".", "").isdigit()]
        if words[:1] != ["expect"] or not amounts:
            continue
        last = amounts[-1]
        more = str(int(last.replace(".", "")) + 10).rjust(len(last.replace(".", "")), "0")
        point = last[::-1].find(".")
        other = more if point < 0 else f"{more[:-point]}.{more[-point:]}"
        wrong = [*lines[:number], " ".join(other if word == last else word for word in words)]
        with pytest.raises(WrongLineError, match=rf":{number + 1}: "):
            Table(path.name, "\n".join(wrong)).run()
