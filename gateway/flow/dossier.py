"""Dossier: an order's version with all that its capsule names, out of the store; and the window that is in it."""

from collections.abc import Iterator, Mapping, Sequence

import msgspec

from gateway.core import capsule as capsules
from gateway.core.capsule import Capsule, Seen
from gateway.core.diagnosis import Evidence
from gateway.core.order import WorkOrder
from gateway.core.ports import AuditLine, Tx
from gateway.core.reading import LogLine, Quality, ThermalFrame, Waveform
from gateway.core.report import QualityReport
from gateway.core.window import Scalar, Window

Blobs = Mapping[str, bytes]


class Dossier(msgspec.Struct, frozen=True):
    """All that a verification looks at: one version of an order, the one before it, and what they stand on.

    `blobs` are bytes by the name that they are kept under, whatever their hash is. `trail` are the audit lines about
    the order; `broken` is the number of the first line of the whole trail that does not follow from the one before,
    `whole` says that the whole was read. `report` is there when the reporter's own words are at hand. `strange` are
    files that came along in a parcel and that nothing of the order names; `words` are texts for people that are not
    as Andon writes them; `damaged` are files of the parcel that cannot be read.
    """

    order: WorkOrder
    before: WorkOrder | None = None
    blobs: dict[str, bytes] = {}
    trail: tuple[AuditLine, ...] = ()
    whole: bool = False
    broken: int | None = None
    report: QualityReport | None = None
    strange: tuple[str, ...] = ()
    words: tuple[str, ...] = ()
    damaged: tuple[str, ...] = ()


def collect(tx: Tx, key: str, version: int | None) -> Dossier | None:
    """Take an order's version (default: the newest) and all that its capsule names out of the store; None without it.

    The trail is left to the caller: it is long.
    """
    stored = tx.order(key)
    order = None if stored is None else stored.order
    if order is not None and version is not None:
        order = tx.order_version(key, version)
    if order is None:
        return None
    blobs, known = dict[str, bytes](), None
    if order.capsule is not None:
        blobs = dict(_blobs(tx, [order.capsule]))
        known = opened(blobs.get(order.capsule))
    blobs |= dict(_blobs(tx, [piece.sha256 for piece in pieces_of(order, known)]))
    before = tx.order_version(key, order.version - 1) if order.version > 1 else None
    told = tx.report(known.told.report) if known is not None and known.told is not None else None
    return Dossier(order, before, blobs, report=None if told is None else told.report)


def pieces_of(order: WorkOrder, known: Capsule | None) -> tuple[Evidence, ...]:
    """Give all evidence of a version: its capsule's, and what it took over from the versions before; each once."""
    every = (*(known.pieces() if known is not None else ()), *order.evidence)
    return tuple({(piece.kind, piece.tag, piece.sha256): piece for piece in reversed(every)}.values())[::-1]


def opened(document: bytes | None) -> Capsule | None:
    """Read a capsule; None for what is none."""
    try:
        return None if document is None else capsules.read(document)
    except msgspec.DecodeError:
        return None


def _blobs(tx: Tx, names: Sequence[str]) -> Iterator[tuple[str, bytes]]:
    for name in dict.fromkeys(names):
        if (found := tx.blob(name)) is not None:
            yield name, found[0]


def window_of(known: Capsule, seen: Seen, blobs: Blobs) -> Window:
    """Put a window together from a capsule's bytes.

    Raises KeyError for a piece that is away, ValueError for one that does not fit.
    """
    asset = known.episode.asset
    return Window(
        asset=asset,
        start=seen.start,
        end=seen.end,
        scalars=tuple(_scalars(seen)),
        waveforms=tuple(
            Waveform(
                asset,
                piece.tag,
                blobs[piece.sha256],
                piece.rate_hz or 0.0,
                piece.unit,
                _quality(piece),
                piece.captured_at,
                None,
                piece.captured_at,
            )
            for piece in known.evidence
            if piece.kind == "waveform"
        ),
        frame=_frame(known, seen, blobs),
        lines=tuple(_lines(known, seen, blobs)),
        gaps=seen.gaps,
        journal=seen.journal,
    )


def _scalars(seen: Seen) -> Iterator[Scalar]:
    for one in seen.tags:
        numbers = [
            float("nan") if each is None else each for each in (one.last, one.mean, one.low, one.high, one.age_s)
        ]
        if one.count:
            last, mean, low, high, age = numbers
            yield Scalar(one.tag, one.unit, last, mean, low, high, one.count, age)


def _frame(known: Capsule, seen: Seen, blobs: Blobs) -> ThermalFrame | None:
    piece = next((piece for piece in known.evidence if piece.kind == "frame"), None)
    if piece is None or seen.picture is None:
        return None
    shape, at = seen.picture, piece.captured_at
    return ThermalFrame(
        known.episode.asset, piece.tag, blobs[piece.sha256], shape.height, shape.width, _quality(piece), at, None, at,
        shape.form, shape.scale, shape.offset,
    )  # fmt: skip


def _lines(known: Capsule, seen: Seen, blobs: Blobs) -> Iterator[LogLine]:
    piece = next((piece for piece in known.evidence if piece.kind == "log"), None)
    if piece is None:
        return
    content, place = blobs[piece.sha256], 0
    if sum(line.size + 1 for line in seen.lines) != len(content) + 1:
        raise ValueError("the log is not as long as its lines")
    for line in seen.lines:
        text = content[place : place + line.size].decode("utf-8", "replace")
        place += line.size + 1
        yield LogLine(known.episode.asset, text, line.severity, line.sourced_at, line.received_at)


def _quality(piece: Evidence) -> Quality:
    return {"bad": Quality.BAD, "uncertain": Quality.UNCERTAIN}.get(piece.quality, Quality.GOOD)
