"""One OPC UA line into a real store: as a process that can be killed (`-m tests.opcua_gateway FOLDER`), or here."""

import asyncio
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import partial
from itertools import pairwise
from pathlib import Path

import msgspec

from connectors.line.opcua import Settings
from connectors.line.opcua.link import Stage
from connectors.line.opcua.source import OpcUa
from gateway.core.batch import Batch, SourceGap
from gateway.core.ports import Store, Tx
from gateway.core.units import decode
from gateway.flow.ingest import ingest
from gateway.runtime.supervise import supervise
from gateway.store.settings import Settings as StoreSettings
from tests.line_rigs import settings_of, until

ROOT = Path(__file__).parents[1]


async def forever(folder: Path) -> None:
    """Ingest until it is ended; the number of values stored stands in FOLDER/count."""
    settings = msgspec.json.decode((folder / "line.json").read_bytes(), type=Settings, dec_hook=decode)
    store = StoreSettings(path=str(folder / "store")).open()
    stored = 0

    def noted(batch: Batch) -> None:
        nonlocal stored
        stored += batch.count
        (folder / "count").write_text(str(stored))

    async def job() -> None:
        await ingest(settings.open(), store, noted)

    running = asyncio.create_task(supervise("line", job))
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, running.cancel)
    try:
        await asyncio.wait({running})
    finally:
        await store.close()


class Gateway:
    """The process, and what it has stored. `fields` are those of `[line.cell]`."""

    def __init__(self, folder: Path, **fields: object) -> None:
        self.folder = folder
        self.configure(**fields)
        self._process: subprocess.Popen[bytes] | None = None

    def configure(self, **fields: object) -> None:
        """Write other settings; they hold from the next start."""
        (self.folder / "line.json").write_bytes(msgspec.json.encode({"name": "cell", **fields}))

    async def start(self, *, values: int = 1, seconds: float = 60) -> None:
        """Start it, and wait until it has stored some values."""
        (self.folder / "count").unlink(missing_ok=True)
        await asyncio.to_thread(self._start)
        await self.stored(values, seconds)

    def _start(self) -> None:
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.opcua_gateway", str(self.folder)], cwd=ROOT, stdout=log, stderr=log
            )

    async def stored(self, values: int, seconds: float = 60) -> None:
        """Wait until this run has stored so many values."""
        deadline = time.monotonic() + seconds
        while self._count() < values:
            assert self._process is not None and self._process.poll() is None, self.log()
            assert time.monotonic() < deadline, f"{self._count()} of {values} stored\n{self.log()}"
            await asyncio.sleep(0.05)

    def _count(self) -> int:
        try:
            return int((self.folder / "count").read_text() or 0)
        except FileNotFoundError:
            return 0

    def log(self) -> str:
        """Give the end of what it logged."""
        return (self.folder / "log").read_text()[-8000:]

    async def kill(self, how: signal.Signals = signal.SIGKILL) -> None:
        """End it: at once, or as it is asked to."""
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(how)
            await asyncio.to_thread(process.wait, 30)

    async def journal(self) -> list[Batch]:
        """Give every batch that was committed. The process must have ended."""
        store = StoreSettings(path=str(self.folder / "store")).open()
        try:
            batches: list[Batch] = []
            after = 0
            while page := await store.read(partial(_page, after)):
                after = page[-1][0]
                batches += [batch for _, batch in page]
            return batches
        finally:
            await store.close()


class Line:
    """An OPC UA line that is ingested in this process into a real store, and supervised."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.batches: list[Batch] = []
        self.sources: list[OpcUa] = []

    async def ingest(self, store: Store) -> None:
        """Open a new source and ingest it until its link is lost."""
        source = self._settings.open()
        assert isinstance(source, OpcUa)
        self.sources.append(source)
        await ingest(source, store, self.batches.append)

    @property
    def source(self) -> OpcUa:
        """The source that runs now."""
        return self.sources[-1]

    def ticks(self) -> dict[str, list[float]]:
        """Give the numbers of each tag."""
        return series_of(self.batches)

    async def live(self) -> None:
        """Wait until the link is live."""
        await until(lambda: self.sources and self.source.stage is Stage.LIVE, 60)

    async def more(self, values: int) -> None:
        """Wait until so many more values are stored."""
        wanted = sum(batch.count for batch in self.batches) + values
        await until(lambda: sum(batch.count for batch in self.batches) >= wanted, 60)

    def whole(self) -> bool:
        """Whether no tick is missing and none is there twice."""
        ticks = self.ticks()
        return bool(ticks) and not holes(ticks) and not twice(ticks)


@asynccontextmanager
async def running(folder: Path, **fields: object) -> AsyncIterator[Line]:
    """Run a line until the block ends; what it raised, other than a lost link, is raised."""
    line = Line(settings_of(Settings, name="cell", **fields))
    store = StoreSettings(path=str(folder / "store")).open()
    task = asyncio.create_task(supervise("line", partial(line.ingest, store), first_s=0.2))
    try:
        yield line
    finally:
        task.cancel()
        await asyncio.wait({task}, timeout=20)
        await store.close()
    if not task.cancelled():
        task.result()


def _page(after: int, tx: Tx) -> list[tuple[int, Batch]]:
    return list(tx.batches_after(after, limit=500))


def series_of(batches: list[Batch]) -> dict[str, list[float]]:
    """Give the numbers of each tag in the order in which they were stored; what has no value is left out."""
    found: dict[str, list[float]] = {}
    for batch in batches:
        for reading in batch.values():
            if isinstance(reading.value, int | float) and not reading.repeated:
                found.setdefault(reading.tag, []).append(float(reading.value))
    return found


def gaps_of(batches: list[Batch]) -> list[SourceGap]:
    """Give the gaps that were recorded."""
    return [gap for batch in batches for gap in batch.gaps]


def holes(ticks: Mapping[str, list[float]]) -> dict[str, list[tuple[float, float]]]:
    """Give, per tag, the neighbours in its sorted ticks between which some are missing."""
    pairs = {tag: [(a, b) for a, b in pairwise(sorted(values)) if b - a > 1] for tag, values in ticks.items()}
    return {tag: found for tag, found in pairs.items() if found}


def twice(ticks: Mapping[str, list[float]]) -> dict[str, int]:
    """Count, per tag, the ticks that were stored more than once."""
    again = {tag: len(values) - len(set(values)) for tag, values in ticks.items()}
    return {tag: count for tag, count in again.items() if count}


if __name__ == "__main__":
    asyncio.run(forever(Path(sys.argv[1])))
