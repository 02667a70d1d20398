"""Rows of big values: waveforms Float[8192] and pictures of 2 MiB, at 10 Hz each."""

import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from report import Row

from lines.grid import NAMESPACE
from lines.measure import LIVE_S, WARM_S, product
from lines.process import Failed, Process, cores, script, started
from lines.rows import Given
from lines.sources import START_S, free_port

WAVES, RATE_HZ = 4, 10
WAVE_MS, IMAGE_PERCENT = 0.5, 5.0
DELIVERED = 0.98


def payload(given: Given) -> Iterator[Row]:
    """Waveforms Float[8192] at 10 Hz: CPU of each; pictures of 2 MiB at 10 Hz: share of a core."""
    mine, theirs = cores()
    note = f"stock asyncua server, {WAVES} nodes; committed FULL; baseline: bare asyncua client that keeps nothing"
    wave = {"kind": "waveform", "rate_hz": 25_600, "unit": "g"}
    with _served("wave", theirs) as port:
        used, rate = _ours(port, [wave] * WAVES, given.seconds, mine)
        base, _ = _bare(port, WAVES, given.seconds, mine)
    each, other = used / rate * 1000, base / (WAVES * RATE_HZ) * 1000
    good = each <= WAVE_MS and rate >= DELIVERED * WAVES * RATE_HZ
    more = f"{rate:.1f} of {WAVES * RATE_HZ}/s; {note}"
    yield Row("waveform Float[8192] at 10 Hz: CPU", each, other, "ms", other / each, "<= 0.5", good, more)
    image = {"kind": "frame", "encoding": "centikelvin", "unit": "degC"}
    note = "stock asyncua server; baseline: bare asyncua client that keeps nothing"
    with _served("image", theirs) as port:
        base, _ = _bare(port, 1, given.seconds, mine)
        for kept in (False, True):
            used, rate = _ours(port, [image], given.seconds, mine, forget=not kept)
            good = used * 100 <= IMAGE_PERCENT and rate >= DELIVERED * RATE_HZ
            name = f"picture of 2 MiB at 10 Hz, {'committed' if kept else 'received and checked'}: CPU"
            more = f"{rate:.1f} of {RATE_HZ}/s; {note}"
            yield Row(name, used * 100, base * 100, "% of a core", base / used, "<= 5", good, more)


@contextmanager
def _served(kind: str, core: int) -> Iterator[int]:
    port = free_port()
    with started(script("payload_server.py", kind, str(port)), "asyncua server", core=core) as child:
        child.line("READY", START_S)
        yield port


def _ours(
    port: int, tags: list[dict[str, Any]], seconds: float, core: int, *, forget: bool = False
) -> tuple[float, float]:
    """Give CPU seconds per second, and values per second."""
    places = [{"asset": "M0", "tag": f"t{n}", "address": f"nsu={NAMESPACE};s=t{n}"} for n in range(len(tags))]
    line = {
        "protocol": "opcua",
        "name": "bench",
        "endpoint": f"opc.tcp://127.0.0.1:{port}",
        "insecure": True,
        "tag": [place | tag for place, tag in zip(places, tags, strict=True)],
    }
    with (
        tempfile.TemporaryDirectory(prefix="andon-bench-big-") as name,
        product(line, Path(name), core, forget=forget) as child,
    ):
        return _watch(child, seconds)


def _bare(port: int, tags: int, seconds: float, core: int) -> tuple[float, float]:
    with started(script("bare.py", str(port), str(tags), NAMESPACE), "the bare client", core=core) as child:
        return _watch(child, seconds)


def _watch(child: Process, seconds: float) -> tuple[float, float]:
    child.line("LIVE", LIVE_S)
    time.sleep(WARM_S)
    before, began, used = _count(child), time.monotonic(), child.cpu_s()
    time.sleep(seconds)
    took, used, got = time.monotonic() - began, child.cpu_s() - used, _count(child) - before
    if not got:
        raise Failed(f"{child.what} got nothing")
    return used / took, got / took


def _count(child: Process) -> int:
    child.ask("count")
    return int(child.line("COUNT", 30.0)[1])
