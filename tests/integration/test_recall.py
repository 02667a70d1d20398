"""What every tag said last is shown again after a restart, with the age that it has."""

import asyncio
import struct
from pathlib import Path

import msgspec
import pytest

from gateway.core.batch import Batch, SourceGap
from gateway.core.ports import Store
from gateway.core.series import Series
from gateway.flow.live import Live
from gateway.flow.recall import KEPT, Latest, recall, remember
from gateway.store.settings import Settings
from tests.columns import columns
from tests.fakes import at, batch, value


@pytest.fixture
async def store(tmp_path: Path):  # noqa: ANN201 (an async generator of a store)
    opened = await asyncio.to_thread(Settings(path=str(tmp_path)).open)
    yield opened
    await opened.close()


def constant() -> Batch:
    block = columns([value("M", "speed", 1, 1500.0), value("M", "load", 1, 40.0)], at(1))
    return Batch("cell", 1, at(1), (value("M", "mode", 1, 3.0),), series=(block,))


async def test_a_constant_that_left_the_journal_is_shown_after_a_restart(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.flow.recall._EVERY_S", 0.01)
    live = Live()
    job = asyncio.create_task(remember(store, live))
    live.note(constant())
    async with asyncio.timeout(10):
        while await store.read(lambda tx: tx.get(KEPT)) is None:  # noqa: ASYNC110 (a store tells no event)
            await asyncio.sleep(0.02)
    job.cancel()
    again = Live()
    await recall(store, again)
    assert again.latest() == live.latest()
    assert [(reading.tag, reading.at) for reading in again.latest()] == [
        ("load", at(1)),
        ("mode", at(1)),
        ("speed", at(1)),
    ]


async def test_what_was_journalled_since_is_newer_and_its_gaps_are_shown(store: Store) -> None:
    first = constant()
    await store.write(lambda tx: tx.append(first))
    live = Live()
    live.note(first)
    number = await store.read(lambda tx: tx.newest())
    assert number == 1
    document = msgspec.msgpack.encode(Latest(number, live.by_source()))
    await store.write(lambda tx: tx.put(KEPT, document))
    [block] = first.series
    gap = SourceGap((("M", "speed"),), at(2), at(8), "server restarted")
    newer = Series(block.layout, at(9), 2, "<f8", struct.pack("<I", 0), struct.pack("<d", 55.0))
    await store.write(lambda tx: tx.append(Batch("cell", 2, at(9), series=(newer,), gaps=(gap,))))
    again = Live()
    await recall(store, again)
    said = {reading.tag: reading.value for reading in again.latest()}
    assert said == {"load": 55.0, "mode": 3.0, "speed": 1500.0}
    assert [missed.cause for missed in again.of("M").gaps] == ["server restarted"]
    again.forget("cell")
    assert again.latest() == []


async def test_damaged_memory_and_none_are_as_good_as_none(store: Store) -> None:
    live = Live()
    await recall(store, live)
    await store.write(lambda tx: tx.put(KEPT, b"no document"))
    await recall(store, live)
    assert live.latest() == []
    live.note(batch(1, 1, value("M", "speed", 1, 2.0)))
    assert len(live.by_source()["fake"]) == 1
