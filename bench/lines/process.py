"""Processes of a bench: started, pinned to a core, measured from outside, ended by who started them."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from queue import Empty, SimpleQueue

import psutil

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
END_S = 10.0


class Skipped(Exception):
    """What a row needs is not here; the words say what."""


class Failed(Exception):
    """A row could not be measured; the words say why."""


class Process:
    """A child of this bench. `line` gives what it prints; `cpu_s` is user and system time with its children."""

    def __init__(self, child: "subprocess.Popen[str]", what: str) -> None:
        self._child, self.what = child, what
        self._known = psutil.Process(child.pid)
        self._lines: SimpleQueue[str] = SimpleQueue()
        threading.Thread(target=self._read, daemon=True).start()

    @property
    def pid(self) -> int:
        """The child's process id."""
        return self._child.pid

    @property
    def running(self) -> bool:
        """Whether it has not ended."""
        return self._child.poll() is None

    def _read(self) -> None:
        for line in self._child.stdout or ():
            self._lines.put(line.rstrip("\n"))
        self._lines.put("")

    def line(self, start: str, timeout: float) -> list[str]:
        """Wait for a printed line that starts with a word and give its words. Raises `Failed`."""
        while True:
            try:
                found = self._lines.get(timeout=timeout)
            except Empty:
                raise Failed(f"{self.what}: no {start} within {timeout:.0f} s") from None
            if not found and not self.running:
                raise Failed(f"{self.what} ended with {self._child.poll()}")
            if found.startswith(start):
                return found.split()

    def ask(self, line: str) -> None:
        """Write one line to its standard input."""
        if self._child.stdin:
            self._child.stdin.write(line + "\n")
            self._child.stdin.flush()

    def send(self, number: int) -> None:
        """Send a signal."""
        self._child.send_signal(number)

    def cpu_s(self) -> float:
        """Give the CPU seconds that it and its children have used. Raises `Failed` when it is gone."""
        try:
            return sum(_used(process) for process in (self._known, *self._known.children(recursive=True)))
        except psutil.NoSuchProcess:
            raise Failed(f"{self.what} is gone") from None

    def rss_mib(self) -> float:
        """Give the resident memory of it and its children in MiB."""
        total = 0
        with suppress(psutil.NoSuchProcess):
            for process in (self._known, *self._known.children(recursive=True)):
                with suppress(psutil.NoSuchProcess):
                    total += process.memory_info().rss
        return total / 1024**2

    def end(self, number: int = signal.SIGTERM) -> None:
        """Tell it to end, and wait; then kill it."""
        children = []
        with suppress(psutil.NoSuchProcess):
            children = self._known.children(recursive=True)
        with suppress(ProcessLookupError):
            self._child.send_signal(number)
        try:
            self._child.wait(END_S)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait(END_S)
        for left in children:
            with suppress(psutil.NoSuchProcess):
                left.kill()


def _used(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


@contextmanager
def started(
    command: Sequence[str | Path],
    what: str,
    *,
    core: int | None = None,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    errors: Path | None = None,
) -> Iterator[Process]:
    """Run a program while the block runs; `core` pins all its threads, `errors` keeps what it complains of."""
    words = [str(word) for word in command]
    if core is not None:
        words = ["taskset", "-c", str(core), *words]
    given = {**os.environ, "OMP_NUM_THREADS": "1", **(env or {})}
    with (errors or Path(os.devnull)).open("a") as complaints:
        child = subprocess.Popen(
            words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=complaints, text=True, env=given, cwd=cwd
        )
    process = Process(child, what)
    try:
        yield process
    finally:
        process.end()


def script(name: str, *arguments: str | Path) -> list[str | Path]:
    """Give the command that runs a script of this folder with this Python."""
    return [sys.executable, HERE / name, *arguments]


def cores() -> tuple[int, int]:
    """Give the core for what is measured and the one for its load; the same one where there is only one."""
    allowed = sorted(os.sched_getaffinity(0))
    return allowed[-1], allowed[0]
