"""From data changes to a batch: series, readings, waveforms, frames; a bad status never becomes a number."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import lru_cache

import numpy as np
from asyncua.ua.status_codes import get_name_and_doc
from numpy.typing import NDArray

from connectors.line.board import Board
from connectors.line.column import Column
from connectors.line.judge import Judge
from connectors.line.opcua.pump import Arrival
from connectors.line.opcua.settings import Node
from connectors.line.opcua.values import Change, Values
from connectors.line.shapes import Times, Unfit, frame, waveform
from gateway.core.batch import Batch
from gateway.core.reading import Quality, Reading, ThermalFrame, Waveform
from gateway.core.series import Series

_SEVERITY = 30
_CODE = 0xFFFF0000
_OVERFLOW = 0x480  # InfoType DataValue with the overflow bit: the server's queue lost values of this item
_GONE = frozenset({"BadNodeIdUnknown", "BadNodeIdInvalid"})
_QUALITIES = (Quality.GOOD, Quality.UNCERTAIN, Quality.BAD, Quality.BAD)
_BY_SEVERITY = np.array(_QUALITIES, np.uint8)
_ONE_NUMBER = "a number is not an array"


@lru_cache(maxsize=512)
def status_name(code: int) -> str:
    """Name a status code as the standard does."""
    name, _ = get_name_and_doc(code & _CODE)
    return str(name)


class _Parts:
    """What becomes a batch."""

    def __init__(self) -> None:
        self.series: list[Series] = []
        self.readings: list[Reading] = []
        self.waveforms: list[Waveform] = []
        self.frames: list[ThermalFrame] = []
        self.missing = self.overflowed = 0

    def note(self) -> str:
        """Say what was lost on the way."""
        words = []
        if self.missing:
            words.append(f"gap: {self.missing} messages lost")
        if self.overflowed:
            words.append(f"gap: the server's queue overflowed for {self.overflowed} tags")
        return "; ".join(words)


class Converter:
    """Turns arrivals into one batch. Holds what lasts: what was sent, the board, the batch number.

    Events go another way. `rates` (Hz, by place) may be filled while it works.
    """

    def __init__(
        self,
        source: str,
        nodes: Sequence[Node],
        rates: Mapping[int, float],
        board: Board,
    ) -> None:
        self._source, self._nodes, self._rates, self._board = source, list(nodes), rates, board
        self._judge = Judge(nodes, board)
        self._plain = np.array([node.kind == "value" for node in nodes], np.bool_)
        self._all_plain = bool(self._plain.all())
        self._sequence = 0
        self.gone: set[int] = set()

    def learn(self, nodes: Mapping[int, Node]) -> None:
        """Take what was found out about nodes, by place: unit, scale, range, deadband. Their kind stays."""
        for place, node in nodes.items():
            self._nodes[place] = node
        self._judge.learn(nodes)

    def batch(self, arrivals: Sequence[Arrival]) -> Batch | None:
        """Make one batch of all that arrived; None when nothing of it is worth sending."""
        parts = _Parts()
        for arrival in arrivals:
            parts.missing += arrival.missing
            columns = [self._column(values, parts) for values in arrival.values]
            parts.series += self._judge.series(columns, arrival.received_at, arrival.sequence)
            for change in arrival.changes:
                if 0 <= change.handle < len(self._nodes):
                    parts.overflowed += change.status & _OVERFLOW == _OVERFLOW
                    self._take(change, arrival, parts)
        note = parts.note()
        if not (parts.series or parts.readings or parts.waveforms or parts.frames or note):
            return None
        self._sequence += 1
        return Batch(
            source=self._source,
            sequence=self._sequence,
            received_at=arrivals[-1].received_at,
            series=tuple(parts.series),
            readings=tuple(parts.readings),
            waveforms=tuple(parts.waveforms),
            frames=tuple(parts.frames),
            note=note,
        )

    @property
    def pulse(self) -> float | None:
        """How often `heartbeats` is to be asked, in seconds; None: never."""
        return self._judge.pulse

    def heartbeats(self, now: datetime) -> Batch | None:
        """Give what is to be said again, and what time alone found out; None: nothing.

        To be asked while the link is live, every `pulse` seconds, and never beside `batch`.
        """
        series, readings = self._judge.heartbeats(now)
        if not (series or readings):
            return None
        self._sequence += 1
        return Batch(
            source=self._source,
            sequence=self._sequence,
            received_at=now,
            series=tuple(series),
            readings=tuple(readings),
        )

    def _column(self, values: Values, parts: _Parts) -> Column:
        """Give the numbers of known items with their quality; the server's word for it is the reason."""
        known = values.handles < len(self._nodes)
        if not known.all():
            values = values.only(known)
        column = Column(values.handles.astype(np.int64), values.values, values.sourced, values.served)
        if values.statuses.any():
            column = self._graded(column, values.statuses, parts)
        if not self._all_plain and not self._plain[column.places].all():
            column = self._unlike(column)
        return column

    def _graded(self, column: Column, statuses: NDArray[np.uint32], parts: _Parts) -> Column:
        parts.overflowed += int(np.count_nonzero(statuses & _OVERFLOW == _OVERFLOW))
        qualities = _BY_SEVERITY[statuses >> _SEVERITY]
        if not qualities.any():
            return column
        codes, which = np.unique(statuses & _CODE, return_inverse=True)
        names = [status_name(code) if code >> _SEVERITY else "" for code in codes.tolist()]
        for number, name in enumerate(names):
            if name in _GONE:
                self.gone.update(column.places[which == number].tolist())
        words = np.array([self._judge.words.number(name) for name in names], np.int32)
        return column._replace(qualities=qualities, whys=words[which])

    def _unlike(self, column: Column) -> Column:
        """A number where a waveform or a picture was expected is bad."""
        column = column.marked()
        assert column.qualities is not None  # noqa: S101 (for the type checker)
        assert column.whys is not None  # noqa: S101 (for the type checker)
        unlike = ~self._plain[column.places] & (column.qualities != Quality.BAD)
        column.qualities[unlike], column.whys[unlike] = Quality.BAD, self._judge.words.number(_ONE_NUMBER)
        return column

    def _take(self, change: Change, arrival: Arrival, parts: _Parts) -> None:
        """Take what is no number: text, an array, a picture."""
        place, node = change.handle, self._nodes[change.handle]
        quality = _QUALITIES[change.status >> _SEVERITY & 3]
        why = "" if quality is Quality.GOOD else status_name(change.status)
        if why in _GONE:
            self.gone.add(place)
        times = Times(change.sourced_at, change.served_at, arrival.received_at)
        if node.kind != "value" and quality is not Quality.BAD:
            try:
                if node.kind == "frame":
                    parts.frames.append(frame(node, change.value, quality, times))
                else:
                    rate_hz = self._rates.get(place) or node.rate_hz or 0.0
                    parts.waveforms.append(waveform(node, change.value, rate_hz, quality, times))
            except Unfit as unfit:
                quality, why = Quality.BAD, str(unfit)
            else:
                self._board.heard(place, arrival.received_at)
                return
        reading = self._judge.text(place, change.value, quality, why, times, arrival.sequence)
        if reading is not None:
            parts.readings.append(reading)
