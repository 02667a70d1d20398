"""Between two water marks: the past gets thinner, is dropped or nothing more comes in; orders are always written."""

import asyncio
import json
import os
import random
import struct
import subprocess
import sys
import tomllib
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from gateway.core.batch import Batch
from gateway.core.errors import Full
from gateway.core.ports import Held, Store, Tx
from gateway.core.series import Layout, Place, Series
from gateway.core.units import Size, decode
from gateway.flow.diagnose import CURSOR
from gateway.flow.ingest import ingest
from gateway.flow.retain import Bounds, Retention
from gateway.store.settings import SAMPLE, Settings
from gateway.store.store import open_store
from tests.contracts.store_rows import order, report
from tests.fakes import at, batch, block
from tests.rig import until

MIB = 1024 * 1024
LAYOUT = Layout([Place("M-01", f"tag{number}", "A") for number in range(100)])
NOISE = random.Random(4)

FILLER = """
import asyncio, json, subprocess, sys
from gateway.core.errors import Full
from gateway.store.settings import Settings
from gateway.core.units import Size
from tests.contracts.store_rows import NOW, order, report
from tests.integration.test_water_marks import values
from tests.fakes import batch

async def main():
    folder = sys.argv[1]
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=12m", "tmpfs", folder], check=True)
    store = Settings(path=folder + "/data", reserve=Size(6 * 1024**2)).open()
    numbers, why = [], ""
    try:
        for n in range(10_000):
            numbers.append(await store.write(lambda tx: tx.append(values(n))))
    except Full as full:
        why = str(full)
    kept = []
    for n in range(200):
        await store.write(lambda tx: (tx.put_order(order(f"k{n}"), "erp", NOW), tx.take_report(report(str(n)), NOW)))
        await store.write(lambda tx: kept.append(tx.keep(bytes([n]) * 5000, "image/png")))
    counts = await store.read(lambda tx: tx.counts())
    await store.close()
    print(json.dumps([len(numbers), why, counts.orders, counts.reports, counts.readings]))

asyncio.run(main())
"""


def values(number: int, count: int = 100) -> Batch:
    """A block of noisy values of a hundred tags, one of each."""
    said = struct.pack(f"<{count}d", *[NOISE.random() for _ in range(count)])
    places = struct.pack(f"<{count}I", *range(count))
    block = Series(LAYOUT, at(number), number, "<f8", places, said)
    return Batch("line", number, at(number), series=(block,))


def settings_of(path: Path, when_full: str = "thin_oldest", budget: int = MIB) -> Settings:
    return Settings(path=str(path / "data"), journal_budget=Size(budget), when_full=when_full, reserve=Size(MIB))


def retention_of(store: Store, settings: Settings, *, diagnosed: bool = False) -> Retention:
    marks = settings.marks()
    thin, drop = settings.when_full == "thin_oldest", settings.when_full != "stop_intake"
    return Retention(store, Bounds(marks.high, marks.low, thin, drop, diagnosed=diagnosed), lambda: at(0))


@pytest.fixture
async def opened() -> AsyncIterator[list[Store]]:
    """Stores to close."""
    stores: list[Store] = []
    yield stores
    for store in stores:
        await store.close()


async def fill(store: Store, size: int, first: int = 1) -> int:
    """Append values until the journal holds so many bytes; gives the next number."""
    number = first
    while (await held(store)).size < size:
        steps = [store.write(lambda tx, n=n: tx.append(values(n))) for n in range(number, number + 50)]
        await asyncio.gather(*steps)
        number += 50
    return number


async def until_full(store: Store, retention: Retention | None) -> tuple[int, str]:
    """Append until a batch is refused; gives its number and the reason."""
    for number in range(1, 100_000):
        try:
            await store.write(lambda tx, n=number: tx.append(values(n)))
        except Full as full:
            return number, str(full)
        if number % 500 == 0 and retention is not None:
            await retention.look()
    raise AssertionError("never full")


async def held(store: Store) -> Held:
    return await store.read(lambda tx: tx.held())


async def audit(store: Store) -> list[str]:
    return [line.event for line in await store.read(lambda tx: list(tx.audit()))]


