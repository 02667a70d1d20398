"""Acknowledged writes per second into the embedded store (`synchronous=FULL`), 200 producers, group commit.

The baseline is the same store with one producer that waits for each commit: one commit each.
"""

import asyncio
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime

from report import Row, arguments, publish

from gateway.core.batch import Batch
from gateway.core.ports import Store, Tx
from gateway.core.reading import Quality, Reading
from gateway.core.report import QualityReport
from gateway.store.settings import Settings

NOW = datetime(2026, 1, 1, tzinfo=UTC)
PRODUCERS = 200
VALUES = 50


def reports(number: int) -> Callable[[Tx], object]:
    """Make the step that takes one report."""
    report = QualityReport(id=f"r{number}", text="gearbox noisy, bearing hot / 减速机异响", reported_at=NOW)
    return lambda tx: tx.take_report(report, NOW)


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


async def measure(each: int) -> list[Row]:
    """Take the figures."""
    rows = []
    for name, step, values in (
        ("reports", reports, 1),
        (f"journalled values, {VALUES} a batch", batches, VALUES),
    ):
        with tempfile.TemporaryDirectory() as folder:
            store = Settings(path=folder).open()
            try:
                base = await rate(store, step, 1, 2 * each, 0) * values
                ours = await rate(store, step, PRODUCERS, each, 1_000_000) * values
            finally:
                await store.close()
        rows.append(Row(name, ours, base, "1/s", ours / base, "", ok=True))
    return rows


def main() -> int:
    """Measure and print."""
    options = arguments("store")
    publish("store", asyncio.run(measure(20 if options.quick else 200)), options.output)
    return 0


if __name__ == "__main__":
    sys.exit(main())
