"""Messages in and out, and the one function of endings."""

import json

import pytest

from metering.events import EndCode
from signaling.rooms import wire
from signaling.rooms.endings import CLOSE_CODES, Ending, conclude, meter_code


def test_a_message_becomes_a_typed_object_and_unknown_fields_are_ignored() -> None:
    text = '{"type": "publish", "sdp": "v=0", "sources": {"0": "camera"}, "later": [1]}'
    assert wire.parse(text) == wire.Publish("v=0", {"0": "camera"})
    assert wire.parse('{"type": "leave"}') == wire.Leave()
    assert wire.parse('{"type": "view", "sizes": {"0": [640, 360]}}') == wire.View({"0": (640, 360)})
    assert wire.parse('{"type": "chat", "text": " hello "}') == wire.Chat("hello")


@pytest.mark.parametrize(
    ("text", "code", "re"),
    [
        ("", "bad_json", None),
        ("null", "bad_json", None),
        ('{"type": "ping", "n": NaN}', "bad_json", None),
        ("[" * 100_000, "too_large", None),
        ("[" * 60_000, "bad_json", None),
        ('{"type": "chat", "text": "\\ud800"}', "bad_json", None),
        ('{"type": "ping", "n": true}', "bad_message", "ping"),
        ('{"type": "ping", "n": 1.5}', "bad_message", "ping"),
        ('{"type": "lock", "locked": "true"}', "bad_message", "lock"),
        ('{"type": "publish", "sdp": "v=0", "sources": {"0": "window"}}', "bad_message", "publish"),
        ('{"type": "view", "sizes": {"0": [640]}}', "bad_message", "view"),
        ('{"type": "view", "sizes": {"0": [640, -1]}}', "bad_message", "view"),
        ('{"type": "view", "sizes": {"0": [640, 16385]}}', "bad_message", "view"),
        ('{"type": "view", "sizes": {"0": [640.5, 360]}}', "bad_message", "view"),
        (json.dumps({"type": "view", "sizes": {str(n): [1, 1] for n in range(121)}}), "bad_message", "view"),
        ('{"type": "dance"}', "unknown_type", "dance"),
    ],
)
def test_what_is_no_message_is_refused_with_its_code(text: str, code: str, re: str | None) -> None:
    with pytest.raises(wire.WireError) as refused:
        wire.parse(text)
    assert (refused.value.code, refused.value.re) == (code, re)


def test_optional_fields_are_left_out_and_the_others_are_null() -> None:
    notice = json.loads(wire.encode(wire.Notice("left", "2026-01-01T00:00:00.000Z", name="Ben")))
    assert notice == {"type": "notice", "kind": "left", "sent_at": "2026-01-01T00:00:00.000Z", "name": "Ben"}
    meter = json.loads(
        wire.encode(wire.Meter("waiting", "connecting", None, None, None, "2026-01-01T00:00:00.000Z"))
    )
    assert meter["remaining_ms"] is None
    assert meter["ends_at"] is None


def test_nested_objects_are_plain_json() -> None:
    info = wire.ParticipantInfo("par_1", "payer", "Ben", publish=True, media=wire.MediaFlags(camera=True))
    sent = json.loads(wire.encode(wire.Participants([info])))
    assert sent["participants"] == [
        {
            "participant_id": "par_1",
            "role": "payer",
            "name": "Ben",
            "publish": True,
            "media": {"microphone": False, "camera": True, "screen": False},
        }
    ]


def test_every_ending_becomes_a_message_and_a_close_code() -> None:
    for code, close_code in CLOSE_CODES.items():
        conclusion = conclude(Ending(code, used_ms=5, charged={"amount_minor": 500, "currency": "eur"}))
        assert conclusion.close_code == close_code
        sent = json.loads(wire.encode(conclusion.message))
        assert sent == {
            "type": "ended",
            "code": code,
            "used_ms": 5,
            "charged": {"amount_minor": 500, "currency": "eur"},
        }


def test_every_end_of_a_meter_has_a_close_code_and_comes_back_as_itself() -> None:
    for code in EndCode:
        assert code.value in CLOSE_CODES
        assert meter_code(code.value) is code


def test_a_code_that_nobody_knows_is_a_mistake_of_ours() -> None:
    with pytest.raises(KeyError):
        conclude(Ending("whatever"))
