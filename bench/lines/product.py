"""The product in a process of its own: source, `ingest`, SQLite with FULL commits, the live view.

`product.py LINE.json STORE [--forget]` prints `LIVE` when as many values as the line has tags are committed, and
for each line on stdin how many are committed in this run. It runs until it is told to end, and starts a new
source when the link is lost, as `andon up` does. `--forget` keeps nothing: what the line side alone costs.
"""

import asyncio
import importlib
import json
import signal
import sys
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import structlog

from gateway.core.batch import Batch
from gateway.core.units import decode
from gateway.flow.ingest import ingest
from gateway.flow.live import Live
from gateway.runtime.supervise import supervise
from gateway.store.settings import Settings as StoreSettings


class Noted:
    """What happens after each commit: the live view, as in the product, and the word `LIVE` once."""

    def __init__(self, tags: int) -> None:
        self._live, self._tags = Live(), tags
        self.count = 0

    def __call__(self, batch: Batch) -> None:
        """Note one batch."""
        self._live.note(batch)
        before, self.count = self.count, self.count + batch.count
        if before < self._tags <= self.count:
            print("LIVE", flush=True)


async def tell(noted: Noted) -> None:
    """Answer each line on stdin with the count."""
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while await reader.readline():
        print("COUNT", noted.count, flush=True)


async def run(fields: dict[str, Any], folder: Path, *, forget: bool) -> None:
    """Run the line until SIGTERM."""
    settings = importlib.import_module(f"connectors.line.{fields.pop('protocol')}").Settings
    line = msgspec.convert(fields, settings, dec_hook=decode)
    store = await asyncio.to_thread(StoreSettings(path=str(folder)).open)
    noted = Noted(len(line.tag))
    over = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, over.set)

    async def job() -> None:
        if forget:
            async for batch in line.open().batches():
                noted(batch)
        await ingest(line.open(), store, noted)

    try:
        running = asyncio.create_task(supervise(line.name, job))
        ending = asyncio.create_task(over.wait())
        telling = asyncio.create_task(tell(noted))
        telling.add_done_callback(lambda _: over.set())  # who started us is gone
        await asyncio.wait({running, ending}, return_when=asyncio.FIRST_COMPLETED)
        if running.done():
            running.result()
        for task in (running, telling):
            task.cancel()
        await asyncio.gather(running, telling, return_exceptions=True)
    finally:
        await store.close()


def main() -> None:
    """Read the command line and run."""
    structlog.configure(logger_factory=partial(structlog.PrintLogger, sys.stderr))
    line, folder = Path(sys.argv[1]), Path(sys.argv[2])
    asyncio.run(run(json.loads(line.read_text("utf-8")), folder, forget="--forget" in sys.argv))


if __name__ == "__main__":
    main()
