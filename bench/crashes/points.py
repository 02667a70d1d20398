"""Every call of accept-and-deliver that can be seen from outside as a place to die: counted, and each one tried."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from crashes.once import Job, key_of
from crashes.victims import CALLS, Death, Share, Work, open_store

REPORTS = 3
LIMIT_S = 1800.0
_HERE = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Tally:
    """What became of every point. `bad` names those where an order was lost, made twice or not delivered."""

    points: int
    killed: int
    bad: tuple[str, ...]


def missing() -> str:
    """Say what is not here; empty when all is."""
    return "" if shutil.which("cc") else "there is no C compiler for bench/crashes/shim.c"


def enumerate_points(
    job: Callable[[Path, Sequence[str]], Job], commits: Callable[[], dict[str, int]], at_once: int
) -> Tally:
    """Try every point. `job(folder, names)` makes a job; `commits()` counts orders in the ERP's own database.

    Raises `RuntimeError` when it fails without a kill.
    """
    with tempfile.TemporaryDirectory() as kept:
        here = Path(kept)
        shim = here / "shim.so"
        subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", shim, _HERE / "shim.c", "-ldl"], check=True)
        open_store(here / "store")
        plain = job(_made(here, "plain"), _names("plain"))
        warm = [job(_made(here, f"warm{place}"), _names(f"warm{place}")) for place in range(at_once)]
        [counted] = _worked(shim, [Work(plain, "", 0)], warm[:1])
        if counted.why:
            raise RuntimeError(f"accept-and-deliver failed without a kill: {counted.why}")
        points = [(name, at + 1) for name in CALLS for at in range(counted.calls[name])]
        works = [Work(job(_made(here, f"{name}{at}"), _names(f"{name}{at}")), name, at) for name, at in points]
        deaths = _worked(shim, works, warm)
        there = commits()
        bad = [told for work, death in zip(works, deaths, strict=True) if (told := _wrong(work, death, there))]
        return Tally(len(points), sum(death.killed for death in deaths), tuple(bad))


def _wrong(work: Work, death: Death, there: dict[str, int]) -> str:
    """Say what is wrong after a death and the work of who came after; empty when nothing is."""
    acks = Path(work.job.acks)
    acked = set(acks.read_text().split()) if acks.exists() else set[str]()
    made = {report: there.get(key_of(report), 0) for report in work.job.names}
    wrong = [report for report, count in made.items() if count > 1 or (report in acked and count != 1)]
    why = death.why or (f"lost or twice: {', '.join(wrong)}" if wrong else "")
    return why and f"{work.call} {work.at}: {why}"


def _made(here: Path, name: str) -> Path:
    """Make a folder with a store that has its tables: what is killed is accepting and delivering."""
    shutil.copytree(here / "store", here / name / "store")
    return here / name


def _names(point: str) -> list[str]:
    return [f"{point}-{number}" for number in range(REPORTS)]


def _worked(shim: Path, works: Sequence[Work], warm: Sequence[Job]) -> list[Death]:
    """Have the works done by a process for each warm-up at once; gives what became of each, in order."""
    at_once = len(warm)
    paths = f"{_HERE.parents[1]}{os.pathsep}{_HERE.parent}"
    given = {
        **os.environ,
        "PYTHONPATH": paths,
        "OMP_NUM_THREADS": "1",
        "LD_PRELOAD": str(shim),
        "CRASH_SHIM": str(shim),
    }
    shares = [Share(job, works[place::at_once]) for place, job in enumerate(warm)]
    children = []
    for share in shares:
        child = subprocess.Popen(
            [sys.executable, "-m", "crashes.victims"], env=given, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        children.append((child, msgspec.json.encode(share)))
    found: list[list[Death]] = []
    try:
        for child, text in children:
            if child.stdin is not None:
                child.stdin.write(text)
                child.stdin.close()
        for child, _ in children:
            told = child.stdout.read() if child.stdout is not None else b""
            found.append(msgspec.json.decode(told, type=list[Death]))
    finally:
        for child, _ in children:
            child.kill()
            child.wait()
    deaths: list[Death | None] = [None] * len(works)
    for place, share_of in enumerate(found):
        deaths[place::at_once] = share_of
    return [death for death in deaths if death is not None]
