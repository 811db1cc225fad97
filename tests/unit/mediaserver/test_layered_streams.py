"""One stream carries several sizes as layers (VP9, AV1): every viewer's decoder sees a whole stream of its layers."""

import itertools
import random

import pytest

from mediaserver import rtcp, rtp
from mediaserver.events import TrackInfo
from mediaserver.forwarder import Subscription
from mediaserver.negotiation import OFFERED_CODECS, IncomingMedia
from mediaserver.payload import parse_vp9
from mediaserver.publication import Publication
from mediaserver.rtcp import SenderReport
from mediaserver.rtp import RtpPacket, head_extension

from .fanning import MS, Inbox, Mailbox

FRAME_MS = 50
SIZES = ((320, 180), (640, 360), (1280, 720))
# Chromium 156, L3T3_KEY: templates 0 to 14, five of each spatial layer.
STRUCTURE = bytes.fromhex(
    "c00001c0081485214eaaaaa8000600004000100002aa80a8000600004000100002a000a800060000400016d549241b5524906d"
    "54923157e001974ca864330e222396eca8655304224390eca87753013f00b3027f016704ff02cf1f80"
)
DESCRIPTOR_ID = 12


def vp9(picture, spatial_id, *, first, last, key, layers):
    """A packet in flexible mode (RFC 9628 section 4.2), as Chromium sends it with three _KEY layers."""
    tells = key and first and not spatial_id
    descriptor = bytes([0xB0 | (not key) << 6 | first << 3 | last << 2 | tells << 1])
    descriptor += (picture & 0x7FFF | 0x8000).to_bytes(2, "big")
    descriptor += bytes([spatial_id << 1 | (key and spatial_id > 0)]) + (b"" if key else b"\x02")
    if tells:
        descriptor += bytes([(layers - 1) << 5 | 0x10])
        descriptor += b"".join(
            width.to_bytes(2, "big") + height.to_bytes(2, "big") for width, height in SIZES[:layers]
        )
    return descriptor + b"picture"


def av1_descriptor(frame, spatial_id, *, first, last, key):
    if key and first and not spatial_id:
        return bytes([0x80 | last << 6]) + frame.to_bytes(2, "big") + STRUCTURE[3:]
    return bytes([first << 7 | last << 6 | 5 * spatial_id]) + frame.to_bytes(2, "big")


class Show:
    """A publication in one layered stream, as its sender makes it, and its viewers."""

    def __init__(self, stage, codec="VP9"):
        self.stage, self.codec, self.control = stage, codec, []
        media = IncomingMedia(
            "1", "video", True, OFFERED_CODECS[codec], (), {}, 1, 2,
            descriptor_id=DESCRIPTOR_ID if codec == "AV1" else None,
        )  # fmt: skip
        self.publication = Publication(
            1, TrackInfo("1", "video", "host", "camera"), media,
            forwarder=stage.forwarder, cname="host", own_ssrc=1,
            send_rtcp=lambda data: self.control.append(rtcp.parse(data)),
        )  # fmt: skip
        self.whole = self.publication.encodings[-1]
        self.layers, self.ssrc, self.sequence, self.timestamp, self.number = 3, 5, 65_500, 1 << 32, 32_760

    def subscribe(self, *gates, ssrc=1000, **more):
        inbox = Mailbox(self.stage.forwarder, self.stage.port) if self.stage.native else Inbox()
        self.stage.inboxes.append(inbox)
        to = Subscription(ssrc, 96, gates, inbox, 65_530, rtx_ssrc=ssrc + 1000, rtx_payload_type=97, **more)
        self.publication.add(to)
        return to, inbox

    def picture(self, *, key=False, packets=2, lose=()):
        """One picture in all layers; (layer, place) of packets to lose. Returns those."""
        self.stage.now_ns += FRAME_MS * MS
        self.timestamp += FRAME_MS * 90
        self.number += 1
        lost = []
        for spatial_id, place in itertools.product(range(self.layers), range(packets)):
            self.sequence += 1
            packet = self.packet(spatial_id, key=key, first=place == 0, last=place == packets - 1)
            if (spatial_id, place) in lose:
                lost.append(packet)
            else:
                self.arrive(packet)
        return lost

    def packet(self, spatial_id, *, key, first, last):
        marker = last and spatial_id == self.layers - 1
        long = ()
        if self.codec == "VP9":
            payload = vp9(self.number, spatial_id, first=first, last=last, key=key, layers=self.layers)
        else:
            payload = bytes([0x18 if key and first and not spatial_id else 0x10]) + b"picture"
            frame = (3 * self.number + spatial_id) & 0xFFFF
            long = ((DESCRIPTOR_ID, av1_descriptor(frame, spatial_id, first=first, last=last, key=key)),)
        stamp, sequence = self.timestamp & 0xFFFFFFFF, self.sequence & 0xFFFF
        payload_type = OFFERED_CODECS[self.codec].payload_type
        return RtpPacket(marker, False, payload_type, sequence, stamp, self.ssrc, b"", payload, long)

    def arrive(self, packet):
        self.whole.receive(packet, self.stage.now_ns)
        for inbox in self.stage.inboxes:
            inbox.numbers  # noqa: B018 - read it, so that no socket overflows

    def select(self, to, layer):
        self.publication.select(to, self.publication.encodings[layer])

    def now_in(self, to):
        return self.publication.encodings.index(self.publication.current(to))

    def tick(self, after_ms=0):
        self.stage.now_ns += after_ms * MS
        self.publication.tick(self.stage.now_ns)

    @property
    def keyframes_asked(self):
        self.tick(500)
        asked = [ssrc for feedback in self.control for ssrc in feedback.keyframes]
        self.control.clear()
        return asked


