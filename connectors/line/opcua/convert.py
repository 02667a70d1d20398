"""From data changes to atoms: readings, waveforms, frames; a bad status never becomes a number."""

from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache

from asyncua.ua.status_codes import get_name_and_doc

from connectors.line.board import Board
from connectors.line.opcua.decode import Change
from connectors.line.opcua.pump import Arrival
from connectors.line.opcua.settings import Node
from connectors.line.shapes import Times, Unfit, frame, waveform
from connectors.line.tags import Gate, judge
from gateway.core.batch import Batch
from gateway.core.reading import Quality, Reading, ThermalFrame, Waveform

_SEVERITY = 30
_CODE = 0xFFFF0000
_OVERFLOW = 0x480  # InfoType DataValue with the overflow bit: the server's queue lost values of this item
_NOT_YET = "BadWaitingForInitialData"
_GONE = frozenset({"BadNodeIdUnknown", "BadNodeIdInvalid"})
_QUALITIES = (Quality.GOOD, Quality.UNCERTAIN, Quality.BAD, Quality.BAD)


@lru_cache(maxsize=512)
def status_name(code: int) -> str:
    """Name a status code as the standard does."""
    name, _ = get_name_and_doc(code & _CODE)
    return str(name)


class Converter:
    """Turns arrivals into one batch. Holds what lasts: deadbands, the board, the batch number."""

    def __init__(self, source: str, nodes: Sequence[Node], rates: dict[int, float], board: Board) -> None:
        self._source, self._nodes, self._rates, self._board = source, nodes, rates, board
        self._gate = Gate()
        self._sequence = 0
        self.gone: set[int] = set()

    def batch(self, arrivals: Sequence[Arrival]) -> Batch | None:
        """Make one batch of all that arrived; None when nothing of it is worth sending."""
        readings: list[Reading] = []
        waveforms: list[Waveform] = []
        frames: list[ThermalFrame] = []
        overflowed = 0
        for arrival in arrivals:
            for change in arrival.changes:
                if not 0 <= change.handle < len(self._nodes):
                    continue
                overflowed += change.status & _OVERFLOW == _OVERFLOW
                atom = self._atom(change, arrival.received_at)
                if isinstance(atom, Waveform):
                    waveforms.append(atom)
                elif isinstance(atom, ThermalFrame):
                    frames.append(atom)
                elif self._gate.passes(self._nodes[change.handle], atom):
                    readings.append(atom)
        missing = sum(arrival.missing for arrival in arrivals)
        note = "; ".join(_words(missing, overflowed))
        if not (readings or waveforms or frames or note):
            return None
        self._sequence += 1
        return Batch(
            source=self._source,
            sequence=self._sequence,
            received_at=arrivals[-1].received_at,
            readings=tuple(readings),
            waveforms=tuple(waveforms),
            frames=tuple(frames),
            note=note,
        )

    def _atom(self, change: Change, received_at: datetime) -> Reading | Waveform | ThermalFrame:
        place, node = change.handle, self._nodes[change.handle]
        quality = _QUALITIES[change.status >> _SEVERITY & 3]
        why = "" if quality is Quality.GOOD else status_name(change.status)
        value = None
        if quality is Quality.BAD:
            if why in _GONE:
                self.gone.add(place)
        elif node.kind == "value":
            value, unfit = judge(node, change.value)
            if unfit:
                quality, why = Quality.BAD, unfit
        else:
            times = Times(change.sourced_at, change.served_at, received_at)
            try:
                if node.kind == "frame":
                    atom: Waveform | ThermalFrame = frame(node, change.value, quality, times)
                else:
                    atom = waveform(node, change.value, self._rates[place], quality, times)
            except Unfit as unfit_shape:
                quality, why = Quality.BAD, str(unfit_shape)
            else:
                self._board.heard(place, received_at)
                return atom
        if why == _NOT_YET:
            self._board.wait(place)
        else:
            self._board.heard(place, received_at, why if quality is Quality.BAD else "")
        return Reading(
            node.asset,
            node.tag,
            value,
            node.unit,
            quality,
            change.sourced_at,
            change.served_at,
            received_at,
            why,
        )


def _words(missing: int, overflowed: int) -> list[str]:
    words = []
    if missing:
        words.append(f"gap: {missing} messages lost")
    if overflowed:
        words.append(f"gap: the server's queue overflowed for {overflowed} tags")
    return words
