"""Rows of memory: the real `andon up` without models, idle and at 10,000 values a second."""

import asyncio
import importlib
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from report import Row

from lines.grid import BOOLEAN, machine_of
from lines.measure import tail
from lines.process import Failed, Process, cores, started
from lines.rows import Given
from lines.sources import Source, free_port, load

TAGS = 1000
IDLE_MIB, BUSY_MIB = 120.0, 250.0
STILL_S = 3600.0
FIRST_S = 90.0
_HEAD = """
[site]
id = "BENCH"
timezone = "UTC"

[store]
path = "{store}"
journal_budget = "{budget}"

[api]
port = {port}

[diagnosis]
models = "none"

[language]
engine = "lite"

[line.bench]
protocol = "opcua"
endpoint = "opc.tcp://127.0.0.1:{source}"
insecure = true
"""
_TAG = """
[[line.bench.tag]]
asset = "{asset}"
tag = "t{n}"
address = "nsu={uri};s=t{n}"
"""
_MAPPED = """unit = "mm"
scale = 0.5
low = 0
high = 1e12
"""


def memory(given: Given) -> Iterator[Row]:
    """Resident memory of `andon up` without models: idle with 1,000 tags, and at 10,000 values a second."""
    seconds = 15.0 if given.quick else 45.0
    rss = asyncio.run(importlib.import_module("memory").lean(seconds))
    note = "andon up, models = none, language lite; Modbus (bench/memory.py --without-ml)"
    yield Row("gateway, idle, one tag: memory", rss, None, "MiB", None, f"<= {IDLE_MIB:.0f}", rss <= IDLE_MIB, note)
    for name, period, target in (("idle, 1,000 tags", STILL_S, IDLE_MIB), ("10,000 values/s", 0.1, BUSY_MIB)):
        with load(TAGS, core=cores()[1], period=period) as source, gateway(source) as (child, _):
            time.sleep(seconds)
            rss = child.rss_mib()
        note = "andon up, models = none, language lite; OPC UA, own load source"
        yield Row(f"gateway, {name}: memory", rss, None, "MiB", None, f"<= {target:.0f}", rss <= target, note)


def configuration(source: Source, folder: Path, budget: str) -> str:
    """Give andon.toml for a source: no models, an API on a free port, a bounded journal."""
    head = _HEAD.format(budget=budget, store=folder / "store", port=free_port(), source=source.port)
    assets = [f'\n[[asset]]\nid = "{name}"\n' for name in sorted({machine_of(n) for n in range(source.tags)})]
    tags = [
        _TAG.format(asset=machine_of(n), n=n, uri=source.uri) + (_MAPPED if source.grid.kind(n) != BOOLEAN else "")
        for n in range(source.tags)
    ]
    return head + "".join(assets) + "".join(tags)


@contextmanager
def gateway(source: Source, budget: str = "256MiB") -> Iterator[tuple[Process, Path]]:
    """Run `andon up` on a source until the block ends, in a folder of its own; begins when its line lives."""
    with tempfile.TemporaryDirectory(prefix="andon-bench-up-") as name:
        folder = Path(name)
        file = folder / "andon.toml"
        file.write_text(configuration(source, folder, budget), "utf-8")
        command = [sys.executable, "-m", "gateway.cli.main", "up", "-c", str(file)]
        with started(command, "andon up", core=cores()[0], errors=folder / "log", cwd=folder) as child:
            deadline = time.monotonic() + FIRST_S
            while not (folder / "store").exists() or "line.live" not in (folder / "log").read_text("utf-8"):
                if not child.running or time.monotonic() > deadline:
                    raise Failed(f"andon up does not live: {tail(folder / 'log')}")
                time.sleep(0.5)
            yield child, folder