def media(inbox):
    return sorted(
        (packet for packet in inbox.packets if packet.payload_type == 96),
        key=lambda packet: (packet.sequence - 65_530) & 0xFFFF,
    )


def seen(inbox):
    """Per picture, in the order of their numbers: its layers. Checks that no number is left out, that every picture is
    complete and later than the one before, and that the marker is on its last packet alone."""
    packets = media(inbox)
    numbers = [packet.sequence for packet in packets]
    assert numbers == [(65_530 + place) & 0xFFFF for place in range(len(numbers))]
    found, last = [], None
    for timestamp, together in itertools.groupby(packets, key=lambda packet: packet.timestamp):
        group = [packet for packet in together if rtp.payload_bytes(packet)]
        assert last is None or 0 < (timestamp - last) & 0xFFFFFFFF < 90_000
        last = timestamp
        layers = [parse_vp9(packet.payload) for packet in group]
        assert len({layer.picture_id for layer in layers}) == 1
        assert [packet.marker for packet in group] == [False] * (len(group) - 1) + [True]
        assert layers[0].starts_frame
        assert layers[-1].ends_frame
        found.append(sorted({layer.spatial_id for layer in layers}))
    return found


@pytest.fixture
def show(stage):
    return Show(stage)


def test_each_viewer_gets_its_layers_as_a_whole_stream(show):
    show.picture(key=True)
    viewers = [show.subscribe(ssrc=1000 + layer) for layer in range(3)]
    for layer, (to, _) in enumerate(viewers):
        show.select(to, layer)
    for n in range(5):
        show.picture(key=n == 0)
    for layer, (to, inbox) in enumerate(viewers):
        assert show.now_in(to) == layer
        assert seen(inbox) == [list(range(layer + 1))] * 5


def test_the_layers_are_encodings_with_sizes_and_bitrates(show):
    assert show.publication.encodings == (show.whole,)
    for _ in range(21):
        show.picture(key=True, packets=10)
        show.tick()
    encodings = show.publication.encodings
    assert len(encodings) == 3
    assert [encoding.size for encoding in encodings] == list(SIZES)
    assert all(encoding.is_active for encoding in encodings)
    lowest, middle, top = [encoding.bitrate_bps for encoding in encodings]
    assert middle == pytest.approx(2 * lowest, rel=0.3)
    assert top == pytest.approx(3 * lowest, rel=0.3)
    show.tick(2000)
    assert not any(encoding.is_active for encoding in encodings)


def test_going_down_takes_the_beginning_of_a_picture_and_no_keyframe(show):
    to, inbox = show.subscribe()
    show.picture(key=True)
    assert show.now_in(to) == 2, "all there is, before layers were known"
    show.keyframes_asked  # noqa: B018 - of its beginning
    show.select(to, 0)
    assert show.now_in(to) == 2
    show.picture()
    assert show.now_in(to) == 0
    show.picture()
    assert seen(inbox) == [[0, 1, 2], [0], [0]]
    assert show.keyframes_asked == []


