"""From a simulated line's journal to the order, and back: each decision comes out of its capsule again."""

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from gateway.core.asset import Asset, Bearing, Plant, Site
from gateway.core.batch import Batch
from gateway.core.reading import LogLine, Quality, Reading, ThermalFrame, Waveform
from gateway.diagnosis.diagnoser import open_diagnoser
from gateway.flow.book import Book
from gateway.flow.cut import Cutter
from gateway.flow.diagnose import Diagnosing
from gateway.flow.episode import Rules
from gateway.runtime.proof import dossier_of, prove
from gateway.store.settings import Settings
from nlp.logs import open_log_modality
from tests.sealed_orders import BUNDLE

START = datetime(2026, 1, 1, tzinfo=UTC)
STEP = timedelta(seconds=2)
SICK = ("bearing_outer_race", "bearing_inner_race", "imbalance", "overheating")


def recorded(folder: Path) -> list[Path]:
    """Have the simulator record a machine: three sound runs to learn from, then its faults."""
    command = [sys.executable, "-m", "simulators.dataset", "--out", str(folder), "--rigs", "1", "--seconds", "10"]
    subprocess.run([*command, "--seed", "20261121"], check=True, stdout=subprocess.DEVNULL, timeout=120)
    return sorted(folder.glob("*.npz"))


def story(runs: list[Path], fault: str) -> list[dict[str, Any]]:
    """Give the sound runs and the worst one of a fault."""
    loaded = [dict(np.load(run, allow_pickle=False)) for run in runs]
    sound = [run for run in loaded if run["fault"] == "healthy"][:3]
    worst = max((run for run in loaded if run["fault"] == fault), key=lambda run: float(run["severity"]))
    return [*sound, worst]


def batches(asset: str, told: list[dict[str, Any]]) -> Iterator[Batch]:
    """Play runs one after the other, a batch every two seconds."""
    number = 0
    for run in told:
        rate = float(run["rate_hz"])
        size = round(rate * STEP.total_seconds())
        for place in range(len(run["waveform"]) // size):
            at = START + number * STEP
            end = at + STEP
            frame = run["frames"][place % len(run["frames"])].astype("<f4")
            values = {"speed": run["speed_rpm"], "temperature": run["temperature_c"], "ambient": run["ambient_c"]}
            wave = run["waveform"][place * size : (place + 1) * size].astype("<f4").tobytes()
            lines = list(zip(run["logs"], run["log_levels"], strict=True))[place : place + 1]
            yield Batch(
                "sim",
                number + 1,
                end,
                readings=tuple(
                    Reading(asset, tag, float(value), "", Quality.GOOD, at, None, end) for tag, value in values.items()
                ),
                waveforms=(Waveform(asset, "vibration", wave, rate, "g", Quality.GOOD, at, None, end),),
                frames=(ThermalFrame(asset, "thermal", frame.tobytes(), *frame.shape, Quality.GOOD, at, None, end),),
                lines=tuple(LogLine(asset, str(text), int(level), at, end) for text, level in lines),
            )
            number += 1


def machine_of(asset: str, run: dict[str, Any]) -> Asset:
    bearing = Bearing(
        balls=int(run["balls"]),
        ball_mm=float(run["ball_mm"]),
        pitch_mm=float(run["pitch_mm"]),
        contact_deg=float(run["contact_deg"]),
    )
    return Asset(id=asset, line="A", bearing=bearing, speed_rpm=float(run["nameplate_rpm"]))


async def test_every_order_of_a_line_is_proven_from_its_capsule(tmp_path: Path) -> None:
    runs = recorded(tmp_path / "runs")
    stories = {f"M-{fault}": story(runs, fault) for fault in SICK}
    plant = Plant(Site(id="SZ1"), tuple(machine_of(asset, told[0]) for asset, told in stories.items()))
    diagnoser = open_diagnoser(BUNDLE, plant, modalities=[open_log_modality(BUNDLE)])
    book = Book(plant, Rules(), b"secret", "main", 0.6, "zh", "cfg")
    store = Settings(path=str(tmp_path / "store")).open()
    try:
        played = [batch for asset, told in stories.items() for batch in batches(asset, told)]
        for batch in sorted(played, key=lambda batch: batch.received_at):
            await store.write(lambda tx, batch=batch: tx.append(batch))
        with ThreadPoolExecutor(1) as pool:
            wake, enough = asyncio.Event(), asyncio.Event()
            told = []

            def count(*seen: object) -> None:
                told.append(seen)
                if len(told) == len(played):
                    enough.set()

            cutter = Cutter(STEP, timedelta(seconds=3))
            working = Diagnosing(
                store, diagnoser, book, lambda: cutter, pool, lambda: START + timedelta(hours=1), wake, wake.set, count
            )
            running = asyncio.create_task(working.run())
            async with asyncio.timeout(120):
                await enough.wait()
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
        orders = await store.read(lambda tx: tx.orders())
        assert {stored.order.asset for stored in orders} >= {"M-bearing_outer_race", "M-imbalance"}
        for stored in orders:
            found = await dossier_of(store, stored.order.key, None)
            assert found is not None
            checks = prove(found, BUNDLE, BUNDLE)
            assert [check for check in checks if check.verdict != "proven"] == [], stored.order.asset
            assert "证据" in stored.order.description
    finally:
        await store.close()
