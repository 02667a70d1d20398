"""Real processes for tests: simulators and gateways that are started, spoken to, and killed by their own id."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

LIMIT_S = 60.0


class Proc:
    """A child process. `ready` is what it said when it was."""

    def __init__(self, child: asyncio.subprocess.Process, log: Path) -> None:
        self.child, self.log = child, log
        self.ready: Mapping[str, Any] = {}

    async def tell(self, **order: object) -> None:
        assert self.child.stdin is not None
        self.child.stdin.write(json.dumps(order).encode() + b"\n")
        await self.child.stdin.drain()

    async def kill(self) -> None:
        """-9."""
        if self.child.returncode is None:
            self.child.kill()
        await self.child.wait()

    async def stop(self) -> int:
        """SIGTERM; the exit code."""
        if self.child.returncode is None:
            self.child.send_signal(signal.SIGTERM)
        async with asyncio.timeout(20):
            return await self.child.wait()

    def said(self) -> str:
        return self.log.read_text("utf-8", "replace")[-3000:]


async def launch(log: Path, *arguments: str, env: Mapping[str, str] | None = None) -> Proc:
    """Start `python -m …` and wait until it says READY or UP."""
    with log.open("ab") as errors:
        child = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            *arguments,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=errors,
            env={**os.environ, "PYTHONUNBUFFERED": "1", "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", **(env or {})},
            limit=1 << 20,
            start_new_session=True,
        )
    process = Proc(child, log)
    assert child.stdout is not None
    try:
        async with asyncio.timeout(LIMIT_S):
            while line := await child.stdout.readline():
                word, _, rest = line.decode().strip().partition(" ")
                if word == "READY":
                    process.ready = json.loads(rest)
                    return process
                if word == "UP":
                    process.ready = {"url": rest}
                    return process
    except BaseException:
        await process.kill()
        raise
    await process.kill()
    raise AssertionError(f"{arguments[0]} did not start:\n{process.said()}")


@asynccontextmanager
async def running(log: Path, *arguments: str, env: Mapping[str, str] | None = None) -> AsyncIterator[Proc]:
    """A process for the length of a block."""
    process = await launch(log, *arguments, env=env)
    try:
        yield process
    finally:
        await process.kill()


async def until(there: Callable[[], Any], what: str, seconds: float = LIMIT_S) -> None:
    """Poll until it is so; names what did not come."""
    try:
        async with asyncio.timeout(seconds):
            while True:
                found = there()
                if asyncio.iscoroutine(found):
                    found = await found
                if found:
                    return
                await asyncio.sleep(0.1)
    except TimeoutError:
        raise AssertionError(f"waited {seconds:.0f} s for {what}") from None