def test_nobody_goes_down_in_the_middle_of_a_picture(show):
    to, _ = show.subscribe()
    show.picture(key=True)
    show.picture(lose=[(0, 0)])
    show.select(to, 1)
    show.picture(lose=[(0, 0)])
    assert show.now_in(to) == 2, "its beginning was lost"
    show.picture()
    assert show.now_in(to) == 1


def test_nobody_goes_down_while_the_end_of_a_picture_is_missing(show):
    to, inbox = show.subscribe()
    show.picture(key=True)
    (last,) = show.picture(lose=[(2, 1)])
    show.select(to, 0)
    show.picture()
    assert show.now_in(to) == 2, "it could not be sent any more"
    show.arrive(last)
    show.picture()
    assert show.now_in(to) == 0
    assert seen(inbox) == [[0, 1, 2]] * 3 + [[0]]


def test_going_up_waits_for_a_keyframe_and_asks_for_it(show):
    show.picture(key=True)
    to, inbox = show.subscribe()
    show.picture(key=True)
    assert show.now_in(to) == 0
    show.keyframes_asked  # noqa: B018 - of its beginning
    show.select(to, 2)
    assert show.keyframes_asked == [5]
    show.picture()
    assert show.now_in(to) == 0
    show.tick(1100)
    assert show.keyframes_asked == [5], "asked again"
    show.picture(key=True)
    assert show.now_in(to) == 2
    show.picture()
    assert seen(inbox) == [[0], [0], [0, 1, 2], [0, 1, 2]]
    assert show.keyframes_asked == []


def test_a_lost_packet_of_a_higher_layer_leaves_no_gap_for_viewers_of_the_lower(show):
    show.picture(key=True)
    _, inbox = show.subscribe()
    show.picture(key=True)
    lost = show.picture(lose=[(1, 0), (2, 1)])
    show.picture()
    assert len(media(inbox)) == 6
    for packet in reversed(lost):
        show.arrive(packet)
    assert seen(inbox) == [[0]] * 3
    fillers = [packet for packet in media(inbox) if not rtp.payload_bytes(packet)]
    assert [(packet.padding, packet.marker, packet.payload) for packet in fillers] == [
        (True, False, b"\x01")
    ] * 2


@pytest.mark.parametrize("lose", [[(0, 1)], [(0, 0), (0, 1)], [(1, 1), (2, 0)], [(0, 1), (1, 0), (2, 1)]])
def test_a_repaired_loss_fits_into_its_place_for_everybody(show, lose):
    show.picture(key=True)
    viewers = [show.subscribe(ssrc=1000 + layer) for layer in range(3)]
    for layer, (to, _) in enumerate(viewers):
        show.select(to, layer)
    show.picture(key=True)
    lost = show.picture(lose=lose)
    show.picture()
    for packet in lost:
        show.arrive(packet)
    for layer, (_, inbox) in enumerate(viewers):
        assert seen(inbox) == [list(range(layer + 1))] * 3


def test_what_a_viewer_lost_is_answered_across_a_change_of_layers(show):
    to, inbox = show.subscribe()
    show.picture(key=True)
    show.select(to, 0)
    show.picture()
    show.picture()
    sent = {packet.sequence: packet.payload for packet in media(inbox)}
    assert len(sent) == 10
    show.stage.forwarder.resend(show.publication.current(to).fanout, to, list(sent))
    again = {
        int.from_bytes(packet.payload[:2], "big"): packet.payload[2:]
        for packet in inbox.packets
        if packet.payload_type == 97
    }
    assert again == sent


def test_more_layers_come_and_who_gets_all_gets_them_too(show):
    show.layers = 1
    _, inbox = show.subscribe()
    show.picture(key=True)
    assert len(show.publication.encodings) == 1
    for layers in (2, 3):
        show.layers = layers
        show.picture(key=True)
        assert len(show.publication.encodings) == layers
    assert seen(inbox) == [[0], [0, 1], [0, 1, 2]]


