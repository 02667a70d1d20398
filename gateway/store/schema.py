"""The schema's revision: a new database gets the tables at once, an older one is brought up step by step."""

from importlib.resources import files

from sqlalchemy import Connection, Engine, inspect, text
from sqlalchemy.exc import SQLAlchemyError

from gateway.core.errors import Misconfigured
from gateway.store.engine import server_readers, sqlite_readers, translate
from gateway.store.settings import Settings
from gateway.store.tables import metadata

HEAD = "0006"
"""The revision that `tables` is of."""

_VERSIONS = "alembic_version"


def revision(connection: Connection) -> str | None:
    """The revision that a database is of; None for one without tables."""
    if not inspect(connection).has_table(_VERSIONS):
        return None
    found = connection.scalar(text(f"SELECT version_num FROM {_VERSIONS}"))  # noqa: S608 - a constant of ours
    return None if found is None else str(found)


def revision_of(settings: Settings) -> str | None:
    """The revision of the settings' database, without changing it; None when there is none yet."""
    url = settings.location()
    if url is None and not settings.file.exists():
        return None
    engine = sqlite_readers(settings.file) if url is None else server_readers(url)
    try:
        with engine.connect() as connection:
            return revision(connection)
    except SQLAlchemyError as lost:
        raise translate(lost, settings.file.parent) from lost
    finally:
        engine.dispose()


def bring_up(engine: Engine) -> None:
    """Bring a database to `HEAD`, in one transaction.

    Raises `Misconfigured` for one of a newer Andon, and for one with tables of somebody else.
    """
    with engine.begin() as connection:
        found = revision(connection)
        if found == HEAD:
            return
        if found is None:
            if inspect(connection).get_table_names():
                raise Misconfigured("the database has tables that are not Andon's; give it one of its own")
            metadata.create_all(connection)
            connection.exec_driver_sql(f"CREATE TABLE {_VERSIONS} (version_num VARCHAR(32) NOT NULL PRIMARY KEY)")
            connection.exec_driver_sql(f"INSERT INTO {_VERSIONS} VALUES ('{HEAD}')")  # noqa: S608 - constants of ours
            return
        upgrade(connection)


def upgrade(connection: Connection, to: str = "head") -> None:
    """Run the migrations inside an open transaction. Raises `Misconfigured` when there is no way from here."""
    # alembic costs a third of a second, and most starts need none of it.
    from alembic import command  # noqa: PLC0415
    from alembic.config import Config  # noqa: PLC0415
    from alembic.util import CommandError  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", str(files("migrations")))
    config.attributes["connection"] = connection
    try:
        command.upgrade(config, to)
    except CommandError as lost:
        newer = "locate revision" in str(lost)
        then = "a newer Andon has used it: run that one, or restore a backup" if newer else str(lost)
        raise Misconfigured(f"the database cannot be brought to revision {HEAD}: {then}") from lost
