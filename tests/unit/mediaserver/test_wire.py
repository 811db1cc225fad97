"""What crosses between the owner of the media server and its workers."""

import json
from typing import Any, get_args

import pytest

from mediaserver import wire
from mediaserver.errors import NegotiationError, PortInUseError
from mediaserver.events import (
    Closed,
    Connected,
    Forwarding,
    GateReport,
    Liveness,
    MediaConfig,
    MediaEvent,
    Offer,
    Reception,
    RoomOptions,
    Speakers,
    TrackInfo,
    TracksPublished,
)
from mediaserver.server import MediaStats, TransportStats
from mediaserver.wire import FrameReader, WireError, from_plain, pack, to_plain

TRACK = TrackInfo("0", "video", "par_1", "camera")
VALUES = [
    Connected("par_1", "publish", 5),
    Closed("par_1", "subscribe", "silent"),
    Offer("par_1", 3, "v=0\r\n…", (TRACK, TRACK)),
    TracksPublished("par_1", (TRACK,)),
    TracksPublished("par_1"),
    Forwarding("par_1", 7),
    Reception("par_1", "reduced", 500_000),
    Speakers("room_1", ("par_1", "par_2")),
    GateReport(9, 1, None),
    MediaConfig(8444, ("127.0.0.1", "::1"), ("192.0.2.1",)),
    RoomOptions(("VP8",)),
    MediaStats({"par_1": {"publish": TransportStats(1, 2, 3, 4)}}, 5),
    {"sources": {"0": "camera"}, "allow_ms": None, "metered": True},
    "text \ud800 with half a character",
]


def crossed(value: Any) -> Any:
    (frame,) = FrameReader().feed(pack(["event", to_plain(value)]))
    return from_plain(frame[1])


@pytest.mark.parametrize("value", VALUES, ids=lambda value: type(value).__name__)
def test_plain_data_arrives_as_it_was(value: Any) -> None:
    assert crossed(value) == value


def test_every_event_is_tried_here() -> None:
    assert set(get_args(MediaEvent)) <= {type(value) for value in VALUES}


@pytest.mark.parametrize("key", ["Closed", "()", "$", ""])
def test_what_a_client_names_is_never_taken_for_a_type(key: str) -> None:
    hostile = {"sources": {key: "Closed"}, "tracks": ("Closed", "a", "publish", "b"), key: ()}
    assert crossed(hostile) == hostile


def test_liveness_of_everybody_arrives() -> None:
    heard = {"host": Liveness(1, 2, None), "payer": Liveness(None, None, 3)}
    plain = json.loads(json.dumps(wire.liveness_to_plain(heard)))
    assert wire.liveness_from_plain(plain) == heard


@pytest.mark.parametrize("value", [object(), {1: "a number as a key"}, b"bytes", {"a", "set"}])
def test_what_is_not_plain_data_does_not_leave(value: object) -> None:
    with pytest.raises(TypeError):
        to_plain({"value": value})


@pytest.mark.parametrize(
    "plain",
    [[], [1, 2], ["os.system", "true"], ["Closed"], ["Closed", 1, 2, 3, 4], {"deep": [["no name"]]}],
)
def test_what_nobody_would_send_is_refused(plain: Any) -> None:
    with pytest.raises(WireError):
        from_plain(plain)


@pytest.mark.parametrize("plain", [[], {"par_1": 5}, {"par_1": [1, 2, 3, 4]}, None])
def test_a_liveness_that_is_none_is_refused(plain: Any) -> None:
    with pytest.raises(WireError):
        wire.liveness_from_plain(plain)


@pytest.mark.parametrize("piece", [1, 3, 4, 5, 1000])
def test_frames_are_found_wherever_the_stream_is_cut(piece: int) -> None:
    frames = [["ping"], ["call", 1, "answer", {"sdp": "x" * 300}], ["lease", 5]]
    stream = b"".join(map(pack, frames))
    reader, found = FrameReader(), []
    for at in range(0, len(stream), piece):
        found += reader.feed(stream[at : at + piece])
    assert found == frames


@pytest.mark.parametrize("body", [b"", b"{}", b"[]", b"5", b"[", b"\xff", b"[" * 100_000])
def test_a_body_that_is_no_frame_is_refused(body: bytes) -> None:
    with pytest.raises(WireError):
        FrameReader().feed(len(body).to_bytes(4, "big") + body)


def test_a_frame_that_is_too_long_is_refused_before_it_has_come_and_before_it_leaves() -> None:
    with pytest.raises(WireError, match="too long"):
        FrameReader().feed((wire.FRAME_BYTES_MAX + 1).to_bytes(4, "big"))
    with pytest.raises(WireError, match="too long"):
        pack(["event", "x" * wire.FRAME_BYTES_MAX])


def test_errors_keep_their_kind_and_a_bug_is_a_bug() -> None:
    for kind in (NegotiationError, PortInUseError):
        error = wire.to_error(kind.code, "words")
        assert type(error) is kind
        assert str(error) == "words"
    assert type(wire.to_error("internal", "KeyError")) is RuntimeError
