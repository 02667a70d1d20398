"""Decision time: from a complete window to a committed order, on the embedded store and the shipped models.

Every window is a machine of its own with a confirmed trouble, so each decision writes a diagnosis, an
episode, its evidence and capsule, an order, an outbox row and two audit lines, and commits with the disk's word. The
baseline is one bare commit of one row on the same disk in the same run.
"""

import asyncio
import sqlite3
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
from msgspec.structs import replace
from report import Row, arguments, publish

from gateway.core.asset import Asset, Bearing, Plant, Site
from gateway.core.capsule import Grounds
from gateway.core.diagnosis import Diagnosis, Fault
from gateway.core.ports import Diagnoser, Store, Tx
from gateway.core.reading import LogLine, Quality, ThermalFrame, Waveform
from gateway.core.window import Scalar, Window
from gateway.diagnosis.diagnoser import open_diagnoser
from gateway.flow import seal
from gateway.flow.book import Book
from gateway.flow.episode import Rules
from gateway.runtime.making import bundle_of
from gateway.store.settings import Settings
from nlp.logs import open_log_modality

SEED = 20261121
SECONDS = 2.0


def recorded(folder: Path) -> list[Path]:
    """Have the simulator record one rig."""
    subprocess.run(
        [
            sys.executable,
            "-m",
            "simulators.dataset",
            "--out",
            str(folder),
            "--seed",
            str(SEED),
            "--rigs",
            "1",
            "--seconds",
            "6",
        ],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    return sorted(folder.glob("**/*.npz"))


def window_of(run: Path, name: str, number: int) -> tuple[Window, Asset]:
    """Make a window of a recorded run."""
    with np.load(run, allow_pickle=False) as kept:
        rate = float(kept["rate_hz"])
        wave = kept["waveform"][: int(rate * SECONDS)].astype("<f4").tobytes()
        frame = kept["frames"][0].astype("<f4")
        lines = [str(text) for text in kept["log"][:5]] if "log" in kept else []
        bearing = Bearing(
            balls=int(kept["balls"]),
            ball_mm=float(kept["ball_mm"]),
            pitch_mm=float(kept["pitch_mm"]),
            contact_deg=float(kept["contact_deg"]),
        )
        speed = float(kept["nameplate_rpm"])
    start = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=SECONDS * number)
    end = start + timedelta(seconds=SECONDS)
    window = Window(
        name,
        start,
        end,
        (Scalar("speed", "rpm", speed, speed, speed, speed, 1, 0.5),),
        (Waveform(name, "vibration", wave, rate, "g", Quality.GOOD, start, start, end),),
        ThermalFrame(name, "thermal", frame.tobytes(), *frame.shape, Quality.GOOD, start, start, end),
        tuple(LogLine(name, text, 4, start, end) for text in lines),
    )
    return window, Asset(id=name, bearing=bearing, speed_rpm=speed)


class Timed:
    """The step that a decision commits: whatever the models said, the trouble is taken as confirmed."""

    def __init__(self, book: Book, seen: Diagnosis, window: Window, grounds: Grounds | None) -> None:
        self._book, self._window, self._grounds = book, window, grounds
        self._seen = replace(seen, fault=Fault.BEARING_OUTER, confidence=0.95, severity=0.8)

    def __call__(self, tx: Tx) -> int:
        """Conclude it."""
        return len(self._book.conclude(tx, self._seen, self._window, self._window.end, self._grounds))


async def decide(store: Store, diagnoser: Diagnoser, book: Book, windows: list[Window]) -> list[float]:
    """Time each decision alone, in seconds."""
    times = []
    loop = asyncio.get_running_loop()
    for window in windows:
        began = time.perf_counter()
        [(seen, grounds)] = await loop.run_in_executor(None, seal.judged, diagnoser, [window])
        await store.write(Timed(book, seen, window, grounds))
        times.append(time.perf_counter() - began)
    return times


def bare_commits(path: Path, count: int) -> list[float]:
    """Time bare commits of one row with the disk's word, in seconds."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.executescript("PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; CREATE TABLE t (x BLOB)")
    times = []
    for _ in range(count):
        began = time.perf_counter()
        connection.execute("INSERT INTO t VALUES (randomblob(200))")
        times.append(time.perf_counter() - began)
    connection.close()
    return times


async def measure(folder: Path, count: int) -> list[Row]:
    """Take the figures."""
    runs = recorded(folder / "runs")
    made = [window_of(runs[number % len(runs)], f"M-{number}", number) for number in range(count)]
    windows, plant = [window for window, _ in made], Plant(Site(id="B"), tuple(asset for _, asset in made))
    bundle = bundle_of("bundled")
    diagnoser = open_diagnoser(bundle, plant, modalities=[open_log_modality(bundle)])
    book = Book(plant, Rules(confirm=1), b"bench", "", 0.5, "en", "bench")
    store = Settings(path=str(folder / "store")).open()
    try:
        diagnoser.diagnose(windows[:2])  # the first call loads and plans
        times = await decide(store, diagnoser, book, windows)
        orders = await store.read(lambda tx: tx.counts().orders)
    finally:
        await store.close()
    if orders != count:
        raise RuntimeError(f"{count} windows, {orders} orders")
    base = bare_commits(folder / "bare.db", count)
    rows = []
    for name, share in (("p50", 50), ("p95", 95)):
        ours, bare = (float(np.percentile(taken, share)) * 1000 for taken in (times, base))
        rows.append(Row(f"complete window to committed order, {name}", ours, bare, "ms", ours / bare, "", ok=True))
    return rows


def main() -> int:
    """Measure and print."""
    options = arguments("decision")
    with tempfile.TemporaryDirectory() as folder:
        rows = asyncio.run(measure(Path(folder), 40 if options.quick else 300))
    publish("decision", rows, options.output)
    return 0


if __name__ == "__main__":
    sys.exit(main())
