"""Where the store lives: the `[store]` table of andon.toml."""

from pathlib import Path

import msgspec

from gateway.core.ports import Marks, Store, WhenFull
from gateway.core.secret import SecretRef
from gateway.core.units import Duration, Size, decode

SAMPLE = """
[store]
path = "andon-data"
journal_budget = "2GiB"
high_water = 0.9
low_water = 0.7
when_full = "thin_oldest"
reserve = "64MiB"
keep_inbox = "30d"
"""

_A_DAY = 86_400.0


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One database: SQLite in the folder `path`, or PostgreSQL when there is a `url`.

    A relative `path` counts from the folder that a command is called in: for a service, name an absolute one.
    `url` is `postgresql+psycopg://user@host/database`, or names a secret that holds it.
    `journal_budget` bounds the bytes of recorded readings; orders and evidence are never thinned. Above
    `high_water` room is made until `low_water` is reached (a fraction of the budget, or a size such as
    "1GiB"): `thin_oldest` takes every second value of the oldest part, `drop_oldest` takes its batches,
    `stop_intake` takes nothing and leaves what comes with the sources. When the budget is spent, or less
    than `reserve` of the disk is free, batches wait at their source under every policy; orders and reports
    are still written. `keep_inbox` is how long a message that came is known again.
    """

    path: str = "andon-data"
    url: str | SecretRef | None = None
    journal_budget: Size = Size(2 * 1024**3)
    high_water: float | str = 0.9
    low_water: float | str = 0.7
    when_full: WhenFull = "thin_oldest"
    reserve: Size = Size(64 * 1024**2)
    keep_inbox: Duration = Duration(30 * _A_DAY)

    def __post_init__(self) -> None:
        marks = self.marks()
        if not 0 < marks.low < marks.high <= marks.budget:
            raise ValueError("The water marks need 0 < low_water < high_water <= journal_budget")
        if self.keep_inbox < _A_DAY:
            raise ValueError("A message must be known again for a day at least (keep_inbox)")

    def marks(self) -> Marks:
        """Give the budget and its marks in bytes. Raises ValueError for a mark that is neither share nor size."""
        high, low = (_bytes(mark, self.journal_budget) for mark in (self.high_water, self.low_water))
        return Marks(int(self.journal_budget), high, low, int(self.reserve), self.when_full)

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


def _bytes(mark: float | str, budget: int) -> int:
    return int(decode(Size, mark)) if isinstance(mark, str) else int(mark * budget)
