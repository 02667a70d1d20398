"""Ghosts: a request that was given up may still be carried out after its order was sent again.

Only where the ERP cannot tell a second request from the first. Such an order is looked up once more
after the ERP's longest time, and what is there twice is said out loud.
"""

from datetime import datetime, timedelta

import msgspec

from gateway.core.ports import Tx

_MOST = 10_000


class Watched(msgspec.Struct, frozen=True):
    """An order that is looked up again at `due_at` (aware UTC), `left` times."""

    key: str
    due_at: datetime
    left: int = 2


def watch(tx: Tx, erp: str, key: str, due_at: datetime) -> None:
    """Remember to look an order up again. Beyond 10,000 the oldest is forgotten."""
    _keep(tx, erp, [*watched(tx, erp), Watched(key, due_at)][-_MOST:])


def watched(tx: Tx, erp: str) -> list[Watched]:
    """Give everything that is watched, the oldest first."""
    kept = tx.get(_name(erp))
    return [] if kept is None else msgspec.json.decode(kept, type=list[Watched])


def due(tx: Tx, erp: str, now: datetime, limit: int) -> list[Watched]:
    """Give what must be looked up now."""
    return [item for item in watched(tx, erp) if item.due_at <= now][:limit]


def seen(tx: Tx, erp: str, item: Watched, again: datetime) -> None:
    """Take one look off a watched order; the last one forgets it."""
    kept = []
    for other in watched(tx, erp):
        if other.key != item.key:
            kept.append(other)
        elif item.left > 1:
            kept.append(msgspec.structs.replace(other, due_at=again, left=item.left - 1))
    _keep(tx, erp, kept)


def put_off(tx: Tx, erp: str, now: datetime, wait: timedelta) -> None:
    """Look no sooner than after a wait: the ERP did not answer."""
    later = now + wait
    _keep(
        tx,
        erp,
        [msgspec.structs.replace(item, due_at=max(item.due_at, later)) for item in watched(tx, erp)],
    )


def _keep(tx: Tx, erp: str, items: list[Watched]) -> None:
    tx.put(_name(erp), msgspec.json.encode(items))


def _name(erp: str) -> str:
    return f"sweep/{erp}"
