"""One Sparkplug edge node: its births by name and alias, and the order of its messages. Pure."""

from datetime import datetime, timedelta

import msgspec

from connectors.line.mqtt.wire import Metric, Payload

MOST_METRICS = 100_000
_MOST_HELD = 128
_HALF = 128


class Born(msgspec.Struct, frozen=True, array_like=True):
    """What a birth said of one metric; `device` is "" for the node's own."""

    device: str
    name: str
    alias: int | None
    datatype: int
    unit: str = ""


class NodeKept(msgspec.Struct, frozen=True, array_like=True):
    """What is remembered of a node's births."""

    place: str
    bd_seq: int | None
    born: tuple[Born, ...]


class Pulse(msgspec.Struct, frozen=True, array_like=True):
    """What is remembered of a node's messages: the last number and when it came."""

    seq: int | None
    alive: bool
    at: datetime


class Heard(msgspec.Struct, frozen=True):
    """A message of a node: which kind, of which device ("" for the node), and what it says."""

    kind: str
    device: str
    payload: Payload
    received_at: datetime
    again: bool = False


class Hole(msgspec.Struct, frozen=True):
    """Messages that never came: what was lost, and the span in which they were sent."""

    start: datetime
    end: datetime
    cause: str


class Node:
    """The order of one node's messages: out of order ones are held until the missing come, or are given up."""

    def __init__(self, place: str) -> None:
        self.place = place
        self.alive: bool | None = None
        self.bd_seq: int | None = None
        self.seq: int | None = None
        self.last_at: datetime | None = None
        self.doubtful = False
        """A message is missing: until the next birth an alias may mean something else."""
        self.asked_at: datetime | None = None
        self.known: dict[tuple[str, str], Born] = {}
        self._by_alias: dict[int, Born] = {}
        self._held: dict[int, Heard] = {}
        self._held_since: datetime | None = None
        self._given_up: set[int] = set()
        self.late = 0

    def born(self, device: str, payload: Payload, *, whole: bool) -> bool:
        """Take the names and aliases of a birth; `whole` for the node's own, which ends all that were.

        False when there are more than can be kept.
        """
        if whole:
            self.known.clear()
            self._by_alias.clear()
            self._held.clear()
            self._given_up.clear()
            self.doubtful, self._held_since = False, None
        for metric in payload.metrics:
            if len(self.known) >= MOST_METRICS:
                return False
            if metric.name:
                self._learn(Born(device, metric.name, metric.alias, metric.datatype, metric.unit))
        return True

    def _learn(self, born: Born) -> None:
        self.known[born.device, born.name] = born
        if born.alias is not None:
            self._by_alias[born.alias] = born

    def of(self, device: str, metric: Metric) -> Born | None:
        """Say what a metric of a data message is; None when no birth named it."""
        if metric.name:
            return self.known.get((device, metric.name))
        return self._by_alias.get(metric.alias) if metric.alias is not None else None

    def order(self, heard: Heard) -> list[Heard]:
        """Give the messages that are now in order; holds one that came too early."""
        number = heard.payload.seq
        if number is None or self.seq is None:
            self.seq = number if number is not None else self.seq
            return [heard]
        ahead = (number - self.seq - 1) % 256
        if ahead == 0:
            self.seq = number
            return [heard, *self._following()]
        if ahead >= _HALF:
            if number in self._given_up:
                self._given_up.discard(number)
                return [heard]
            self.late += 1
            return []
        self._held[number] = heard
        self._held_since = self._held_since or heard.received_at
        return []

    def _following(self) -> list[Heard]:
        ready: list[Heard] = []
        while self.seq is not None and (nearest := (self.seq + 1) % 256) in self._held:
            ready.append(self._held.pop(nearest))
            self.seq = nearest
        if not self._held:
            self._held_since = None
        return ready

    def give_up(self, now: datetime, patience: timedelta) -> tuple[Hole, list[Heard]] | None:
        """When the missing did not come in time: the hole, and the messages behind it."""
        since = self._held_since
        if since is None or self.seq is None or (now - since < patience and len(self._held) < _MOST_HELD):
            return None
        last = self.seq
        order = sorted(self._held, key=lambda number: (number - last - 1) % 256)
        first = self._held[order[0]]
        missing = [(last + 1 + step) % 256 for step in range((order[0] - last - 1) % 256)]
        self._given_up = set(missing)
        self.seq = (order[0] - 1) % 256
        ready = self._following()
        if self._held:  # another hole behind it: waits on its own
            self._held_since = now
        self.doubtful = True
        said = f"message {missing[0]}" if len(missing) == 1 else f"messages {missing[0]} to {missing[-1]}"
        return Hole(self.last_at or since, first.received_at, f"{said} of {self.place} did not come"), ready

    def kept(self) -> NodeKept:
        """Give what is to be remembered of the births."""
        return NodeKept(self.place, self.bd_seq, tuple(self.known.values()))

    def pulse(self, at: datetime) -> Pulse:
        """Give what is to be remembered of the messages."""
        return Pulse(self.seq, bool(self.alive), self.last_at or at)

    def remember(self, kept: NodeKept, pulse: Pulse | None) -> None:
        """Go on with what an earlier run knew."""
        self.bd_seq = kept.bd_seq
        for born in kept.born:
            self._learn(born)
        if pulse is not None:
            self.seq, self.alive, self.last_at = pulse.seq, pulse.alive, pulse.at