def test_a_layer_that_its_sender_leaves_out_is_not_waited_for(show):
    viewers = [show.subscribe(ssrc=1000 + layer) for layer in range(3)]
    show.picture(key=True)
    for layer, (to, _) in enumerate(viewers):
        show.select(to, layer)
    show.picture(key=True)
    show.layers = 2
    show.picture()
    assert [seen(inbox)[-1] for _, inbox in viewers] == [[0], [0, 1], [0, 1]]


def test_a_picture_that_its_encoder_left_without_an_end_is_followed_by_a_keyframe(show):
    """Chromium under load drops the upper layers of a picture whose lower layer it has sent."""
    show.subscribe()
    show.picture(key=True)
    show.keyframes_asked  # noqa: B018 - of its beginning
    unfinished = show.picture(lose=[(1, 0), (1, 1), (2, 0), (2, 1)])
    show.sequence -= len(unfinished)
    show.picture()
    assert show.keyframes_asked == [5]
    show.picture()
    assert show.keyframes_asked == []


def test_who_receives_the_lowest_layer_alone_does_not_need_that_keyframe(show):
    show.picture(key=True)
    _, inbox = show.subscribe()
    show.picture(key=True)
    show.keyframes_asked  # noqa: B018 - of its beginning
    unfinished = show.picture(lose=[(1, 0), (1, 1), (2, 0), (2, 1)])
    show.sequence -= len(unfinished)
    show.picture()
    assert show.keyframes_asked == []
    assert seen(inbox) == [[0]] * 3


def test_a_browser_that_begins_anew_goes_on_in_every_layer(show):
    show.picture(key=True)
    viewers = [show.subscribe(ssrc=1000 + layer) for layer in range(3)]
    for layer, (to, _) in enumerate(viewers):
        show.select(to, layer)
    show.picture(key=True)
    show.ssrc, show.sequence, show.timestamp = 6, 100, 5
    show.picture(key=True)
    show.picture()
    for layer, (_, inbox) in enumerate(viewers):
        assert seen(inbox) == [list(range(layer + 1))] * 3


def test_reports_reach_the_viewers_of_every_layer(show):
    show.picture(key=True)
    viewers = [show.subscribe(ssrc=1000 + layer) for layer in range(2)]
    show.select(viewers[1][0], 2)
    show.picture(key=True)
    show.whole.receive_report(SenderReport(5, 77, 88, 1, 1), show.stage.now_ns)
    for to, inbox in viewers:
        assert [(r.ssrc, r.ntp, r.rtp) for f in inbox.control for r in f.sender_reports] == [
            (to.ssrc, 77, 88)
        ]


def test_a_gate_that_was_closed_while_going_down_opens_on_a_keyframe(show):
    gate = show.stage.gate()
    gate.open(None)
    to, inbox = show.subscribe(gate)
    show.picture(key=True)
    show.keyframes_asked  # noqa: B018 - of its beginning
    show.select(to, 1)
    gate.close(show.stage.now_ns)
    show.picture()
    show.picture()
    assert show.now_in(to) == 1
    gate.open(None)
    assert show.keyframes_asked == []
    show.picture()
    assert show.keyframes_asked == [5]
    assert seen(inbox) == [[0, 1, 2], [0, 1]]


def test_one_that_leaves_while_it_waits_is_forgotten(show):
    show.picture(key=True)
    to, inbox = show.subscribe()
    show.select(to, 2)
    show.publication.remove(to)
    show.picture(key=True)
    assert media(inbox) == []


def have(inbox):
    """The numbers that came, with what came under them, retransmitted or not; the first is 0."""
    found = {}
    for packet in inbox.packets:
        repeated = packet.payload_type == 97
        number = int.from_bytes(packet.payload[:2], "big") if repeated else packet.sequence
        found[(number - 65_530) & 0xFFFF] = (packet.timestamp, packet.marker, packet.payload[2 * repeated :])
    return found


