"""Loads under which other gateways' stores lose: bursts, steady streams, an end by SIGTERM; here accepted is stored."""

import asyncio
import random
import sqlite3
import struct
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import closing
from itertools import pairwise
from pathlib import Path

import psutil
import pytest
from sqlalchemy import event

from gateway.core.batch import Batch
from gateway.core.errors import Full
from gateway.core.ports import Store, Tx
from gateway.core.series import Layout, Place, Series
from gateway.core.units import Size
from gateway.flow.retain import Bounds, Retention
from gateway.store.salvage import suspect
from gateway.store.settings import Settings
from gateway.store.store import open_store
from tests.fakes import at, batch, value

BURST = 20_000
LAYOUT = Layout([Place("M-01", f"tag{number}", "A") for number in range(50)])
LOST = Layout([Place("M-02", f"tag{number}", "A") for number in range(50)])
NOISE = random.Random(5)

SENDER = """
import asyncio, signal, sys, time
from gateway.core.errors import AndonError
from gateway.store.settings import Settings
from tests.fakes import batch, value

async def main():
    rate, seconds = float(sys.argv[2]), float(sys.argv[3])
    store, accepted, stop = Settings(path=sys.argv[1]).open(), [], asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)

    async def send(number):
        one = batch(number, number, value("M", "t", number, number))
        await store.write(lambda tx: tx.append(one))
        accepted.append(number)

    sending, began, number = set(), time.monotonic(), 0
    while not stop.is_set():
        while number < (time.monotonic() - began) * rate and len(sending) < 1900:
            number += 1
            task = asyncio.create_task(send(number))
            sending.add(task)
            task.add_done_callback(sending.discard)
        if number > rate * seconds / 2 and seconds:
            sys.stdout.write("ON\\n")
            sys.stdout.flush()
            seconds = 0
        await asyncio.sleep(0.002)
    asked = number
    await asyncio.gather(*sending)  # what was handed in is drained, as the gateway does at its end
    await store.close()
    print(asked, len(accepted))

asyncio.run(main())
"""

READER = """
import asyncio, sys
from gateway.store.settings import Settings

async def main():
    store = Settings(path=sys.argv[1]).open()
    rows = await store.read(lambda tx: tx.batches_after(0))
    print([number for number, _ in rows], [batch.count for _, batch in rows])
    while (await store.read(lambda tx: tx.held())).aside < 2:
        await asyncio.sleep(0.01)
    await store.close()

asyncio.run(main())
"""


def one(number: int) -> Batch:
    return batch(number, number, value("M", "t", number, number))


def columns(number: int, layout: Layout) -> Batch:
    """Fifty values in columns."""
    block = Series(layout, at(number), number, "<f8", struct.pack("<50I", *range(50)), NOISE.randbytes(400))
    return Batch("loads-line", number, at(number), series=(block,))


def appending(number: int) -> Callable[[Tx], int]:
    batch = columns(number, LAYOUT)
    return lambda tx: tx.append(batch)


def tear(file: Path) -> None:
    """Make one page in the middle of the journal unreadable."""
    size, content = 4096, file.read_bytes()
    pages = [content[start : start + size] for start in range(0, len(content), size)]
    # 13 marks a leaf of a table; only rows of the journal name their source.
    leaves = [number for number, page in enumerate(pages) if page[0] == 13 and b"loads-line" in page]
    with file.open("r+b") as handle:
        handle.seek(leaves[len(leaves) // 2] * size)
        handle.write(b"\xff" * size)


async def stored(path: Path) -> list[int]:
    """The numbers in the journal, in order."""
    store = Settings(path=str(path)).open()
    try:
        rows = await store.read(lambda tx: tx.batches_after(0, limit=1_000_000))
    finally:
        await store.close()
    return [int(reading.value or 0) for _, batch in rows for reading in batch.readings]


@pytest.mark.pain(5)
async def test_a_burst_of_twenty_thousand_and_a_stop_loses_none_that_was_accepted(tmp_path: Path) -> None:
    store = Settings(path=str(tmp_path)).open()
    accepted, refused, some = [], [], asyncio.Event()

    async def send(number: int) -> None:
        batch = one(number)
        try:
            await store.write(lambda tx: tx.append(batch))
        except Full:
            refused.append(number)
        else:
            accepted.append(number)
            some.set()

    sending = [asyncio.create_task(send(number)) for number in range(1, BURST + 1)]
    await some.wait()
    await store.close()  # at once, while writes wait: it drains
    await asyncio.gather(*sending)
    assert len(accepted) + len(refused) == BURST
    assert sorted(await stored(tmp_path)) == sorted(accepted)


@pytest.mark.pain(5)
@pytest.mark.parametrize(("rate", "seconds"), [(100, 1.0), (1000, 1.0), (5000, 1.0), (20_000, 1.0)])
async def test_a_stream_that_is_ended_by_sigterm_loses_none_that_was_handed_in(
    tmp_path: Path, rate: int, seconds: float
) -> None:
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-c", SENDER, str(tmp_path), str(rate), str(seconds),
        stdout=asyncio.subprocess.PIPE, cwd=Path(__file__).parents[2],
    )  # fmt: skip
    assert child.stdout is not None
    async with asyncio.timeout(60):
        assert (await child.stdout.readline()) == b"ON\n"
        child.terminate()
        asked, accepted = map(int, (await child.stdout.read()).split())
        assert await child.wait() == 0
    assert asked == accepted >= rate * seconds / 4
    numbers = await stored(tmp_path)
    assert sorted(numbers) == list(range(1, accepted + 1))


@pytest.mark.pain(6)
async def test_many_values_share_one_commit(tmp_path: Path) -> None:
    """One fsync a value is what makes other buffers crawl: a thousand batches cost a few commits here."""
    store = open_store(Settings(path=str(tmp_path)))
    commits: list[object] = []
    event.listen(store._writing, "commit", commits.append)
    batches = [one(number) for number in range(1000)]
    await asyncio.gather(*(store.write(lambda tx, one=one: tx.append(one)) for one in batches))
    await store.close()
    assert len(await stored(tmp_path)) == 1000
    assert len(commits) <= 20


@pytest.mark.pain(6)
async def test_a_batch_that_cannot_be_read_is_set_aside_by_number_and_its_neighbours_are_read_on(
    tmp_path: Path,
) -> None:
    settings = Settings(path=str(tmp_path))
    store = settings.open()
    for number in range(1, 6):
        await store.write(lambda tx, number=number: tx.append(columns(number, LAYOUT if number != 3 else LOST)))
    await store.close()
    with closing(sqlite3.connect(settings.file)) as raw:  # one has lost its layout, one is no document
        raw.execute("DELETE FROM keepsakes WHERE name = ?", (f"layout.{LOST.digest}",))
        raw.execute("UPDATE journal SET body = x'00ff00ff' WHERE id = 4")
        raw.commit()
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-c", READER, str(tmp_path), stdout=asyncio.subprocess.PIPE, cwd=Path(__file__).parents[2]
    )  # a process that never knew the layout
    out, _ = await child.communicate()
    assert child.returncode == 0
    assert out.decode().splitlines()[-1] == "[1, 2, 3, 4, 5] [50, 50, 0, 0, 50]"
    store = settings.open()
    held = await store.read(lambda tx: tx.held())
    assert (held.aside, held.values) == (2, 150)
    rows = await store.read(lambda tx: tx.batches_after(0))
    assert [number for number, _ in rows] == [1, 2, 5]
    told = await store.read(lambda tx: [line for line in tx.audit() if line.event == "journal.set_aside"])
    assert sorted(line.subject for line in told) == ["3", "4"]
    await store.close()


