"""Packing: many tags into few reads. Pure."""

from collections.abc import Collection, Iterator, Sequence

import msgspec

Spans = Sequence[tuple[int, int]]


class Block(msgspec.Struct, frozen=True):
    """One read: `count` addresses from `start`, for the items at these places of the list."""

    start: int
    count: int
    places: tuple[int, ...]

    @property
    def end(self) -> int:
        """The first address behind the block."""
        return self.start + self.count


def pack(spans: Spans, *, gap: int, most: int, cuts: Collection[int] = ()) -> list[Block]:
    """Cover all (offset, count) spans with few reads of at most `most` addresses.

    Joins spans that are at most `gap` unused addresses apart. A span is never split. A cut is an
    address that no block may have inside: what stands before it and what stands at it are read apart.
    """
    blocks: list[Block] = []
    start = end = 0
    places: list[int] = []
    for place in sorted(range(len(spans)), key=lambda place: spans[place]):
        offset, count = spans[place]
        behind = max(end, offset + count)
        joins = places and offset - end <= gap and behind - start <= most
        if joins and not any(start < cut < behind for cut in cuts):
            places.append(place)
            end = behind
            continue
        if places:
            blocks.append(Block(start, end - start, tuple(places)))
        start, end, places = offset, offset + count, [place]
    if places:
        blocks.append(Block(start, end - start, tuple(places)))
    return blocks


def cut_of(block: Block, spans: Spans) -> int | None:
    """Say where to cut a block that the device refused; None when it holds one span.

    The widest gap is the best suspect; without a gap the block is cut near its middle.
    """
    middle = block.start + block.count / 2
    seams = _seams(block, spans)
    best = max(seams, key=lambda seam: (seam[1] - seam[0], -abs(seam[0] - middle)), default=None)
    return None if best is None else best[1]


def cleave(block: Block, spans: Spans, cut: int) -> list[Block]:
    """Give the two parts of a block on both sides of a cut."""
    parts = []
    for side in (False, True):
        places = tuple(place for place in block.places if (spans[place][0] >= cut) is side)
        start = min(spans[place][0] for place in places)
        end = max(sum(spans[place]) for place in places)
        parts.append(Block(start, end - start, places))
    return parts


def _seams(block: Block, spans: Spans) -> Iterator[tuple[int, int]]:
    """Give the places between neighbouring spans: the end of what is before, the start of what follows."""
    end = block.start
    for offset, count in sorted(spans[place] for place in block.places):
        if offset >= end > block.start:
            yield end, offset
        end = max(end, offset + count)