@pytest.mark.parametrize("seed", range(6))
def test_whatever_is_lost_late_and_chosen_every_viewer_can_have_all_of_its_layers(show, seed):
    chance = random.Random(seed)
    show.picture(key=True)
    viewers = [show.subscribe(ssrc=1000 + layer) for layer in range(4)]
    show.picture(key=True)
    late = []
    for step in range(150):
        lose = {(chance.randrange(3), chance.randrange(2)) for _ in range(chance.choice([0, 0, 1, 2]))}
        late += show.picture(key=chance.random() < 0.2, lose=lose if step < 140 else ())
        chance.shuffle(late)
        while late and (len(late) > 6 or chance.random() < 0.5 or step >= 140):
            show.arrive(late.pop())
        if chance.random() < 0.2:
            show.select(chance.choice(viewers)[0], chance.randrange(3))
        for to, inbox in viewers:
            missing = set(range(max(have(inbox)))) - set(have(inbox))
            lost = [(number + 65_530) & 0xFFFF for number in missing]
            show.stage.forwarder.resend(show.publication.current(to).fanout, to, lost)
    for _, inbox in viewers:
        found = have(inbox)
        assert sorted(found) == list(range(len(found)))
        whole = True
        for _, group in itertools.groupby(sorted(found.items()), key=lambda item: item[1][0]):
            picture = [
                (marker, parse_vp9(payload)) for _, (_, marker, payload) in group if payload != b"\x01"
            ]
            assert whole or picture[0][1].starts_keyframe, (
                "only at a keyframe does it not matter what came before"
            )
            spatial_ids = [layer.spatial_id for _, layer in picture]
            markers = [marker for marker, _ in picture]
            whole = spatial_ids == [n for n in range(max(spatial_ids) + 1) for _ in range(2)]
            whole = whole and markers == [False] * (len(picture) - 1) + [True]
        assert whole


# --- AV1 -------------------------------------------------------------------------------------------------


@pytest.fixture
def described(stage):
    return Show(stage, "AV1")


def head(mid=b"7"):
    return head_extension(mid, mid_id=1, descriptor_id=5)


def test_the_dependency_descriptor_goes_along_for_who_understands_it(described):
    to, inbox = described.subscribe(head_extension=head())
    _, plain = described.subscribe(ssrc=1001)
    described.picture(key=True)
    described.picture()
    assert [rtp.extension_of(packet, 1) for packet in inbox.packets] == [b"7"] * 12
    descriptors = [rtp.extension_of(packet, 5) for packet in inbox.packets]
    assert descriptors[0][3:] == STRUCTURE[3:]
    assert [d[0] for d in descriptors[1:6]] == [0x40, 0x85, 0x45, 0x8A, 0x4A]
    assert [packet.payload for packet in plain.packets] == [packet.payload for packet in inbox.packets]
    assert {packet.extensions + bytes(packet.long_extensions) for packet in plain.packets} == {b""}
    described.stage.forwarder.resend(
        described.whole.fanout, to, [packet.sequence for packet in inbox.packets]
    )
    again = [packet for packet in inbox.packets if packet.payload_type == 97]
    assert [rtp.extension_of(packet, 5) for packet in again] == descriptors


def test_av1_layers_are_told_by_their_descriptors(described):
    described.picture(key=True)
    viewers = [described.subscribe(ssrc=1000 + layer, head_extension=head()) for layer in range(3)]
    for layer, (to, _) in enumerate(viewers):
        described.select(to, layer)
    described.picture(key=True)
    lost = described.picture(lose=[(0, 1), (1, 0), (2, 1)])
    described.picture()
    for packet in lost:
        described.arrive(packet)
    for layer, (to, inbox) in enumerate(viewers):
        assert described.now_in(to) == layer
        packets = media(inbox)
        assert [p.sequence for p in packets] == [(65_530 + place) & 0xFFFF for place in range(len(packets))]
        kept = [rtp.extension_of(p, 5)[0] & 0x3F for p in packets if rtp.payload_bytes(p)]
        assert [template // 5 for template in kept] == [n for n in range(layer + 1) for _ in range(2)] * 3
        assert [encoding.size for encoding in described.publication.encodings] == list(SIZES)


def test_of_an_av1_keyframe_whose_beginning_is_late_everything_goes_to_everybody(described):
    described.picture(key=True)
    _, inbox = described.subscribe(head_extension=head())
    described.picture(key=True)
    described.ssrc, described.sequence = 6, 5  # a new stream: its structure is not known
    described.picture(lose=[(0, 0)])
    assert len(media(inbox)) == 2 + 5
