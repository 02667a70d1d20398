"""A machine that takes jobs, as a real process, with the words of `tests.erp_process.Erp` where they mean something."""

import asyncio
import json
import select
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from tests.erp_process import ROOT

RECEIVER = "nsu=urn:andon:machine;s=JobOrderControl"
RESPONSES = "nsu=urn:andon:machine;s=JobOrderResults"


class JobMachine:
    """The running machine: its endpoint, its faults, its jobs."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self.endpoint = str(self._told("READY")["endpoint"])

    def tell(self, **command: object) -> dict[str, Any]:
        """Give one command; gives the reply."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(command) + "\n")
        self._process.stdin.flush()
        return self._told("OK")

    def _told(self, word: str) -> dict[str, Any]:
        assert self._process.stdout is not None
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            if select.select([self._process.stdout], [], [], 0.5)[0]:
                line = self._process.stdout.readline()
                assert line.startswith(f"{word} "), line or "the machine ended"
                return dict(json.loads(line.removeprefix(f"{word} ")))
        raise AssertionError("the machine said nothing")

    def faults(self, *rules: dict[str, Any], seed: int = 1) -> None:
        known = ("kind", "path", "reference", "count", "seconds")
        self.tell(faults=[{name: rule[name] for name in known if name in rule} for rule in rules])

    def down(self, seconds: float, mode: str = "closed") -> None:
        assert mode == "closed"
        self.tell(down=seconds)

    def state(self) -> dict[str, Any]:
        return self.tell(state=True)

    def commits(self, key: str) -> int:
        return int(self.state()["commits"].get(key, 0))

    async def until(self, seen: Callable[[dict[str, Any]], bool], seconds: float = 20.0) -> dict[str, Any]:
        """Wait until the machine says so; fails with what it says after the deadline."""
        deadline = time.monotonic() + seconds
        while not seen(state := self.state()):
            assert time.monotonic() < deadline, state
            await asyncio.sleep(0.02)
        return state


@contextmanager
def running_machine(*options: str) -> Iterator[JobMachine]:
    """Start a machine and end it again, by its own process."""
    process = subprocess.Popen(
        [sys.executable, "-m", "simulators.jobcontrol", *options],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield JobMachine(process)
    finally:
        process.terminate()
        code = process.wait(20)
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()
    assert code == 0
