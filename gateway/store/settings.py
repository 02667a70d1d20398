"""Where the store lives: the `[store]` table of andon.toml."""

from pathlib import Path

import msgspec

from gateway.core.ports import Store
from gateway.core.secret import SecretRef
from gateway.core.units import Size

SAMPLE = """
[store]
path = "andon-data"
journal_budget = "2GiB"
"""


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One database: SQLite in the folder `path`, or PostgreSQL when there is a `url`.

    `url` is `postgresql+psycopg://user@host/database`, or names a secret that holds it.
    `journal_budget` bounds the bytes of recorded readings; orders and evidence are never thinned.
    """

    path: str = "andon-data"
    url: str | SecretRef | None = None
    journal_budget: Size = Size(2 * 1024**3)

    @property
    def file(self) -> Path:
        """The SQLite database file."""
        return Path(self.path) / "andon.db"

    def location(self) -> str | None:
        """Give the URL of the database server, or None for SQLite. Raises `Misconfigured` without the secret."""
        return self.url.reveal() if isinstance(self.url, SecretRef) else self.url

    def open(self) -> Store:
        """Open the store, bringing its schema up to date (blocks: disk, network).

        Raises `Unreachable`, or `Misconfigured` when the folder or the URL cannot be used.
        """
        # SQLAlchemy takes half a second to import, and `andon --help` reads settings too.
        from gateway.store.store import open_store  # noqa: PLC0415

        return open_store(self)
