"""Failover: two gateways of one site that share nothing but the secret make one order of one trouble."""

from collections.abc import AsyncIterator
from dataclasses import replace as but
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest

from gateway.core.ports import Store, Tx
from gateway.core.window import Window
from gateway.flow.book import Book
from gateway.flow.cut import Cutter
from gateway.store.settings import Settings
from tests.fakes import LevelDiagnoser, at, batch, block
from tests.growing import BOOK, DESK, TOLD, Heard

LEVELS = [0, 0, 1, 1, 2, 1, 1, 1]


@pytest.fixture
async def stores(tmp_path: Path) -> AsyncIterator[list[Store]]:
    opened: list[Store] = [Settings(path=str(tmp_path / name)).open() for name in ("first", "second")]
    yield opened
    for store in opened:
        await store.close()


def windows(late: float, together: int) -> list[Window]:
    """Give the windows of a gateway that gets the line's values so many seconds late, so many blocks in a batch."""
    cutter = Cutter(timedelta(seconds=2), timedelta(seconds=3))
    blocks = [block("M", 2 * n, level, seconds=2) for n, level in enumerate(LEVELS)]
    for first in range(0, len(blocks), together):
        some = blocks[first : first + together]
        received = 2.0 * (first + len(some)) + late
        timed = [msgspec.structs.replace(one, received_at=at(received)) for one in some]
        cutter.add(first + 1, batch(first + 1, received, *timed))
    cutter.tick(at(60))
    return cutter.ready()


async def ordered(store: Store, book: Book, seen: list[Window]) -> list[str]:
    """Put windows through a book; give the keys of the orders that came of it."""

    def step(tx: Tx) -> list[str]:
        for window, verdict in zip(seen, LevelDiagnoser().diagnose(seen), strict=True):
            book.conclude(tx, verdict, window, window.end)
        return [stored.order.key for stored in tx.orders()]

    return await store.write(step)


async def test_a_machines_trouble_has_the_same_key_at_two_gateways_with_one_secret(stores: list[Store]) -> None:
    first, second = stores
    [key] = await ordered(first, BOOK, windows(0.0, 1))
    assert await ordered(second, BOOK, windows(1.7, 3)) == [key]


async def test_with_another_secret_every_key_is_another(stores: list[Store]) -> None:
    first, second = stores
    [key] = await ordered(first, BOOK, windows(0.0, 1))
    [other] = await ordered(second, but(BOOK, secret=b"another"), windows(0.0, 1))
    assert key != other
    stranger = but(DESK, secret=b"another")
    elsewhere = msgspec.structs.replace(TOLD, asset="N")
    told = await first.write(Heard("r7", elsewhere, 60))
    assert await second.write(Heard("r7", elsewhere, 60, stranger)) not in (None, told)


async def test_a_report_has_the_same_key_at_two_gateways_with_one_secret(stores: list[Store]) -> None:
    first, second = stores
    key = await first.write(Heard("r7", TOLD, 60))
    assert key is not None
    # The sender got no answer from the first one and tells the second one later, under the same id.
    assert await second.write(Heard("r7", TOLD, 300)) == key
    assert await second.write(Heard("r8", msgspec.structs.replace(TOLD, asset="N"), 300)) != key
