"""Starts a simulator as a process and talks with it; the process is ended by its own id."""

import contextlib
import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

ROOT = Path(__file__).parents[2]
START_S = 60.0


class Simulator:
    """A running simulator: what its READY line said, and its commands."""

    def __init__(self, process: "subprocess.Popen[bytes]") -> None:
        self.process = process
        assert process.stdin is not None and process.stdout is not None
        self._commands: IO[bytes] = process.stdin
        self._output = process.stdout
        self._rest = b""
        word, _, facts = self.line(START_S).partition(" ")
        assert word == "READY", word
        self.ready = json.loads(facts)

    def line(self, seconds: float = 10.0) -> str:
        """Give the next line of stdout; fails when none comes in time."""
        until = time.monotonic() + seconds
        while b"\n" not in self._rest:
            left = until - time.monotonic()
            assert left > 0 and select.select([self._output], [], [], left)[0], "the simulator said nothing"
            piece = os.read(self._output.fileno(), 65536)
            assert piece, f"the simulator ended: {self.process.wait(5)}"
            self._rest += piece
        line, _, self._rest = self._rest.partition(b"\n")
        return line.decode()

    def tell(self, **command: object) -> str:
        """Send a command and give the answer."""
        self._commands.write(json.dumps(command).encode() + b"\n")
        self._commands.flush()
        return self.line()

    def end_of_input(self) -> None:
        """Close its stdin."""
        self._commands.close()


@contextlib.contextmanager
def running(module: str, *arguments: str) -> Iterator[Simulator]:
    """Run `python -m simulators.<module>` until the block ends; it must end cleanly on SIGTERM."""
    command = [sys.executable, "-m", f"simulators.{module}", *arguments]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT)
    try:
        yield Simulator(process)
        process.terminate()
        assert process.wait(20) == 0
    finally:
        if process.poll() is None:
            process.kill()
            process.wait(10)
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()
