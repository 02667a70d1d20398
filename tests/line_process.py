"""Starts `line_gateway.py`, kills it, and reads what it journalled."""

import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from gateway.core.batch import Batch
from gateway.store.settings import Settings as StoreSettings

PROGRAM = Path(__file__).with_name("line_gateway.py")
_FIRST = datetime(2000, 1, 1, tzinfo=UTC)
_LAST = datetime(2100, 1, 1, tzinfo=UTC)


class LineProcess:
    """One source in a process of its own, with a store that outlives it."""

    def __init__(self, folder: Path, protocol: str, **settings: Any) -> None:
        self._folder, self._protocol, self._settings = folder / "data", protocol, settings
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and wait until its store is open."""
        told = msgspec.json.encode(self._settings).decode()
        command = [sys.executable, str(PROGRAM), str(self._folder), self._protocol, told]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL)
        assert self._process.stdout is not None
        assert self._process.stdout.readline().strip() == b"READY"

    def kill(self) -> None:
        """Kill it with -9."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.communicate(timeout=20)

    async def journal(self) -> list[Batch]:
        """Give every batch that was committed; only while it does not run."""
        assert self._process is None
        store = StoreSettings(path=str(self._folder)).open()
        try:
            found: list[Batch] = []
            after = 0
            while rows := await store.read(lambda tx, after=after: tx.batches_after(after, limit=500)):
                found += [batch for _, batch in rows]
                after = rows[-1][0]
            return found
        finally:
            await store.close()
