"""A store of the first version keeps its journal when it is brought up, and goes on where it was."""

from pathlib import Path

import pytest

from gateway.store.documents import pack
from gateway.store.engine import server_writer, sqlite_writer
from gateway.store.schema import HEAD, revision_of, upgrade
from gateway.store.settings import Settings
from tests.fakes import at, batch, value
from tests.postgres import Server, postgres

__all__ = ["postgres"]


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> Settings:
    if request.param == "sqlite":
        return Settings(path=str(tmp_path))
    server: Server = request.getfixturevalue("postgres")
    return Settings(url=server.database())


async def test_batches_of_the_first_version_are_read_counted_and_numbered_on(settings: Settings) -> None:
    url = settings.location()
    engine = sqlite_writer(settings.file) if url is None else server_writer(url)
    mark = "%s" if url else "?"
    names = "source, received_at, first_at, last_at, count, assets, size, count_to, size_to, body"
    row = f"INSERT INTO journal ({names}) VALUES ({', '.join([mark] * 10)})"  # noqa: S608  (constants)
    with engine.begin() as connection:
        upgrade(connection, "0001")
        for number in range(1, 11):
            one = batch(number, number, value("M", "t", number, number))
            body, when = pack(one), at(number) if url else at(number).strftime("%Y-%m-%d %H:%M:%S.%f")
            sums = (len(body), number, number * len(body), body)
            connection.exec_driver_sql(row, ("fake", when, when, when, 1, "M", *sums))
        connection.exec_driver_sql("DELETE FROM journal WHERE id > 8")
    engine.dispose()
    store = settings.open()
    try:
        assert revision_of(settings) == HEAD
        rows = await store.read(lambda tx: tx.batches_after(0))
        assert [(number, one.sequence) for number, one in rows] == [(number, number) for number in range(1, 9)]
        assert (await store.read(lambda tx: tx.held())).values == 8
        assert await store.write(lambda tx: tx.append(batch(1, 11, value("M", "t", 11, 11)))) == 11
        assert (await store.read(lambda tx: tx.batches(at(3), at(5))))[0][0] == 3
        held = await store.read(lambda tx: tx.held())
        assert (held.newest, held.values) == (11, 9)
    finally:
        await store.close()
