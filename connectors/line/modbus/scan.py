"""Scan: one round over a group's blocks, from the questions to columns."""

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

import msgspec
import numpy as np

from connectors.line.column import Column
from connectors.line.modbus.area import Area
from connectors.line.modbus.breaker import Breaker
from connectors.line.modbus.decode import Decoder
from connectors.line.modbus.frames import Question
from connectors.line.modbus.packing import Block

_TOGETHER = timedelta(milliseconds=100)
_MOST_DECODERS = 32


class Answer(NamedTuple):
    """The bytes of a block, and when they came."""

    area: int
    block: Block
    values: bytes
    at: datetime


class Ill(NamedTuple):
    """Tags without a value, by place, and why."""

    places: list[int]
    why: str
    at: datetime


class Found(NamedTuple):
    """What came together: numbers, texts by place, and when."""

    columns: list[Column]
    texts: list[tuple[int, str]]
    at: datetime


class Group:
    """Tags of one unit and one rate, read together."""

    def __init__(self, place: int, breaker: Breaker, every: float, areas: Sequence[Area]) -> None:
        self.place, self.breaker, self.every, self.areas = place, breaker, every, areas
        self.told_silent = False
        self.heard_at: datetime | None = None
        self.lost_from: datetime | None = None
        self.lost_why = ""
        self._decoders: dict[tuple[tuple[int, Block], ...], Decoder] = {}

    @property
    def requests(self) -> int:
        """How many reads one scan takes."""
        return sum(len(area.blocks) for area in self.areas)

    @property
    def places(self) -> list[int]:
        """All its tags."""
        return [place for area in self.areas for place in area.places]

    def decoder(self, answers: Sequence[Answer]) -> Decoder:
        """The decoder for these blocks, one behind the other."""
        key = tuple((answer.area, answer.block) for answer in answers)
        known = self._decoders.get(key)
        if known is None:
            if len(self._decoders) >= _MOST_DECODERS:
                self._decoders.clear()
            spots, at = [], 0
            for answer in answers:
                spots += self.areas[answer.area].spots(answer.block, at)
                at += len(answer.values)
            known = self._decoders[key] = Decoder(spots)
        return known


class _Split(msgspec.Struct):
    """A block that was refused and is asked for in two parts."""

    area: int
    block: Block
    cut: int
    code: int
    above: "_Split | None"
    waiting: int = 2
    answered: bool = True


class Job(NamedTuple):
    """One question of a scan."""

    scan: "Scan"
    area: int
    block: Block
    split: _Split | None = None
    again: bool = False

    @property
    def question(self) -> Question:
        """What is asked."""
        area = self.scan.group.areas[self.area]
        return Question(area.unit, area.table, self.block.start, self.block.count)


class Scan:
    """One round: its questions may be answered in any order and over several connections."""

    def __init__(self, group: Group, deadline: float, now: float) -> None:
        self.group, self.deadline = group, deadline
        self._answers: list[Answer] = []
        self.ill: list[Ill] = []
        self.silent = ""
        self.unheard: list[Job] = []
        self.jobs = [Job(self, number, block) for number, area in enumerate(group.areas) for block in area.asked(now)]
        self._open = len(self.jobs)

    @property
    def is_done(self) -> bool:
        """Whether no question is open."""
        return self._open == 0

    def answered(self, job: Job, values: bytes, at: datetime) -> None:
        """Take an answer."""
        self.group.areas[job.area].heard(job.block)
        self._answers.append(Answer(job.area, job.block, values, at))
        self._open -= 1
        self._settle(job.split, at, answered=True)

    def refused(self, job: Job, code: int, why: str, at: datetime) -> list[Job]:
        """Take an exception; gives the questions that are asked instead."""
        area = self.group.areas[job.area]
        found = area.parts(job.block, code)
        if found is not None:
            cut, parts = found
            split = _Split(job.area, job.block, cut, code, job.split)
            self._open += 1
            return [Job(self, job.area, part, split) for part in parts]
        area.refused_alone(job.block, code, at)
        self._lose(job, why, at)
        return []

    def skipped(self, job: Job, why: str, at: datetime) -> None:
        """Note that a question was not asked, because the unit is silent."""
        self.silent = self.silent or why
        self._lose(job, why, at)

    def unanswered(self, job: Job, why: str, at: datetime, *, patient: bool) -> bool:
        """Note that a question got no answer; True when the unit is therefore silent and not asked for the rest.

        With patience one silence is not enough: the unit may answer other questions.
        """
        self.unheard.append(job)
        self._lose(job, why, at)
        if not self._answers and (self.is_done or len(self.unheard) > 1 or not patient):
            self.silent = why
        return bool(self.silent)

    def _lose(self, job: Job, why: str, at: datetime) -> None:
        area = self.group.areas[job.area]
        self.ill.append(Ill([area.places[number] for number in job.block.places], why, at))
        self._open -= 1
        self._settle(job.split, at, answered=False)

    def _settle(self, split: _Split | None, at: datetime, *, answered: bool) -> None:
        while split is not None:
            split.waiting -= 1
            split.answered &= answered
            if split.waiting:
                return
            if split.answered:
                self.group.areas[split.area].both_answered(split.block, split.cut, split.code, at)
            answered = False  # what is above was refused: its own cut explains nothing
            split = split.above

    def found(self) -> Iterator[Found]:
        """Give what was found, in pieces that came together, so that a slow scan keeps its times."""
        waiting = sorted(self._answers, key=lambda answer: answer.at)
        while waiting:
            first = waiting[0].at
            piece = [answer for answer in waiting if answer.at - first < _TOGETHER]
            waiting = waiting[len(piece) :]
            at = piece[-1].at
            piece.sort(key=lambda answer: (answer.area, answer.block.start))
            decoder = self.group.decoder(piece)
            raw = b"".join(answer.values for answer in piece)
            yield Found(list(decoder.columns(raw)), list(decoder.texts(raw)), at)

    @property
    def last_at(self) -> datetime | None:
        """When the last answer came."""
        return max((answer.at for answer in self._answers), default=None)


def ill_column(ill: Ill, why: Callable[[str], int], bad: int) -> Column:
    """Make a column of tags without a value."""
    count = len(ill.places)
    never = np.full(count, -(2**63))
    places = np.array(ill.places, np.int64)
    return Column(
        places, np.zeros(count), never, never, np.full(count, bad, np.uint8), np.full(count, why(ill.why), np.int32)
    )
