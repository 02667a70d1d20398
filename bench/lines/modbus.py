"""Rows of Modbus: requests and scans, a far endpoint that allows eight connections, a dead unit on a bus."""

import hashlib
import os
import shutil
import socket
import struct
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from report import Row

from lines.measure import LIVE_S, product
from lines.process import ROOT, Failed, Process, Skipped, cores, script, started
from lines.rows import Given
from lines.sources import free_port
from lines.tally import good

SOURCE = ROOT / "tests" / "peers" / "libmodbus" / "server.c"
HEADERS = Path("/usr/include/modbus")
TAGS, FIRST = 1000, 200
MANY = 4000
REQUESTS, SHARE, CPU_TARGET = 17.0, 0.8, 0.3
ROUND_TRIP_MS, READS = 20, 300.0
UNITS, EACH, KEPT, BAUD = 9, 20, 0.95, 115_200
WARM_S = 3.0
SETTLED_S = 6.0


@dataclass(frozen=True, slots=True)
class Pace:
    """One run: scans and requests per second, CPU seconds per 100,000 values."""

    scans: float
    requests: float
    cpu: float


def built() -> Path:
    """Compile the libmodbus server of the tests once. Raises `Skipped`."""
    if not shutil.which("cc") or not (HEADERS / "modbus.h").exists() or not SOURCE.exists():
        raise Skipped("no libmodbus server: cc and libmodbus-dev are not installed (tools/services)")
    cache = Path(os.environ.get("XDG_CACHE_HOME", str(Path.home() / ".cache"))) / "andon-bench"
    made = cache / f"libmodbus-{hashlib.sha256(SOURCE.read_bytes()).hexdigest()[:16]}"
    if not made.exists():
        cache.mkdir(parents=True, exist_ok=True)
        fresh = made.with_suffix(f".{os.getpid()}")
        words = ["cc", "-O2", "-o", str(fresh), str(SOURCE), f"-I{HEADERS}", "-lmodbus", "-lpthread"]
        done = subprocess.run(words, capture_output=True, text=True, timeout=120, check=False)
        if done.returncode:
            raise Skipped(f"the libmodbus server does not compile: {done.stderr.strip()[:200]}")
        fresh.replace(made)
    return made


@contextmanager
def served(*more: str, core: int) -> Iterator[int]:
    """Run the libmodbus server on a free port."""
    port = free_port()
    with started([built(), "tcp", str(port), *more], "libmodbus", core=core) as child:
        child.line("READY", 10.0)
        yield port


def line(port: int, count: int) -> dict[str, Any]:
    """Give the settings: tags of two registers each, mapped, read as often as can be."""
    tags = [
        {
            "asset": f"M{n // 50}",
            "tag": f"t{n}",
            "address": f"holding:@{FIRST + 2 * n}:uint32",
            "unit": "mm",
            "scale": 0.5,
            "low": 0.0,
            "high": 1e12,
        }
        for n in range(count)
    ]
    return {
        "protocol": "modbus",
        "name": "bench",
        "endpoint": f"tcp://127.0.0.1:{port}",
        "every": "1ms",
        "tag": tags,
    }


def scans(given: Given) -> Iterator[Row]:
    """1,000 tags over 2,000 registers: requests a scan, scan rate beside bare block reads, CPU."""
    mine, theirs = cores()
    with served(core=theirs) as port:
        base = _bare(port, TAGS, given.seconds, mine)
    with served(core=theirs) as port:
        figure = _ours(port, TAGS, given.seconds, mine, counted=True)
    note = f"libmodbus server; {figure.scans * TAGS:,.0f} values/s; baseline: bare pymodbus block reads"
    name = "Modbus 1,000 tags over 2,000 registers"
    each, theirs_each = figure.requests / figure.scans, base.requests / base.scans
    share = figure.scans / base.scans
    yield Row(f"{name}: requests a scan", each, theirs_each, "", None, "<= 17", each <= REQUESTS + 0.05, note)
    yield Row(f"{name}: scans", figure.scans, base.scans, "1/s", share, ">= 0.8 x", share >= SHARE, note)
    cheap = base.cpu / figure.cpu
    yield Row(f"{name}: CPU per 100,000", figure.cpu, base.cpu, "s", cheap, "<= 0.3", figure.cpu <= CPU_TARGET, note)


def far(given: Given) -> Iterator[Row]:
    """Reads per second at 20 ms round trip from an endpoint that allows 8 connections; 4,000 tags."""
    mine, theirs = cores()
    with served(str(ROUND_TRIP_MS), core=theirs) as port:
        base = _bare(port, MANY, given.seconds, mine)
    with served(str(ROUND_TRIP_MS), "8", core=theirs) as port:
        figure = _ours(port, MANY, given.seconds, mine)
    requests = figure.scans * blocks(MANY)
    ratio = requests / base.requests
    note = "libmodbus server, 8 connections allowed, 4,000 tags over 8,000 registers; baseline: bare pymodbus"
    yield Row("Modbus at 20 ms", requests, base.requests, "reads/s", ratio, ">= 300", requests >= READS, note)


