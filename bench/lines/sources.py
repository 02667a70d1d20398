"""Load sources: ours, node-opcua, and an open62541 server that is given by its path."""

import os
import shlex
import shutil
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from lines.grid import EPOCH_US, NAMESPACE, SECOND, Grid
from lines.process import ROOT, Process, Skipped, script, started

START_S = 90.0
PEER = ROOT / "tests" / "peers" / "node_opcua" / "server.js"
_MS = 1000


@dataclass(frozen=True, slots=True)
class Source:
    """A running load source: where it is, what it says, its process.

    `index` is its namespace's number in this run, `letter` what a tag's number follows in its node id.
    """

    name: str
    port: int
    uri: str
    tags: int
    grid: Grid
    process: Process
    index: int = 2
    letter: str = "t"

    def behind(self, port: int) -> "Source":
        """The same source, reached by another port."""
        return replace(self, port=port)


def free_port() -> int:
    """Give a port that was free a moment ago."""
    with socket.socket() as place:
        place.bind(("127.0.0.1", 0))
        return int(place.getsockname()[1])


@contextmanager
def load(
    tags: int, *, core: int | None = None, double: bool = False, port: int = 0, period: float = 0.1
) -> Iterator[Source]:
    """Run our own load source; `period` is seconds between two values of a tag."""
    more = ["--double"] if double else []
    command = script("opcua_load.py", "--tags", str(tags), "--port", str(port), "--period", str(period), *more)
    with started(command, "load", core=core) as child:
        _, found, start = child.line("READY", START_S)
        grid = Grid(int(start), round(period * SECOND), mixed=not double)
        yield Source("own load source", int(found), NAMESPACE, tags, grid, child)


@contextmanager
def node_opcua(
    tags: int, *options: str, core: int | None = None, period_ms: int = 100, port: int = 0
) -> Iterator[Source]:
    """Run the node-opcua server of the tests. Raises `Skipped` where it is not installed."""
    home = Path(os.environ.get("XDG_CACHE_HOME", str(Path.home() / ".cache"))) / "andon-peers"
    found = sorted(path.parent for path in home.glob("node-opcua-*/.done"))
    if not shutil.which("node") or not found or not PEER.exists():
        raise Skipped("node-opcua is not installed (tools/services)")
    at = port or free_port()
    command = ["node", PEER, str(at), str(tags), str(period_ms), *options]
    env = {"NODE_PATH": str(found[-1] / "node_modules")}
    with started(command, "node-opcua", core=core, env=env) as child:
        child.line("READY", START_S)
        yield Source("node-opcua", at, "urn:peer:line", tags, _since_epoch(period_ms), child)


def _since_epoch(period_ms: int) -> Grid:
    """Give the grid of a source that counts its ticks from EPOCH_US; this run's tick 0 is now."""
    base = (time.time_ns() // 1000 - EPOCH_US) // (period_ms * _MS)
    return Grid(EPOCH_US + base * period_ms * _MS, period_ms * _MS, base, spread=1, mixed=False)


@contextmanager
def stock_asyncua(
    tags: int, *pair: Path, core: int | None = None, period_ms: int = 100, port: int = 0
) -> Iterator[Source]:
    """Run the library's own server; `pair` is its certificate and its key."""
    at = port or free_port()
    command = script("asyncua_server.py", str(at), str(tags), str(period_ms), *pair)
    with started(command, "asyncua server", core=core) as child:
        child.line("READY", START_S)
        yield Source("asyncua", at, NAMESPACE, tags, _since_epoch(period_ms), child)


@contextmanager
def open62541(
    command: str, tags: int, *pair: Path, core: int | None = None, period_ms: int = 100, port: int = 0
) -> Iterator[Source]:
    """Run an open62541 server: `COMMAND PORT TAGS PERIOD_MS [CERTIFICATE KEY]`, which prints READY and its URI.

    Its nodes are s=t0.., Double; all have the number of the period since 2026-01-01 UTC as their value.
    """
    if not command:
        raise Skipped("no open62541 server given (--open62541 COMMAND)")
    at = port or free_port()
    words = [*shlex.split(command), str(at), str(tags), str(period_ms), *pair]
    with started(words, "open62541", core=core) as child:
        _, uri = child.line("READY", START_S)[:2]
        grid = replace(_since_epoch(period_ms), timed=False)
        yield Source("open62541", at, uri, tags, grid, child)
