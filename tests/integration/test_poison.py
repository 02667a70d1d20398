"""What no document can hold is set aside by name, and the rest of its batch is stored."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path

import msgspec

from gateway.core.batch import Batch, TagState
from gateway.core.ports import NOTHING
from gateway.flow.ingest import ingest
from gateway.store.settings import Settings
from tests.fakes import batch, line, value


class Careless:
    """A source of a third party that lets through what it should not."""

    name = "careless"

    def __init__(self, said: list[Batch]) -> None:
        self._said = said
        self.closed = False

    def tags(self) -> Sequence[TagState]:
        return ()

    async def batches(self, memory: Mapping[str, bytes] = NOTHING) -> AsyncIterator[Batch]:
        for each in self._said:
            await asyncio.sleep(0)
            yield each

    async def close(self) -> None:
        self.closed = True


async def test_a_poisoned_value_does_not_end_the_gateway_nor_take_its_neighbours_along(tmp_path: Path) -> None:
    huge = msgspec.structs.replace(value("M", "serial", 1, 0.0), value=10**400)
    gbk = line("M", 1, b"\xd6\xd0".decode("utf-8", "surrogateescape"))
    poisoned = msgspec.structs.replace(
        batch(1, 1, huge, value("M", "speed", 1, 5.0), gbk, line("M", 1, "sound")), memory={"mark": b"7"}
    )
    source = Careless([poisoned, batch(2, 2, value("M", "speed", 2, 6.0))])
    store = await asyncio.to_thread(Settings(path=str(tmp_path)).open)
    noted: list[Batch] = []
    try:
        await ingest(source, store, noted.append)
        rows = await store.read(lambda tx: tx.batches_after(0))
        assert [reading.value for _, each in rows for reading in each.values()] == [5.0, 6.0]
        assert [said.text for _, each in rows for said in each.lines] == ["sound"]
        assert [each.count for each in noted] == [2, 1]
        audit = await store.read(lambda tx: [(entry.event, entry.subject) for entry in tx.audit()])
        assert [found for found in audit if found[0] == "reading.set_aside"] == [
            ("reading.set_aside", "M/serial"),
            ("reading.set_aside", "M/log"),
        ]
        assert await store.read(lambda tx: tx.kept("line.")) != {}
        assert source.closed
    finally:
        await store.close()