def blocks(tags: int) -> int:
    """Give how many reads cover so many neighbouring tags: 62 tags of two registers fit into one."""
    return -(-tags // 62)


def _ours(port: int, tags: int, seconds: float, core: int, *, counted: bool = False) -> Pace:
    """Measure the product; `counted`: the requests are counted by the server's register 0."""
    fields = line(port, tags)
    with tempfile.TemporaryDirectory(prefix="andon-bench-mb-") as name, product(fields, Path(name), core) as child:
        child.line("LIVE", LIVE_S)
        time.sleep(WARM_S)
        asked = Counter(port) if counted else None
        before, began, used = _count(child)[0], time.monotonic(), child.cpu_s()
        end = began + seconds
        while (left := end - time.monotonic()) > 0:
            time.sleep(min(left, 2.0))
            if asked:
                asked.read()
        values, took = _count(child)[0] - before, time.monotonic() - began
        used = child.cpu_s() - used
        requests = asked.total / took if asked else 0.0
    if not values:
        raise Failed("nothing was read")
    return Pace(values / tags / took, requests, used / values * 100_000)


def _bare(port: int, tags: int, seconds: float, core: int) -> Pace:
    command = script("bare_modbus.py", str(port), str(FIRST), str(2 * tags))
    with started(command, "bare pymodbus", core=core) as child:
        child.line("LIVE", LIVE_S)
        reads = _count(child)[1]
        began, used = time.monotonic(), child.cpu_s()
        time.sleep(seconds)
        took, used = time.monotonic() - began, child.cpu_s() - used
        reads = _count(child)[1] - reads
    values = reads / blocks(tags) * tags
    return Pace(reads / blocks(tags) / took, reads / took, used / values * 100_000)


def _count(child: Process) -> list[int]:
    child.ask("count")
    return [int(word) for word in child.line("COUNT", 30.0)[1:]]


class Counter:
    """The requests that a server answered, by its register 0; reads often enough not to miss a turn of 65,536."""

    def __init__(self, port: int) -> None:
        self._link = socket.create_connection(("127.0.0.1", port), 5.0)
        self.total = 0
        self._last = self._ask()

    def read(self) -> None:
        """Add what came since."""
        now = self._ask()
        self.total += (now - self._last - 1) % 65_536
        self._last = now

    def _ask(self) -> int:
        self._link.sendall(struct.pack(">HHHBBHH", 1, 0, 6, 1, 3, 0, 1))
        answer = self._link.recv(64)
        return int(struct.unpack_from(">H", answer, 9)[0])


def dead(given: Given) -> Iterator[Row]:
    """One dead unit among ten on one bus: the share of their rate that the other nine keep."""
    seconds = 20.0 if given.quick else 50.0
    units = list(range(1, UNITS + 1))
    with tempfile.TemporaryDirectory(prefix="andon-bench-bus-") as name, ExitStack() as stack:
        beside, alone = Path(name) / "beside", Path(name) / "alone"
        # Both at the same time: what else the machine does hits both.
        for folder, these in ((beside, [*units, UNITS + 1]), (alone, units)):
            folder.mkdir()
            stack.enter_context(_bus(folder, these)).line("LIVE", LIVE_S)
        time.sleep(SETTLED_S)
        since = time.time_ns() // 1000
        time.sleep(seconds)
        until = time.time_ns() // 1000
        stack.close()
        ours, base = (
            good(folder / "store", {f"U{unit}" for unit in units}, since, until) / seconds for folder in (beside, alone)
        )
    if not base:
        raise Failed("nothing was read")
    note = f"libmodbus RTU servers, lines of {BAUD:,} baud made of ptys; baseline: the nine without the dead one"
    yield Row(
        "Modbus, one dead unit among 10", ours, base, "values/s", ours / base, ">= 0.95 x", ours / base >= KEPT, note
    )


@contextmanager
def _bus(folder: Path, units: Sequence[int]) -> Iterator[Process]:
    """Run a serial line, its units and the product that reads them as fast as the line goes."""
    mine, theirs = cores()
    with ExitStack() as stack:
        bus = stack.enter_context(started(script("bus.py", str(BAUD)), "the bus", core=theirs))
        _, near, away = bus.line("READY", 10.0)
        server = stack.enter_context(started([built(), "rtu", away], "libmodbus", core=theirs))
        server.line("READY", 10.0)
        tags = [
            {"asset": f"U{unit}", "tag": f"t{n}", "address": f"holding:@{FIRST + n}:uint16", "device": unit}
            for unit in units
            for n in range(EACH)
        ]
        fields = {"protocol": "modbus", "name": "bench", "endpoint": f"rtu://{near}", "baudrate": BAUD}
        yield stack.enter_context(product({**fields, "every": "1ms", "timeout": "300ms", "tag": tags}, folder, mine))
