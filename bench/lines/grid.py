"""What every load source of these benches says: which tag has which type, and its value at which tick.

A tick is one period on a grid of absolute time. Each value carries its tick's time as source time, so
that what came is counted exactly, and a value that came under the wrong name or with the wrong content
is found.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

NAMESPACE = "urn:bench:line"
SECOND = 1_000_000
EPOCH_US = 1_767_225_600 * SECOND
"""2026-01-01 UTC: tick 0 of sources that are started again."""
KINDS = (11,) * 6 + (10,) * 6 + (6,) * 3 + (5,) * 2 + (8,) + (1,) * 2
"""OPC UA built-in types of twenty neighbours: 6 Double, 6 Float, 3 Int32, 2 UInt16, 1 Int64, 2 Boolean."""
DOUBLE, FLOAT, INT32, UINT16, INT64, BOOLEAN = 11, 10, 6, 5, 8, 1
SCALE = 0.5
"""What the product's mapping multiplies numbers with: exact in binary, so that the check is exact too."""
MACHINE = 50
"""Tags of one machine."""


@dataclass(frozen=True, slots=True)
class Grid:
    """What a load source says at which tick.

    Tick 0 is at `start_us` (microseconds since 1970), each lasts `period_us`. A value is `base`, plus the
    tick, plus the tag's number modulo `spread`. `mixed`: twenty neighbours have the types of `KINDS`;
    otherwise all are Double. `timed`: source times are on the grid; otherwise the value alone tells the tick.
    """

    start_us: int
    period_us: int
    base: int = 0
    spread: int = 100
    mixed: bool = True
    timed: bool = True

    def at(self, tick: int) -> int:
        """Give a tick's time in microseconds."""
        return self.start_us + tick * self.period_us

    def tick(self, now_us: int) -> int:
        """Give the number of the last tick that is not in the future."""
        return (now_us - self.start_us) // self.period_us

    def kind(self, tag: int) -> int:
        """Give the type of a tag by its number."""
        return KINDS[tag % len(KINDS)] if self.mixed else DOUBLE

    def raw(self, kind: int, tags: NDArray[np.int64], ticks: NDArray[np.int64]) -> NDArray[np.int64]:
        """Give what the source says: whole numbers that each type can hold."""
        values: NDArray[np.int64] = self.base + ticks + tags % self.spread
        if kind == BOOLEAN:
            return values & 1
        return values & 0xFFFF if kind == UINT16 else values


def machine_of(tag: int) -> str:
    """Give the asset of a tag by its number."""
    return f"M{tag // MACHINE}"
