"""One measurement of OPC UA: the product, or a bare client, against a source for some seconds."""

import json
import signal
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lines.grid import BOOLEAN, SCALE, machine_of
from lines.process import Failed, Process, Skipped, script, started
from lines.sources import Source
from lines.tally import Tally, tally

WARM_S = 2.0
LIVE_S = 120.0
LATE_S = 1.5
"""What is not committed this long after it was made counts as not delivered."""
EDGE_TICKS = 5
BUSY = 0.7
"""Share of a core from which the product may be what is slow."""
_MICRO = 1_000_000


@dataclass(frozen=True, slots=True)
class Figure:
    """One run: share delivered, values lost, CPU seconds per 100,000 values, memory, values per second."""

    delivered: float
    lost: int
    cpu: float
    rss: float
    rate: float
    wrong: int = 0
    note: str = ""


def settings(source: Source, **more: Any) -> dict[str, Any]:
    """Give the line's settings: every tag mapped (scaled, with a range and a unit)."""
    grid = source.grid
    tags = []
    for n in range(source.tags):
        tag: dict[str, Any] = {
            "asset": machine_of(n),
            "tag": f"t{n}",
            "address": f"nsu={source.uri};s={source.letter}{n}",
        }
        if grid.kind(n) != BOOLEAN:
            tag |= {"unit": "mm", "scale": SCALE, "low": 0.0, "high": 1e12}
        tags.append(tag)
    endpoint = f"opc.tcp://127.0.0.1:{source.port}"
    return {"protocol": "opcua", "name": "bench", "endpoint": endpoint, "insecure": True, "tag": tags, **more}


@contextmanager
def product(line: dict[str, Any], folder: Path, core: int | None = None, *, forget: bool = False) -> Iterator[Process]:
    """Run the product on a line while the block runs; its store is `folder`/store. `forget`: nothing is stored."""
    file = folder / "line.json"
    file.write_text(json.dumps(line), "utf-8")
    command = script("product.py", file, folder / "store", *(["--forget"] if forget else []))
    with started(command, "the product", core=core, errors=folder / "log") as child:
        yield child


def ours(source: Source, seconds: float, *, core: int | None = None, **more: Any) -> Figure:
    """Measure the product; what was delivered is counted in its store after its end."""
    with tempfile.TemporaryDirectory(prefix="andon-bench-") as name:
        folder = Path(name)
        with product(settings(source, **more), folder, core) as child:
            try:
                child.line("LIVE", LIVE_S)
            except Failed as lost:
                raise Failed(f"{lost}; {tail(folder / 'log')}") from lost
            time.sleep(WARM_S)
            first, used = time.time_ns() // 1000, child.cpu_s()
            time.sleep(seconds)
            end, used = time.time_ns() // 1000, child.cpu_s() - used
            rss = child.rss_mib()
            time.sleep(LATE_S)
            child.end(signal.SIGTERM)
        return _figure(source, folder / "store", (first, end), used, rss)


def _figure(source: Source, store: Path, span: tuple[int, int], used: float, rss: float) -> Figure:
    grid = source.grid
    found: Tally = tally(store, source.tags, grid, grid.tick(span[1] + 10 * _MICRO))
    first, end = grid.tick(span[0]), grid.tick(span[1])
    count = found.count(first, end)
    if not count:
        late = end - 1 - int(found.seen.any(0).nonzero()[0].max(initial=-1))
        words = f"what came last was made {late * grid.period_us / _MICRO:.1f} s before the end"
        if used < BUSY * (span[1] - span[0]) / _MICRO:
            raise Skipped(f"{source.name} did not keep pace ({words}, and the product's core was idle)")
        raise Failed(words)
    strange = f"{found.strange} without a place on the grid" if found.strange > 2 * source.tags else ""
    return Figure(
        found.delivered(first, end),
        found.lost(first, end),
        used / count * 100_000,
        rss,
        count / (span[1] - span[0]) * _MICRO,
        found.wrong,
        strange,
    )


def bare(source: Source, seconds: float, *, core: int | None = None, defaults: bool = False) -> Figure:
    """Measure a bare asyncua client: values that reached its handler; see bare.py for `defaults`."""
    command = script("bare.py", str(source.port), str(source.tags), source.uri, *(["--defaults"] if defaults else []))
    with started(command, "the bare client", core=core) as child:
        child.line("LIVE", LIVE_S)
        time.sleep(WARM_S)
        before, began, used = _count(child), time.monotonic(), child.cpu_s()
        time.sleep(seconds)
        took, used, got = time.monotonic() - began, child.cpu_s() - used, _count(child) - before
        rss = child.rss_mib()
    if not got:
        raise Failed("the bare client got nothing")
    share, lost = within(source, took, got)
    return Figure(share, lost, used / got * 100_000, rss, got / took)


def within(source: Source, took: float, got: int) -> tuple[float, int]:
    """Give share and loss of values counted from outside: what an edge of the time span may hide is no loss."""
    ticks = took * _MICRO / source.grid.period_us
    made = ticks * source.tags
    missing = round(made - got)
    return (1.0, 0) if missing <= EDGE_TICKS * source.tags else (got / made, missing)


def _count(child: Process) -> int:
    child.ask("count")
    return int(child.line("COUNT", 30.0)[1])


def tail(log: Path) -> str:
    """Give the last lines of a log."""
    return " | ".join(log.read_text("utf-8", "replace").splitlines()[-3:]) if log.exists() else ""
