"""What the demo counts: what was accepted, against what stands in the ERP's own database."""

import sqlite3
from collections import Counter
from pathlib import Path
from typing import Any, Literal

import msgspec

from gateway.core.delivery import DeliveryState
from gateway.core.episode import Decision
from gateway.core.ports import Tx

_MANY = 10_000


class OrderLine(msgspec.Struct, frozen=True):
    """One order in the summary."""

    key: str
    asset: str | None
    failure_mode: str
    source: Literal["machine", "report"]
    erp_number: str | None


class Summary(msgspec.Struct, frozen=True):
    """What the demo did. `lost` and `duplicates` are counted in the ERP's database, never assumed."""

    readings: int
    windows: int
    diagnoses: int
    episodes: int
    orders: tuple[OrderLine, ...]
    erp_orders: int
    lost: int
    duplicates: int
    seconds_to_first_order: float | None


class Accepted(msgspec.Struct, frozen=True):
    """What the gateway took on: the reports that it answered 202 to, and what its store made of everything."""

    orders: tuple[OrderLine, ...]
    owed: frozenset[str]
    unread: int
    counts: tuple[int, int, int, int]


class InErp(msgspec.Struct, frozen=True):
    """What stands in the ERP's own database: how often each of our keys."""

    keys: dict[str, int]

    @property
    def orders(self) -> int:
        """Number of orders in the ERP."""
        return sum(self.keys.values())


def accepted(tx: Tx, reports: frozenset[str]) -> Accepted:
    """Say what the ERP owes us: every order, every confirmed machine trouble, every accepted report that orders.

    A report that was accepted and is not in the store counts as owed under its own id: it is lost.
    """
    orders = tuple(
        OrderLine(
            stored.order.key,
            stored.order.asset,
            stored.order.failure_mode,
            stored.order.source.kind,
            stored.delivery.erp_number,
        )
        for stored in reversed(tx.orders(limit=_MANY))
    )
    owed = {line.key for line in orders}
    owed |= {episode.key for episode in tx.episodes(limit=_MANY) if episode.decision is Decision.ORDER}
    # A false alarm that was over before its order left is owed to nobody.
    dropped = tx.orders(state=DeliveryState.WITHDRAWN, limit=_MANY)
    owed -= {stored.order.key for stored in dropped if stored.delivery.erp_number is None}
    unread = 0
    for name in reports:
        stored = tx.report(name)
        if stored is None:
            owed.add(name)
        elif stored.extraction is None:
            unread += 1
            owed.add(name)
        elif stored.extraction.route == "order":
            owed.add(stored.order_key or name)
    counts = tx.counts()
    return Accepted(
        orders,
        frozenset(owed),
        unread,
        (counts.readings, counts.windows, counts.diagnoses, counts.episodes),
    )


def in_erp(database: Path) -> InErp:
    """Count our keys in the ERP's database, read beside the ERP."""
    with sqlite3.connect(f"file:{database}?mode=ro", uri=True) as connection:
        rows: list[tuple[str]] = connection.execute("SELECT reference FROM orders").fetchall()
    connection.close()
    return InErp(dict(Counter(key for (key,) in rows)))


def summed(taken: Accepted, erp: InErp, first: float | None) -> Summary:
    """Hold what was accepted against what the ERP has (pure)."""
    readings, windows, diagnoses, episodes = taken.counts
    return Summary(
        readings=readings,
        windows=windows,
        diagnoses=diagnoses,
        episodes=episodes,
        orders=taken.orders,
        erp_orders=erp.orders,
        lost=sum(key not in erp.keys for key in taken.owed),
        duplicates=sum(count - 1 for count in erp.keys.values()),
        seconds_to_first_order=first,
    )


def as_the_erp_got_it(database: Path, key: str) -> Any:
    """Give the body of an order as the ERP received it, or None."""
    with sqlite3.connect(f"file:{database}?mode=ro", uri=True) as connection:
        row = connection.execute("SELECT body FROM orders WHERE reference = ?", (key,)).fetchone()
    connection.close()
    return None if row is None else msgspec.json.decode(row[0])
