"""Invariant: whatever text arrives, `parse` gives a message of PROTOCOL.md or raises WireError with a documented
code, and what was parsed can be told to others as JSON.
"""

import json
from dataclasses import asdict

from hypothesis import given, settings
from hypothesis import strategies as st

from signaling.rooms import wire

CODES = {"too_large", "bad_json", "bad_message", "unknown_type"}
TYPES = [message.type for message in wire.CLIENT_MESSAGES]
FIELDS = [
    "token",
    "key",
    "sdp",
    "sources",
    "offer_id",
    "transport",
    "text",
    "n",
    "publish",
    "participant_id",
    "refund",
    "sizes",
]

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=True) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)
messages = st.fixed_dictionaries(
    {"type": st.sampled_from(TYPES)}, optional=dict.fromkeys(FIELDS, values)
).map(json.dumps)


def check(text: str) -> None:
    try:
        message = wire.parse(text)
    except wire.WireError as error:
        if error.code not in CODES:
            raise
        wire.encode(wire.Error(error.code, error.message, error.re)).encode()
        return
    assert isinstance(message, wire.CLIENT_MESSAGES)
    json.dumps(asdict(message), ensure_ascii=False).encode()


@given(st.text())
def test_any_text(text: str) -> None:
    check(text)


@given(values.map(json.dumps))
def test_any_json(text: str) -> None:
    check(text)


@settings(max_examples=500)
@given(messages)
def test_messages_with_wrong_fields(text: str) -> None:
    check(text)


@given(messages, st.integers(min_value=0), st.characters())
def test_messages_with_one_letter_changed(text: str, at: int, letter: str) -> None:
    at %= len(text)
    check(text[:at] + letter + text[at + 1 :])
