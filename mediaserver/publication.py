"""One published track: in which encodings it comes, and who receives which of them. Pure; time is an argument.

A host may send one picture in several sizes at once (simulcast, RFC 8853): then a `Publication` has several
`Encoding`s, each a stream with numbers, losses and a fan-out of its own, and each subscription receives one of them.

How a subscription goes over to another encoding (`Publication.select`):

1. It goes on with the present one. The publisher is asked for a keyframe of the other, and that one's packets are
   no longer forwarded natively: Python sees each of them (`Encoding.course` is None meanwhile).
2. At the first packet of a keyframe the subscription is moved (`Forwarder.move`): the packet before was the last of the
   former encoding, this one is the first of the new, and its outgoing number follows without a gap.
3. Every encoding has timestamps and picture ids of its own. What is added to those of the new one (`Splice`) makes
   them go on: timestamps by the sender reports of both, which tie each to the publisher's clock, or while one is
   unknown by the time that passed between arrivals, and always later than what was sent; VP8's ids as the successors of
   the last sent. The viewer's sender reports are shifted likewise.
4. What was lost of the former encoding is still answered from its cache, in its own numbers and splice.

Or one stream carries the sizes as spatial layers, each made from the one below (SVC: VP9, AV1). Then Python sees all its
packets, and gives those of the lower layers to further encodings (`LayerEncoding`), in numbers of their own: nothing
behind needs to know of layers. Going over to fewer layers of the same stream needs no keyframe, only the beginning of a
picture, and timestamps and picture ids stay as they are.
"""

from collections.abc import Callable, Iterable

from mediaserver.encoding import Encoding
from mediaserver.events import TrackInfo
from mediaserver.forwarder import Forwarder, Packet, Splice, Subscription
from mediaserver.negotiation import IncomingMedia
from mediaserver.payload import parse_vp8
from mediaserver.rtcp import ReportBlock

# Sender reports that put an encoding's time further off than this are not believed.
REPORT_ERROR_NS = 1_000_000_000
_SECOND_NS = 1_000_000_000


