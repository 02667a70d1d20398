"""The migrations make the tables that the store expects, on both databases."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, inspect

from gateway.core.errors import Misconfigured
from gateway.store.engine import server_writer, sqlite_writer
from gateway.store.schema import HEAD, bring_up, revision, revision_of, upgrade
from gateway.store.settings import Settings
from gateway.store.tables import metadata
from tests.postgres import Server, postgres

__all__ = ["postgres"]


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> Settings:
    if request.param == "sqlite":
        return Settings(path=str(tmp_path))
    server: Server = request.getfixturevalue("postgres")
    return Settings(url=server.database())


@pytest.fixture
def engine(settings: Settings) -> Iterator[Engine]:
    url = settings.location()
    engine = sqlite_writer(settings.file) if url is None else server_writer(url)
    yield engine
    engine.dispose()


def differences(connection: Connection) -> list[object]:
    found: list[object] = compare_metadata(MigrationContext.configure(connection), metadata)
    return found


def columns(connection: Connection) -> dict[str, list[tuple[str, bool, bool]]]:
    look = inspect(connection)
    return {
        table: [(one["name"], one["nullable"], one["default"] is not None) for one in look.get_columns(table)]
        for table in sorted(look.get_table_names())
    }


def test_the_newest_migration_is_the_revision_that_the_tables_name() -> None:
    config = Config()
    config.set_main_option("script_location", "migrations")
    assert ScriptDirectory.from_config(config).get_heads() == [HEAD]


def test_migrating_from_nothing_gives_the_same_tables_as_starting_anew(engine: Engine, settings: Settings) -> None:
    with engine.begin() as connection:
        upgrade(connection)
        assert revision(connection) == HEAD
        assert differences(connection) == []
        migrated = columns(connection)
        for name in migrated:
            connection.exec_driver_sql(f"DROP TABLE {name}{' CASCADE' if settings.url else ''}")
    bring_up(engine)
    with engine.begin() as connection:
        assert revision(connection) == HEAD
        assert differences(connection) == []
        assert columns(connection) == migrated
    assert revision_of(settings) == HEAD


def test_bringing_up_twice_changes_nothing(engine: Engine) -> None:
    bring_up(engine)
    bring_up(engine)
    with engine.begin() as connection:
        assert revision(connection) == HEAD


def test_a_database_of_a_newer_version_is_refused_and_left_alone(engine: Engine) -> None:
    bring_up(engine)
    with engine.begin() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(Misconfigured, match=HEAD):
        bring_up(engine)
    with engine.begin() as connection:
        assert revision(connection) == "9999"


def test_a_database_of_somebody_else_is_not_touched(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE orders (id INTEGER)")
    with pytest.raises(Misconfigured, match="not Andon's"):
        bring_up(engine)
    with engine.begin() as connection:
        assert inspect(connection).get_table_names() == ["orders"]