@pytest.mark.pain(7)
async def test_the_past_gets_coarser_the_older_it_is_and_the_journal_keeps_to_its_budget(
    tmp_path: Path, opened: list[Store]
) -> None:
    settings = settings_of(tmp_path)
    store = settings.open()
    opened.append(store)
    retention = retention_of(store, settings)
    marks = settings.marks()
    number, most = 1, 0
    for _ in range(6):
        number = await fill(store, marks.high + 1, number)
        most = max(most, (await held(store)).size)
        await retention.look()
        assert (await held(store)).size <= marks.low
    assert most <= marks.budget
    found = await held(store)
    rows = await store.read(lambda tx: tx.batches_after(0, limit=100_000))
    assert found.values == sum(one.count for _, one in rows)
    assert found.thinned + found.dropped + found.values == (number - 1) * 100
    assert found.dropped == 0
    left = [one.count for _, one in rows]
    fifth = len(left) // 5
    assert sum(left[-fifth:]) / fifth == 100  # what is new is whole
    per_second = [sum(one.count for n, one in rows if n < number * share) for share in (0.2, 1)]
    assert per_second[0] < 0.1 * per_second[1]
    assert (await audit(store)).count("journal.thinned") == 6


async def test_what_diagnosis_has_not_read_and_what_an_order_stands_on_stays_whole(
    tmp_path: Path, opened: list[Store]
) -> None:
    settings = settings_of(tmp_path)
    store = settings.open()
    opened.append(store)
    number = await fill(store, settings.marks().high + 1)
    half = number // 2
    await store.write(lambda tx: (tx.advance(CURSOR, half), tx.pin("ORDER", [7, 8, 9])))
    retention = retention_of(store, settings, diagnosed=True)
    for _ in range(3):
        await retention.look()
    rows = dict(await store.read(lambda tx: tx.batches_after(0, limit=100_000)))
    assert all(rows[number].count == 100 for number in [7, 8, 9, *range(half, number)])
    assert sum(one.count for one in rows.values()) < number * 100


async def test_drop_oldest_takes_whole_batches_and_counts_them(tmp_path: Path, opened: list[Store]) -> None:
    settings = settings_of(tmp_path, "drop_oldest")
    store = settings.open()
    opened.append(store)
    number = await fill(store, settings.marks().high + 1)
    await retention_of(store, settings).look()
    found = await held(store)
    assert found.size <= settings.marks().low
    assert found.thinned == 0 and found.dropped + found.values == (number - 1) * 100
    rows = await store.read(lambda tx: tx.batches_after(0, limit=100_000))
    assert rows[-1][0] == number - 1 and all(one.count == 100 for _, one in rows)


async def test_stop_intake_refuses_batches_until_there_is_room_and_writes_orders_all_the_time(
    tmp_path: Path, opened: list[Store]
) -> None:
    settings = settings_of(tmp_path, "stop_intake")
    store = open_store(settings)
    opened.append(store)
    number, why = await until_full(store, None)
    assert "high mark" in why
    await retention_of(store, settings).look()
    assert (await held(store)).dropped == (await held(store)).thinned == 0
    assert "high mark" in store.refusing and store.refused == 1
    assert await store.write(lambda tx: tx.put_order(order("K"), "erp", at(0)))
    assert await store.write(lambda tx: tx.take_report(report("r"), at(0)))
    low = settings.marks().low
    await store.write(lambda tx: tx.trim(low + 20_000, 1 << 60))
    with pytest.raises(Full):
        await store.write(lambda tx: tx.append(values(number)))
    await store.write(lambda tx: tx.trim(low, 1 << 60))
    assert await store.write(lambda tx: tx.append(values(number))) == number
    assert store.refusing == ""


async def test_a_journal_that_diagnosis_does_not_empty_stops_at_its_budget(tmp_path: Path, opened: list[Store]) -> None:
    settings = settings_of(tmp_path)
    store = settings.open()
    opened.append(store)
    retention = retention_of(store, settings, diagnosed=True)
    number, why = await until_full(store, retention)
    assert "budget" in why
    assert (await held(store)).size <= settings.journal_budget
    store.bound(msgspec.structs.replace(settings.marks(), budget=2 * MIB))  # more room, without opening it again
    assert await store.write(lambda tx: tx.append(values(number))) == number