@pytest.mark.pain(6)
async def test_a_damaged_file_keeps_memory_layouts_pins_and_the_history_of_settings(tmp_path: Path) -> None:
    settings = Settings(path=str(tmp_path))
    store = settings.open()

    def fill(tx: Tx) -> None:
        for number in range(1, 400):
            tx.append(columns(number, LAYOUT))
        tx.put("line.cell.session", b"token")
        tx.pin("ORDER", [5, 6])

    await store.write(fill)
    await store.close()
    tear(settings.file)
    suspect(settings.file).touch()
    store = settings.open()
    try:
        assert await store.read(lambda tx: tx.kept("line.cell.")) == {"session": b"token"}
        rows = await store.read(lambda tx: tx.batches_after(0, limit=1000))
        held = await store.read(lambda tx: tx.held())
        assert 0 < len(rows) < 399
        assert held.values == sum(one.count for _, one in rows)
        assert all(one.count == 50 for _, one in rows)
        assert await store.write(lambda tx: tx.append(columns(1, LAYOUT))) >= 400  # numbers never come again
        assert [line.event for line in await store.read(lambda tx: list(tx.audit()))] == ["store.salvaged"]
    finally:
        await store.close()


@pytest.mark.pain(7)
async def test_a_long_stream_leaves_file_and_memory_flat(tmp_path: Path) -> None:
    """Hours of a line in seconds: time is a parameter. The file stays near its budget, the process where it was."""
    settings = Settings(path=str(tmp_path), journal_budget=Size(1024 * 1024))
    store = settings.open()
    marks = settings.marks()
    retention = Retention(store, Bounds(marks.high, marks.low, diagnosed=False), lambda: at(0))
    sizes, memory = [], []
    process = psutil.Process()
    try:
        for hour in range(12):
            for first in range(0, 600, 100):
                numbers = range(hour * 600 + first, hour * 600 + first + 100)
                await asyncio.gather(*(store.write(appending(number)) for number in numbers))
                await retention.look()
            sizes.append(settings.file.stat().st_size)
            memory.append(process.memory_info().rss)
        held = await store.read(lambda tx: tx.held())
    finally:
        await store.close()
    assert held.size <= marks.budget
    assert held.thinned + held.values + held.dropped == 12 * 600 * 50
    assert max(sizes) < 3 * marks.budget
    assert max(sizes[6:]) <= 1.1 * max(sizes[3:6])
    assert max(memory[6:]) - max(memory[:6]) < 8 * 1024**2


async def test_a_step_of_a_group_that_fails_after_it_appended_takes_back_its_own_batches_alone(store: Store) -> None:
    def appends(number: int) -> object:
        batch = one(number)
        return lambda tx: (tx.append(batch), tx.put(f"k{number}", b"1"), len(tx.batches_after(0)))[2]

    def fails(tx: Tx) -> None:
        tx.append(one(77))
        tx.batches_after(0)
        tx.append(one(78))
        raise ValueError("no")

    steps = [
        appends(1),
        appends(2),
        fails,
        appends(3),
        lambda tx: tx.append(one(4)),
        fails,
        lambda tx: tx.append(one(5)),
    ]
    got = await asyncio.gather(*(store.write(step) for step in steps), return_exceptions=True)
    assert [got[0], got[1], got[3]] == [1, 2, 3]
    assert isinstance(got[2], ValueError) and isinstance(got[5], ValueError)
    rows = await store.read(lambda tx: tx.batches_after(0))
    assert [batch.sequence for _, batch in rows] == [1, 2, 3, 4, 5]
    numbers = [number for number, _ in rows]
    assert all(first < second for first, second in pairwise(numbers))
    held = await store.read(lambda tx: tx.held())
    assert (held.newest, held.values) == (numbers[-1], 5)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    store = Settings(path=str(tmp_path)).open()
    yield store
    await store.close()
