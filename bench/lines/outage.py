"""Rows of outages: the TCP link cut for 5 s, the server restarted, the gateway killed with -9 and back after 5 s.

50 tags at 10 Hz on a signed and encrypted channel. Missing is what a tag lacks between its first and its last
value in the store; of a restarted server, what is missing and stands in no gap record.
"""

import asyncio
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from asyncua import Client
from report import Row

from gateway.core.series import ticks
from lines.measure import LIVE_S, product, settings, tail
from lines.process import ROOT, Failed, Process, Skipped, script, started
from lines.rows import Given, untold
from lines.sources import Source, free_port, node_opcua, open62541, stock_asyncua
from lines.tally import Tally, tally

TAGS = 50
AWAY_S = 5.0
BEFORE_S, AFTER_S = 3.0, 6.0
BACK_S = 60.0
_MICRO = 1_000_000
Opened = Callable[[Path, int], AbstractContextManager[Source]]


@dataclass(slots=True)
class Rig:
    """A server that can be started again, its link, the product, and where all of it lies."""

    folder: Path
    opened: Callable[[], AbstractContextManager[Source]]
    line: dict[str, Any]
    server: ExitStack
    source: Source
    link: Process
    gateway: ExitStack
    product: Process

    def cut(self) -> None:
        """Cut the link for a while."""
        self.link.ask(f"cut {AWAY_S}")
        time.sleep(AWAY_S)

    def restart(self) -> None:
        """Kill the server, and start it on the same port."""
        self.source.process.send(signal.SIGKILL)
        self.server.close()
        time.sleep(AWAY_S / 2)
        self.source = self.server.enter_context(self.opened())

    def kill(self) -> None:
        """Kill the product with -9, and start it on the same store."""
        self.product.send(signal.SIGKILL)
        self.gateway.close()
        time.sleep(AWAY_S)
        self.product = self.gateway.enter_context(product(self.line, self.folder))
        self.product.line("LIVE", LIVE_S)

    def settle(self) -> None:
        """Wait until values flow again, and for some seconds more. Raises `Failed` when none come."""
        enough, deadline = self._count() + self.source.tags * 10, time.monotonic() + BACK_S
        while self._count() < enough:
            if time.monotonic() > deadline:
                raise Failed(f"no values for {BACK_S:.0f} s; {tail(self.folder / 'log')}")
            time.sleep(0.5)
        time.sleep(AFTER_S)

    def _count(self) -> int:
        self.product.ask("count")
        return int(self.product.line("COUNT", 30.0)[1])


def outages(given: Given) -> Iterator[Row]:
    """TCP cut for 5 s, server restarted, gateway killed with -9 and back after 5 s; signed and encrypted."""
    peers: dict[str, Opened] = {
        "node-opcua": _node,
        "asyncua": _asyncua,
        "open62541": partial(_open62541, given.open62541),
    }
    faults = {"TCP cut for 5 s": Rig.cut, "server restarted": Rig.restart, "gateway kill -9, 5 s": Rig.kill}
    cases = [(f"{what}, {name}", opened, happens) for name, opened in peers.items() for what, happens in faults.items()]
    cases.insert(2, ("server with history restarted, node-opcua", _historian, Rig.restart))
    for row, opened, happens in cases:
        try:
            yield _measured(row, opened, happens)
        except (Skipped, Failed) as why:
            yield untold(row, "0", why)


def _node(folder: Path, port: int) -> AbstractContextManager[Source]:
    return node_opcua(TAGS, f"--pki={folder / 'peer'}", port=port)


@contextmanager
def _historian(folder: Path, port: int) -> Iterator[Source]:
    with _node(folder, port) as source:
        yield replace(source, tags=10, letter="h")


def _asyncua(folder: Path, port: int) -> AbstractContextManager[Source]:
    return stock_asyncua(TAGS, *_pair(folder, "urn:bench:asyncua"), port=port)


def _open62541(command: str, folder: Path, port: int) -> AbstractContextManager[Source]:
    return open62541(command, TAGS, *_pair(folder, "urn:bench:open62541"), port=port)


def _pair(folder: Path, uri: str) -> tuple[Path, Path]:
    """Give the server's certificate and key, which stay the same when it is started again."""
    own = folder / "peer" / "own"
    if not own.exists():
        _certificate(folder / "peer", uri)
    return own / "certs" / "andon.der", own / "private" / "andon.pem"


def _certificate(folder: Path, uri: str) -> None:
    command = [
        sys.executable,
        "-m",
        "gateway.cli.main",
        "cert",
        "new",
        str(folder),
        "--uri",
        uri,
        "--host",
        "127.0.0.1",
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    if done.returncode:
        raise Failed(f"andon cert new: {done.stderr.strip()[-200:]}")


def _measured(name: str, opened: Opened, happens: Callable[[Rig], None]) -> Row:
    with tempfile.TemporaryDirectory(prefix="andon-bench-out-") as place, ExitStack() as stack:
        folder, port = Path(place), free_port()
        server, gateway = stack.enter_context(ExitStack()), stack.enter_context(ExitStack())
        source = server.enter_context(opened(folder, port))
        pki = folder / "pki"
        _certificate(pki, "urn:bench:andon")
        asyncio.run(_trust(port, pki))
        link = stack.enter_context(started(script("delay.py", str(port)), "the link"))
        away = source.behind(int(link.line("READY", 10.0)[1]))
        line = settings(away, queue=300, survive="120s", pki=str(pki), tolerate=["host"], insecure=False)
        child = gateway.enter_context(product(line, folder))
        rig = Rig(folder, lambda: opened(folder, port), line, server, source, link, gateway, child)
        child.line("LIVE", LIVE_S)
        time.sleep(BEFORE_S)
        happens(rig)
        rig.settle()
        gateway.close()
        found = tally(folder / "store", source.tags, source.grid, source.grid.tick(time.time_ns() // 1000 + _MICRO))
    return _verdict(name, found, source, restarted=happens is Rig.restart)


def _verdict(name: str, found: Tally, source: Source, *, restarted: bool) -> Row:
    there = found.seen > 0
    missing = found.holes()
    note = f"{int(there.sum())} values, {found.twice()} twice, {missing} missing, {len(found.gaps)} gap records"
    unsaid = _unsaid(found, source) if restarted else missing
    return Row(name, unsaid + found.twice(), None, "values", None, "0", unsaid + found.twice() == 0, note)


def _unsaid(found: Tally, source: Source) -> int:
    """Count the missing values between a tag's first and last that stand in no gap record."""
    grid = source.grid
    there = found.seen > 0
    said = np.zeros_like(there)
    for gap in found.gaps:
        start, end = ((ticks(at) - grid.start_us) // grid.period_us for at in (gap.start, gap.end))
        for _, tag in gap.tags:
            said[int(tag[1:]), max(0, int(start)) : max(0, int(end) + 1)] = True
    first = there.argmax(1)
    last = there.shape[1] - 1 - there[:, ::-1].argmax(1)
    span = np.arange(there.shape[1])
    inside = (span >= first[:, None]) & (span <= last[:, None])
    return int((inside & ~there & ~said).sum())


async def _trust(port: int, pki: Path) -> None:
    """Take the server's certificate as an engineer would who stands beside it."""
    client = Client(f"opc.tcp://127.0.0.1:{port}")
    for endpoint in await client.connect_and_get_server_endpoints():
        if endpoint.ServerCertificate:
            folder = pki / "trusted" / "certs"
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "server.der").write_bytes(endpoint.ServerCertificate)
            return
    raise Failed("the server offers no certificate")
