"""One OPC UA line into a real store, as a process that can be killed: `python -m tests.opcua_gateway FOLDER`."""

import asyncio
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from functools import partial
from itertools import pairwise
from pathlib import Path

import msgspec

from connectors.line.opcua import Settings
from gateway.core.batch import Batch, SourceGap
from gateway.core.ports import Tx
from gateway.core.units import decode
from gateway.flow.ingest import ingest
from gateway.runtime.supervise import supervise
from gateway.store.settings import Settings as StoreSettings

ROOT = Path(__file__).parents[1]


async def run(folder: Path) -> None:
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
    asyncio.run(run(Path(sys.argv[1])))
