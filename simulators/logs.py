"""The machine's log: routine lines always, telling lines now and then."""

import functools
import tomllib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from simulators.seeds import generator

ROUTINE_S = 7.0
"""Mean seconds between routine lines."""
TELLING_S = 9.0
"""Mean seconds between lines about a defect of severity 1."""
IDLE_S = 90.0
"""Mean seconds between lines of a healthy machine that sound like trouble."""


@dataclass(frozen=True, slots=True)
class Line:
    """One log line; `severity` is that of RFC 5424 (3 error, 4 warning, 5 notice, 6 informational)."""

    severity: int
    text: str


@dataclass(frozen=True, slots=True)
class Facts:
    """What a line may mention."""

    asset: str
    fault: str
    severity: float
    temperature_c: float
    ambient_c: float
    velocity_mm_s: float
    speed_rpm: float
    load_pct: float


@dataclass(frozen=True, slots=True)
class Phrases:
    """Wordings by topic, and the weights of the topics by condition."""

    topics: dict[str, tuple[tuple[int, str], ...]]
    heard: dict[str, dict[str, float]]


@functools.cache
def phrases() -> Phrases:
    """Read the wordings that lie beside this file."""
    read = tomllib.loads(Path(__file__).with_name("phrases.toml").read_text(encoding="utf-8"))
    topics = {
        topic["name"]: tuple((int(level), str(text)) for level, text in topic["lines"]) for topic in read["topic"]
    }
    return Phrases(topics, read["heard"])


class LogBook:
    """Writes the log of one machine; `talk` multiplies how often it writes."""

    def __init__(self, name: str, seed: int, talk: float = 1.0) -> None:
        self._talk = talk
        self._random = generator(seed, "log", name)
        self._count = int(self._random.integers(1, 5000))

    def push(self, facts: Facts, seconds: float) -> list[Line]:
        """Write what is written during the next `seconds`."""
        seconds *= self._talk
        topics = ["routine"] * int(self._random.poisson(seconds / ROUTINE_S))
        topics += self._heard("healthy", seconds / IDLE_S)
        if facts.fault != "healthy":
            topics += self._heard(facts.fault, seconds / TELLING_S * facts.severity)
        return [self._write(topic, facts) for topic in topics]

    def _heard(self, condition: str, expected: float) -> list[str]:
        weights = phrases().heard[condition]
        shares = np.array(list(weights.values())) / sum(weights.values())
        return [
            str(topic) for topic in self._random.choice(list(weights), int(self._random.poisson(expected)), p=shares)
        ]

    def _write(self, topic: str, facts: Facts) -> Line:
        choices = phrases().topics[topic]
        severity, text = choices[int(self._random.integers(0, len(choices)))]
        self._count += int(self._random.integers(1, 9))
        near = float(self._random.normal(1, 0.04))
        return Line(
            severity,
            text.format(
                asset=facts.asset,
                temp=round(facts.temperature_c * near, 1),
                ambient=round(facts.ambient_c),
                vib=round(facts.velocity_mm_s * near, 1),
                rpm=round(facts.speed_rpm),
                load=round(facts.load_pct),
                n=self._count % 97 + 1,
                limit=int(self._random.choice([4, 5, 7, 60, 70])),
            ),
        )
