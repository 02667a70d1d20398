"""Acknowledged writes per second into the embedded store (`synchronous=FULL`), 200 producers, group commit.

The baseline is the same store with one producer that waits for each commit: one commit each. A row is what
was appended: a batch of one value, or the values of a batch. Reading back is the way that diagnosis reads: whole
batches in order.
"""

import asyncio
import random
import struct
import sys
import tempfile
import time
from array import array
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial

from report import Row, arguments, publish

from gateway.core.batch import Batch
from gateway.core.ports import Store, Tx
from gateway.core.reading import Quality, Reading
from gateway.core.report import QualityReport
from gateway.core.series import Layout, Place, Series
from gateway.core.units import Size
from gateway.store.settings import Settings

NOW = datetime(2026, 1, 1, tzinfo=UTC)
PRODUCERS = 200
VALUES = 50
BIG = 1000
CHANCE = random.Random(1)  # noqa: S311  (noise that is the same in every run)
NOISE = array("d", (CHANCE.gauss(20.0, 0.3) for _ in range(100_000)))
LAYOUTS = {
    count: (Layout([Place("M", f"t{tag}", "A") for tag in range(count)]), struct.pack(f"<{count}I", *range(count)))
    for count in (VALUES, BIG)
}


def reports(number: int) -> Callable[[Tx], object]:
    """Make the step that takes one report."""
    report = QualityReport(id=f"r{number}", text="gearbox noisy, bearing hot / 减速机异响", reported_at=NOW)
    return lambda tx: tx.take_report(report, NOW)


def single(number: int) -> Callable[[Tx], object]:
    """Make the step that journals one batch of one value."""
    batch = Batch("bench", number + 1, NOW, (Reading("M", "t", float(number), "A", Quality.GOOD, NOW, NOW, NOW),))
    return lambda tx: tx.append(batch)


def columns(number: int, count: int = VALUES) -> Callable[[Tx], object]:
    """Make the step that journals one batch of values in columns, each with its own time and a noisy value."""
    layout, places = LAYOUTS[count]
    start = number * count % (len(NOISE) - count)
    times = struct.pack(f"<{count}q", *range(number, number + count))
    block = Series(layout, NOW, number, "<f8", places, NOISE[start : start + count].tobytes(), sourced=times)
    batch = Batch("bench", number + 1, NOW, series=(block,))
    return lambda tx: tx.append(batch)


def batches(number: int) -> Callable[[Tx], object]:
    """Make the step that journals one batch of 50 values."""
    values = (Reading("M", f"t{tag}", float(number), "A", Quality.GOOD, NOW, NOW, NOW) for tag in range(VALUES))
    batch = Batch("bench", number + 1, NOW, tuple(values))
    return lambda tx: tx.append(batch)


async def rate(
    store: Store, step: Callable[[int], Callable[[Tx], object]], producers: int, each: int, first: int
) -> float:
    """Give the steps per second that were acknowledged."""

    async def produce(producer: int) -> None:
        for number in range(each):
            await store.write(step(first + producer * each + number))

    began = time.perf_counter()
    await asyncio.gather(*(produce(producer) for producer in range(producers)))
    return producers * each / (time.perf_counter() - began)


async def written(name: str, step: Callable[[int], Callable[[Tx], object]], values: int, each: int) -> Row:
    """Measure writing, against one commit each."""
    with tempfile.TemporaryDirectory() as folder:
        store = Settings(path=folder, journal_budget=Size(8 * 1024**3)).open()
        try:
            base = await rate(store, step, 1, 2 * each, 0) * values
            ours = max([await rate(store, step, PRODUCERS, each, turn * 1_000_000) * values for turn in (1, 2)])
        finally:
            await store.close()
    return Row(name, ours, base, "1/s", ours / base, "", ok=True)


async def read_back(each: int) -> Row:
    """Measure reading big columnar batches back, against turning each value into an object."""
    with tempfile.TemporaryDirectory() as folder:
        store = Settings(path=folder).open()
        try:
            for number in range(each):
                await store.write(columns(number, BIG))
            began = time.perf_counter()
            rows = await store.read(lambda tx: tx.batches_after(0, limit=each))
            took = time.perf_counter() - began
            began = time.perf_counter()
            seen = sum(1 for _, batch in rows for _ in batch.values())
            objects = took + time.perf_counter() - began
        finally:
            await store.close()
    return Row(f"values read back, {BIG} a batch", seen / took, seen / objects, "1/s", objects / took, "", ok=True)


async def measure(each: int) -> list[Row]:
    """Take the figures."""
    return [
        await written("reports", reports, 1, each),
        await written("journalled batches of one value", single, 1, each),
        await written(f"journalled values, {VALUES} a batch", batches, VALUES, each),
        await written(f"journalled values in columns, {VALUES} a batch", columns, VALUES, each),
        await written(
            f"journalled values in columns, {BIG} a batch", partial(columns, count=BIG), BIG, max(each // 10, 2)
        ),
        await read_back(4 * each),
    ]


def main() -> int:
    """Measure and print."""
    options = arguments("store")
    publish("store", asyncio.run(measure(20 if options.quick else 200)), options.output)
    return 0


if __name__ == "__main__":
    sys.exit(main())
