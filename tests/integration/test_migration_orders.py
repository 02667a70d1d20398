"""A store whose orders have versions can go back to the Andon that knew none, and nothing is made twice there."""

from collections.abc import Callable
from datetime import timedelta
from importlib.resources import files

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection

from gateway.core.ports import Store, Tx
from gateway.flow.settle import delivered
from gateway.store.engine import server_writer, sqlite_writer
from gateway.store.schema import revision
from gateway.store.settings import Settings
from tests.contracts.store_rows import order, version
from tests.fakes import at
from tests.integration.test_migration_water_marks import postgres, settings

__all__ = ["postgres", "settings"]

LEASE = timedelta(seconds=30)


async def story(store: Store) -> None:
    """Six orders: there, being changed, being taken back, taken back, to be taken back in flight, and new."""

    def there(tx: Tx) -> None:
        for key in ("A1", "B1", "C1", "D1"):
            tx.put_order(order(key, key[0]), "erp", at(0))
        for one in tx.claim("erp", at(0), LEASE, 9):
            tx.settle(one.delivery, delivered(one.delivery, f"7{one.order.key}", at(1)).delivery)

    def changed(tx: Tx) -> None:
        tx.change_order(version("B1", 2), at(2))
        tx.withdraw_order("C1", "false alarm", at(2))
        tx.withdraw_order("D1", "false alarm", at(2))
        for key in ("E1", "F1"):
            tx.put_order(order(key, key[0]), "erp", at(2))
        [flying] = [one for one in tx.claim("erp", at(2), LEASE, 9) if one.order.key == "E1"]
        tx.withdraw_order(flying.order.key, "false alarm", at(3))
        for key in ("F2", "G1"):
            tx.put_order(order(key, key[0]), "erp", at(3))
        tx.withdraw_order("G1", "false alarm", at(3))

    await store.write(there)
    await store.write(changed)


def downgraded(to: str) -> Callable[[Connection], None]:
    def step(connection: Connection) -> None:
        config = Config()
        config.set_main_option("script_location", str(files("migrations")))
        config.attributes["connection"] = connection
        command.downgrade(config, to)

    return step


async def test_what_the_erp_has_is_not_made_again_and_what_was_taken_back_is_not_made(settings: Settings) -> None:
    store = settings.open()
    await story(store)
    await store.close()
    url = settings.location()
    engine = sqlite_writer(settings.file) if url is None else server_writer(url)
    with engine.begin() as connection:
        downgraded("0002")(connection)
        assert revision(connection) == "0002"
        rows = connection.exec_driver_sql("SELECT key, state FROM outbox ORDER BY key").all()
    engine.dispose()
    assert dict(map(tuple, rows)) == {
        "A1": "DELIVERED",
        "B1": "DELIVERED",
        "C1": "DELIVERED",
        "D1": "DELIVERED",
        "E1": "PARKED",
        "F1": "SENDING",
        "F2": "WAITING",
        "G1": "PARKED",
    }


async def test_orders_of_the_older_andon_are_brought_up_as_they_stood(settings: Settings) -> None:
    store = settings.open()
    await story(store)
    await store.close()
    url = settings.location()
    engine = sqlite_writer(settings.file) if url is None else server_writer(url)
    with engine.begin() as connection:
        downgraded("0002")(connection)
    engine.dispose()
    store = settings.open()
    rows = {one.order.key: one.delivery for one in await store.read(lambda tx: tx.orders())}
    assert {key: (str(one.state), one.version, one.sending, one.sent) for key, one in rows.items()} == {
        "A1": ("DELIVERED", 1, None, 1),
        "B1": ("DELIVERED", 1, None, 1),
        "C1": ("DELIVERED", 1, None, 1),
        "D1": ("DELIVERED", 1, None, 1),
        "E1": ("PARKED", 1, 1, None),
        "F1": ("SENDING", 1, 1, None),
        "F2": ("WAITING", 1, None, None),
        "G1": ("PARKED", 1, None, None),
    }
    await store.close()
