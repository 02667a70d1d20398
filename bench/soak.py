"""A soak of the line side: `andon up` without models at 10,000 values a second, for `--minutes`.

Prints how fast memory and disk grow in the second half, when caches are warm and the journal has its budget.
A slope of nothing is the aim: what is bounded stays bounded (pain P7).
"""

import argparse
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from lines.memory import gateway
from lines.process import Failed, cores
from lines.sources import load
from report import Row, publish

TAGS = 1000
EVERY_S = 5.0
SLOPE_MIB, DISK_MIB = 6.0, 64.0
STEADY_MIN = 20.0
BUDGET = "2MiB"
"""Of the journal: reached within minutes, so that the soak sees what comes after."""


@dataclass(slots=True)
class Trace:
    """Samples: seconds since the start, memory and disk in MiB."""

    at: list[float]
    rss: list[float]
    disk: list[float]

    def slope(self, values: list[float]) -> float:
        """Give the growth per hour, by least squares over the second half."""
        first = len(self.at) // 2
        return float(np.polyfit(self.at[first:], values[first:], 1)[0]) * 3600

    def quarters(self) -> str:
        """Give the memory at the start, at each quarter and at the end."""
        places = [round(part / 4 * (len(self.rss) - 1)) for part in range(5)]
        return ", ".join(f"{self.rss[place]:.0f}" for place in places)


def used(folder: Path) -> float:
    """Give what a folder holds, in MiB."""
    total = 0
    for file in folder.rglob("*"):
        try:
            total += file.stat().st_size
        except FileNotFoundError:  # a file of the store may go meanwhile
            continue
    return total / 1024**2


def watched(minutes: float, tags: int) -> Trace:
    """Run the gateway and sample it. Raises `Failed` when it ends."""
    trace = Trace([], [], [])
    with load(tags, core=cores()[1]) as source, gateway(source, BUDGET) as (child, folder):
        began = time.monotonic()
        while (now := time.monotonic() - began) < minutes * 60:
            if not child.running:
                raise Failed("the gateway ended")
            trace.at.append(now)
            trace.rss.append(child.rss_mib())
            trace.disk.append(used(folder / "store"))
            time.sleep(EVERY_S)
    return trace


def main() -> int:
    """Run and publish."""
    parser = argparse.ArgumentParser(prog="bench/soak.py", description="Measure: soak.")
    parser.add_argument("--minutes", type=float, default=30.0, help="how long")
    parser.add_argument("--tags", type=int, default=TAGS, help="tags at 10 Hz")
    parser.add_argument("--quick", action="store_true", help="one minute")
    parser.add_argument("-o", dest="output", choices=("table", "json"), default="table", help="form of the output")
    given = parser.parse_args()
    minutes = 1.0 if given.quick else given.minutes
    try:
        trace = watched(minutes, given.tags)
    except Failed as why:
        sys.stderr.write(f"could not measure: {why}\n")
        return 1
    rss, disk, peak = trace.slope(trace.rss), trace.slope(trace.disk), max(trace.disk)
    held = f"journal_budget {BUDGET}"
    note = f"{given.tags * 10:,} values/s for {minutes:g} min; {trace.quarters()} MiB at each quarter"
    # Within the first minutes caches still fill: what counts is a long run.
    judged = rss <= SLOPE_MIB if minutes >= STEADY_MIN else None
    publish(
        "soak",
        [
            Row(
                "memory grows by",
                rss,
                None,
                "MiB/h",
                None,
                f"<= {SLOPE_MIB:.0f}",
                judged,
                note,
            ),
            Row("disk grows by", disk, None, "MiB/h", None, "", None, note),
            Row(
                "disk, most",
                peak,
                None,
                "MiB",
                None,
                f"<= {DISK_MIB:.0f}",
                peak <= DISK_MIB,
                held,
            ),
        ],
        given.output,
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
