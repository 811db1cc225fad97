"""On which m-line a subscriber receives what it should. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from mediaserver.events import Kind

# Browsers and our own parser bound the m-lines of a description; what does not fit waits for a free one.
SECTIONS_MAX = 120


@dataclass(frozen=True, slots=True)
class Wanted:
    """A publication that somebody should receive."""

    publication_id: int
    kind: Kind


@dataclass(frozen=True, slots=True)
class Slot:
    """An m-line of a subscriber: its kind never changes, what it carries does."""

    kind: Kind
    publication_id: int | None = None


def arrange(slots: Sequence[Slot], wanted: Iterable[Wanted]) -> tuple[Slot, ...]:
    """Put what is wanted on m-lines: what stays keeps its own, what is new takes a free one of its kind or
    a further one. There is always at least one of each kind, so that the transport comes up while there
    is nothing to receive."""
    wanted = tuple(wanted)
    kept = {slot.publication_id for slot in slots} & {item.publication_id for item in wanted}
    arranged = [slot if slot.publication_id in kept else Slot(slot.kind) for slot in slots]
    kinds: tuple[Kind, ...] = ("audio", "video")
    arranged += [Slot(kind) for kind in kinds if all(slot.kind != kind for slot in arranged)]
    for item in wanted:
        if item.publication_id not in kept:
            _place(arranged, item)
    return tuple(arranged)


def _place(arranged: list[Slot], item: Wanted) -> None:
    slot = Slot(item.kind, item.publication_id)
    free = Slot(item.kind)
    if free in arranged:
        arranged[arranged.index(free)] = slot
    elif len(arranged) < SECTIONS_MAX:
        arranged.append(slot)
