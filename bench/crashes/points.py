"""Every system call of accept-and-deliver as a place to die: enumerated under strace, each one tried."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import msgspec

from crashes.once import Job, key_of

CALLS = ("pwrite64", "write", "fdatasync", "fsync", "sendto", "recvfrom", "connect", "ftruncate", "unlink")
"""The calls by which something can be seen from outside the process, or be missing after it."""
REPORTS = 3
LIMIT_S = 60
AHEAD_S = 120.0
"""The process that comes after a kill runs later: a lease that the dead one held is over."""


@dataclass(frozen=True, slots=True)
class Tally:
    """What became of every point. `bad` names those where an order was lost, made twice or not delivered."""

    points: int
    killed: int
    bad: tuple[str, ...]


def missing() -> str:
    """Say what is not here; empty when all is."""
    return "" if shutil.which("strace") else "strace is not installed"


def enumerate_points(
    job: Callable[[Path, Sequence[str]], Job], commits: Callable[[], dict[str, int]], at_once: int
) -> Tally:
    """Try every point. `job(folder, names)` makes a job; `commits()` counts orders in the ERP's own database.

    Raises `RuntimeError` when it fails without a kill.
    """
    with tempfile.TemporaryDirectory() as kept:
        here = Path(kept)
        calls = _counted(job(_made(here / "plain"), _names("plain")), here / "trace")
        points = [(name, number + 1) for name in CALLS for number in range(calls[name])]
        jobs = [job(_made(here / f"{name}{at}"), _names(f"{name}{at}")) for name, at in points]
        with ThreadPoolExecutor(at_once) as pool:
            deaths = list(pool.map(_tried, jobs, points))
        there = commits()
        bad = []
        for one, (name, at), (_, why) in zip(jobs, points, deaths, strict=True):
            acks = Path(one.acks)
            acked = set(acks.read_text().split()) if acks.exists() else set[str]()
            made = {report: there.get(key_of(report), 0) for report in one.names}
            wrong = [report for report, count in made.items() if count > 1 or (report in acked and count != 1)]
            if why or wrong:
                bad.append(f"{name} {at}: {why or 'lost or twice: ' + ', '.join(wrong)}")
        return Tally(len(points), sum(killed for killed, _ in deaths), tuple(bad))


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


def _names(point: str) -> list[str]:
    return [f"{point}-{number}" for number in range(REPORTS)]


def _counted(job: Job, trace: Path) -> Counter[str]:
    if _run(job, "-o", str(trace), "-e", f"trace={','.join(CALLS)}") != 0:
        raise RuntimeError("accept-and-deliver failed without any kill")
    lines = trace.read_text("utf-8", "replace").splitlines()
    # "1234 fdatasync(5) = 0"; the end of a call that another thread interrupted begins with "<...".
    calls = [line.split(maxsplit=1)[-1].partition("(")[0] for line in lines]
    return Counter(name for name in calls if name in CALLS)


def _tried(job: Job, point: tuple[str, int]) -> tuple[bool, str]:
    """Let a process die at one point, and another one end its work; gives whether it died and what went wrong."""
    name, at = point
    code = _run(job, "-o", os.devnull, "-e", f"trace={name}", "-e", f"inject={name}:signal=KILL:when={at}")
    killed = code == -signal.SIGKILL
    if not killed and code != 0:
        return killed, f"ended with {code}"
    code = _run(msgspec.structs.replace(job, names=(), ahead_s=AHEAD_S))
    return killed, "" if code == 0 else f"the one after it ended with {code}"


def _run(job: Job, *strace: str) -> int:
    """Run a job in a process of its own, under strace when it is given options; gives how it ended."""
    traced = ["strace", "-f", "-qq", *strace] if strace else []
    command = [*traced, sys.executable, "-m", "crashes.once", msgspec.json.encode(job).decode()]
    here = Path(__file__).parents[1]
    paths = {"PYTHONPATH": f"{here.parent}{os.pathsep}{here}", "OMP_NUM_THREADS": "1"}
    try:
        ended = subprocess.run(command, env={**os.environ, **paths}, timeout=LIMIT_S, check=False, capture_output=True)
    except subprocess.TimeoutExpired:
        return 1
    # strace dies as what it traced died.
    return ended.returncode