class Endless:
    """A source that counts; `batches` says which batch was asked for last."""

    name = "endless"
    asked = 0

    async def batches(self, memory: Mapping[str, bytes]) -> AsyncIterator[Batch]:
        while True:
            self.asked += 1
            yield values(self.asked)

    async def close(self) -> None:
        self.asked = -1


async def test_a_source_keeps_its_link_and_its_batch_while_the_journal_is_full(
    tmp_path: Path, opened: list[Store]
) -> None:
    settings = settings_of(tmp_path, "stop_intake", budget=200_000)
    store = settings.open()
    opened.append(store)
    source = Endless()
    job = asyncio.create_task(ingest(source, store, lambda _: None))
    await until(lambda: store.refusing, "the journal to be full")
    full = source.asked
    await store.write(lambda tx: tx.trim(settings.marks().low, 1 << 60))
    await until(lambda: source.asked > full, "the source to go on")
    job.cancel()
    await asyncio.gather(job, return_exceptions=True)
    rows = await store.read(lambda tx: tx.batches_after(0, limit=100_000))
    numbers = [one.sequence for _, one in rows]
    assert numbers == list(range(numbers[0], numbers[-1] + 1)) and full in numbers


@pytest.mark.pain(7)
def test_raw_data_never_take_the_room_of_orders_and_evidence(tmp_path: Path) -> None:
    alone = ["unshare", "--mount"] if os.geteuid() == 0 else ["unshare", "--mount", "--map-root-user"]
    if subprocess.run([*alone, "mount", "-t", "tmpfs", "tmpfs", str(tmp_path)], check=False).returncode != 0:
        pytest.skip("needs the right to mount a small file system in a namespace of its own")
    done = subprocess.run(
        [*alone, sys.executable, "-c", FILLER, str(tmp_path)],
        capture_output=True, text=True, cwd=Path(__file__).parents[2], timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    appended, why, orders, reports, readings = json.loads(done.stdout)
    assert "kept for orders" in why
    assert (orders, reports, readings) == (200, 200, appended * 100)
    assert appended > 1000


async def test_two_readers_of_one_row_thin_it_once(tmp_path: Path, opened: list[Store]) -> None:
    store = settings_of(tmp_path).open()
    opened.append(store)
    await store.write(lambda tx: tx.append(batch(1, 0, block("M", 0, 1.0), block("M", 1, 1.0))))
    [row] = await store.read(lambda tx: tx.oldest(0, 1 << 60, MIB))
    left = msgspec.structs.replace(row.batch, waveforms=row.batch.waveforms[:1])
    assert await store.write(lambda tx: tx.put_thinned(row, left))
    assert not await store.write(lambda tx: tx.put_thinned(row, left))
    assert (await held(store)).thinned == 1


async def test_messages_are_forgotten_after_a_month_and_not_before(tmp_path: Path, opened: list[Store]) -> None:
    settings = settings_of(tmp_path)
    store = settings.open()
    opened.append(store)
    now = datetime(2026, 3, 1, tzinfo=UTC)

    def come(tx: Tx) -> None:
        for day in range(60):
            tx.first_time("report", str(day), "x", now - timedelta(days=day, hours=1))

    await store.write(come)
    marks = settings.marks()
    await Retention(store, Bounds(marks.high, marks.low), lambda: now).look()
    known = await store.read(lambda tx: [day for day in range(60) if tx.answer_of("report", str(day)) is not None])
    assert known == list(range(30))


def test_the_sample_can_be_read_and_wrong_marks_are_refused() -> None:
    read = msgspec.convert(tomllib.loads(SAMPLE)["store"], Settings, dec_hook=decode)
    assert read.marks().high == int(0.9 * 2 * 1024**3)
    for wrong in ({"low_water": 0.95}, {"high_water": 1.2}, {"low_water": "3GiB"}, {"high_water": "much"}):
        with pytest.raises(msgspec.ValidationError):
            msgspec.convert(wrong, Settings, dec_hook=decode)
