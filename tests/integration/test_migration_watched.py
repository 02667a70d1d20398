"""Orders that were watched in one list are watched with their delivery, and the other way round: none is forgotten."""

import msgspec

from gateway.core.ports import Tx, Watched
from gateway.store.engine import server_writer, sqlite_writer
from gateway.store.settings import Settings
from tests.contracts.store_rows import order
from tests.fakes import at
from tests.integration.test_migration_orders import downgraded
from tests.integration.test_migration_water_marks import postgres, settings

__all__ = ["postgres", "settings"]

WATCHED = {"erp": [Watched("A1", at(10), 3), Watched("B1", at(20), 1)], "mes": [Watched("C1", at(5), 2)]}


def put(tx: Tx) -> None:
    for erp, watches in WATCHED.items():
        for one in watches:
            tx.put_order(order(one.key), erp, at(0))
            tx.watch(one)
    tx.put_order(order("D1"), "erp", at(0))


async def test_what_was_watched_is_watched_after_a_step_back_and_forth(settings: Settings) -> None:
    store = settings.open()
    await store.write(put)
    await store.close()
    url = settings.location()
    engine = sqlite_writer(settings.file) if url is None else server_writer(url)
    with engine.begin() as connection:
        downgraded("0005")(connection)
        kept = connection.exec_driver_sql("SELECT name, value FROM keepsakes WHERE name LIKE 'sweep/%%' ORDER BY name")
        lists = {name: msgspec.json.decode(bytes(value), type=list[Watched]) for name, value in kept}
    engine.dispose()
    assert lists == {f"sweep/{erp}": watches for erp, watches in WATCHED.items()}
    store = settings.open()
    for erp, watches in WATCHED.items():
        assert await store.read(lambda tx, erp=erp: tx.watched(erp)) == watches  # type: ignore[misc]
    assert await store.read(lambda tx: tx.kept("sweep/")) == {}
    await store.close()