class Publication:
    """One m-line of a publisher: what it shows, in which encodings it comes, and who receives which of them.

    `retake` is called with an SSRC of which every packet must be seen from now on."""

    def __init__(
        self,
        publication_id: int,
        info: TrackInfo,
        media: IncomingMedia,
        *,
        forwarder: Forwarder,
        cname: str,
        own_ssrc: int,
        send_rtcp: Callable[[bytes], None],
        retake: Callable[[int], None] = lambda _: None,
    ) -> None:
        self.publication_id = publication_id
        self.info = info
        self.media = media
        self.cname = cname
        self.is_paused = False
        self._forwarder = forwarder
        self._retake = retake
        self._encodings = tuple(
            Encoding(
                info, media, rid, forwarder=forwarder, cname=cname, own_ssrc=own_ssrc, send_rtcp=send_rtcp,
                on_picture=self._switch,
            )
            for rid in media.rids or ("",)
        )  # fmt: skip
        self._current: dict[Subscription, Encoding] = {}
        self._waiting: dict[Subscription, Encoding] = {}

    @property
    def stream_id(self) -> str:
        """Groups what belongs together in time: camera with microphone, screen with its sound."""
        return f"{self.cname}-{'screen' if self.info.source.startswith('screen') else 'main'}"

    @property
    def encodings(self) -> tuple[Encoding, ...]:
        """The smallest first: by their sizes where all are known, else as the publisher has listed them."""
        listed = tuple(part for encoding in self._encodings for part in (*encoding.lower, encoding))
        sizes = {encoding: encoding.size[0] * encoding.size[1] for encoding in listed if encoding.size}
        if len(sizes) < len(listed):
            return listed
        return tuple(sorted(listed, key=lambda encoding: sizes[encoding]))

    def encoding(self, rid: str) -> Encoding | None:
        return next((encoding for encoding in self._encodings if encoding.rid == rid), None)

    def continues(self, info: TrackInfo, media: IncomingMedia) -> bool:
        """Whether that is this track by a new description, in the same encodings."""
        return self.info == info and self.media.codec == media.codec and self.media.rids == media.rids

    def renegotiate(self, media: IncomingMedia) -> None:
        self.media = media
        for encoding in self._encodings:
            encoding.renegotiate(media)

    def tick(self, now_ns: int) -> None:
        begun = [encoding.take_pictures() for encoding in self._encodings]
        for encoding, count in zip(self._encodings, begun, strict=True):
            encoding.tick(now_ns, 0 if count else max(begun))

    def report_blocks(self, now_ns: int) -> list[ReportBlock]:
        blocks = (encoding.report_block(now_ns) for encoding in self._encodings)
        return [block for block in blocks if block is not None]

    def set_paused(self, paused: bool) -> None:
        """Pass it on to nobody for now, or again to everybody; what comes in is listened to all the same. Subscriptions
        that are added meanwhile begin likewise."""
        if paused != self.is_paused:
            self.is_paused = paused
            for subscription in self._current:
                self._forwarder.set_paused(subscription, paused)

    def take_audio_level(self) -> int | None:
        """The level (-dBov) of the loudest packet since the last call; -1 when none came that told it, None where the
        publisher does not tell levels."""
        if self.media.audio_level_id is None:
            return None
        return self._forwarder.take_audio_level(self.encodings[0].fanout)

    # --- who receives which encoding ---

    def add(self, subscription: Subscription) -> None:
        """Begin with the lowest encoding that comes, which costs the least until more is known."""
        active = (encoding for encoding in self.encodings if encoding.is_active)
        encoding = self._current[subscription] = next(active, self.encodings[0])
        self._forwarder.add(encoding.fanout, subscription)

    def remove(self, subscription: Subscription) -> None:
        self._stay(subscription)
        self._forwarder.remove(self._current.pop(subscription).fanout, subscription)

    def current(self, subscription: Subscription) -> Encoding:
        """The encoding that the subscription receives."""
        return self._current[subscription]

    def target(self, subscription: Subscription) -> Encoding:
        """The encoding that the subscription receives or waits for."""
        return self._waiting.get(subscription) or self._current[subscription]

    def select(self, subscription: Subscription, encoding: Encoding) -> None:
        """Let the subscription go over to the encoding when a keyframe of it begins, or a picture where that is enough;
        the present one: let it stay. The latest call holds."""
        if self.target(subscription) is encoding:
            return
        self._stay(subscription)
        if self._current[subscription] is not encoding:
            self._waiting[subscription] = encoding
            encoding.is_awaited = True
            if not encoding.is_within(self._current[subscription]):
                encoding.want_keyframe()
            if encoding.ssrc is not None:
                self._retake(encoding.ssrc)

    def _stay(self, subscription: Subscription) -> None:
        encoding = self._waiting.pop(subscription, None)
        if encoding is not None:
            encoding.is_awaited = encoding in self._waiting.values()

    def want_keyframe(self, subscription: Subscription | None = None) -> None:
        """Of what one subscription receives, or of everything that is received."""
        wanted: Iterable[Encoding] = self._current.values() if subscription is None else ()
        if subscription is not None and subscription in self._current:
            wanted = (self._current[subscription],)
        for encoding in set(wanted):
            encoding.want_keyframe()

    def _switch(self, target: Encoding, packet: Packet, now_ns: int, keyframe: bool) -> None:
        """The first packet of a picture that some have waited for; it is yet to be forwarded.

        Without a keyframe nobody is moved while the end of the former picture is missing: under no number could it still
        be sent to who was moved, and the pictures to come are made from it."""
        for subscription in [waits for waits, encoding in self._waiting.items() if encoding is target]:
            former = self._current[subscription]
            if keyframe or (target.is_within(former) and former.is_gapless):
                splice = self._splice(subscription, former, target, packet, now_ns)
                del self._waiting[subscription]
                self._current[subscription] = target
                self._forwarder.move(subscription, target.fanout, splice, packet.number)
        target.is_awaited = target in self._waiting.values()

    def _splice(
        self, subscription: Subscription, former: Encoding, target: Encoding, packet: Packet, now_ns: int
    ) -> Splice:
        if former.stream is target.stream:
            return subscription.splice
        timestamp = _timestamp_after(subscription.splice.timestamp, former, target, packet.timestamp, now_ns)
        last = self._forwarder.newest(former.fanout)
        ids = _ids_after(subscription.splice, last, packet.payload) if self._has_ids else (0, 0, 0)
        return Splice((timestamp - packet.timestamp) & 0xFFFFFFFF, *ids)

    @property
    def _has_ids(self) -> bool:
        return self.media.codec.name == "VP8"


def _timestamp_after(shift: int, former: Encoding, target: Encoding, timestamp: int, now_ns: int) -> int:
    """The timestamp under which the target's goes on where the former encoding's, shifted, have stopped."""
    rate_hz = target.media.codec.clock_rate_hz
    last = former.timestamp + shift
    after = last + (now_ns - former.arrival_ns) * rate_hz // _SECOND_NS
    ours, theirs = former.fanout.last_report, target.fanout.last_report
    if ours is not None and theirs is not None:
        apart = (theirs.ntp - ours.ntp) * rate_hz >> 32
        error = _signed(ours.rtp + apart + timestamp - theirs.rtp + shift - after)
        if abs(error) < REPORT_ERROR_NS * rate_hz // _SECOND_NS:
            after += error
    return after if _signed(after - last) > 0 else last + 1


def _signed(difference: int) -> int:
    """Of two 32-bit timestamps, which run around."""
    return ((difference + 0x80000000) & 0xFFFFFFFF) - 0x80000000


def _ids_after(splice: Splice, last: bytes, first: bytes) -> tuple[int, int, int]:
    """What makes the VP8 ids of `first` the successors of those of `last`, which went out spliced so: shifts of picture
    id, TL0PICIDX and KEYIDX, 0 for what either has not."""
    before, after = parse_vp8(last), parse_vp8(first)
    if before is None or after is None:
        return 0, 0, 0
    return (
        _successor(before.picture_id, splice.picture_id, after.picture_id) & 0x7FFF,
        _successor(before.tl0_picture_index, splice.tl0_picture_index, after.tl0_picture_index) & 0xFF,
        _successor(before.key_index, splice.key_index, after.key_index) & 0x1F,
    )


def _successor(last: int | None, shift: int, first: int | None) -> int:
    return 0 if last is None or first is None else last + shift + 1 - first
