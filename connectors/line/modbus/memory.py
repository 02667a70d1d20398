"""Memory: what a line knows of its device over restarts, and since when it heard nothing."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import TypeVar

import msgspec

from connectors.line.modbus.area import REFUSED, Area
from connectors.line.modbus.cost import Cost
from connectors.line.modbus.lanes import NAME as LANES
from connectors.line.modbus.lanes import Lanes

_COST, _HEARD = "cost", "heard"
_HEARD_EVERY = timedelta(seconds=1)
_COST_EVERY = timedelta(minutes=10)
Kind = TypeVar("Kind")
NOT_RUNNING = "the gateway was not running"


class Heard(msgspec.Struct, frozen=True):
    """When the line was heard last, aware UTC, and why not since."""

    at: datetime
    why: str = NOT_RUNNING


class Memory:
    """Writes down what changed, not more often than it is worth."""

    def __init__(self, areas: Sequence[Area], lanes: Lanes) -> None:
        self._areas, self._lanes = areas, lanes
        self._forgotten: set[str] = set()
        self._heard_at: datetime | None = None
        self._cost_at: datetime | None = None

    def recall(self, kept: Mapping[str, bytes], now: datetime) -> tuple[Cost, Heard | None]:
        """Take back what is still true; gives the cost of requests and when the line was heard last."""
        for area in self._areas:
            area.recall(kept.get(area.name), now)
        known = {area.name for area in self._areas}
        self._forgotten = {name for name in kept if name.startswith(REFUSED) and name not in known}
        self._lanes.recall(kept.get(LANES), now)
        return _read(kept.get(_COST), Cost) or Cost(), _read(kept.get(_HEARD), Heard)

    def news(self, cost: Cost, heard: datetime | None, now: datetime) -> dict[str, bytes]:
        """What is to be kept now."""
        found = dict.fromkeys(self._forgotten, b"")
        self._forgotten.clear()
        found |= {area.name: new for area in self._areas if (new := area.news(now)) is not None}
        if (allowed := self._lanes.news()) is not None:
            found[LANES] = allowed
        if cost.known and (self._cost_at is None or now - self._cost_at >= _COST_EVERY):
            self._cost_at = now
            found[_COST] = msgspec.json.encode(cost)
        if heard is not None and (self._heard_at is None or heard - self._heard_at >= _HEARD_EVERY):
            found |= self.last(heard)
        return found

    def last(self, heard: datetime, why: str = NOT_RUNNING) -> dict[str, bytes]:
        """Keep when the line was heard last, and why not since."""
        self._heard_at = heard
        return {_HEARD: msgspec.json.encode(Heard(heard, why))}


def _read(kept: bytes | None, kind: type[Kind]) -> Kind | None:
    if kept is None:
        return None
    try:
        return msgspec.json.decode(kept, type=kind)
    except msgspec.DecodeError:
        return None  # damaged: as good as none
