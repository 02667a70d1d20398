"""Ghosts: a request that was given up may still be carried out after its order was sent again, or taken back.

Only where the ERP cannot tell a second request from the first, and where an order was taken back before anybody saw
it in the ERP. Such an order is looked up again three times, ever later after the ERP's longest time;
`gateway.flow.ghosts` deals with what is there and should not be.
"""

from datetime import datetime, timedelta

import msgspec

from gateway.core.ports import Tx

_MOST = 10_000
_LOOKS = 3
_WIDER = 4
_SHORTEST = timedelta(seconds=1)


class Watched(msgspec.Struct, frozen=True):
    """An order that is looked up again at `due_at` (aware UTC), `left` times."""

    key: str
    due_at: datetime
    left: int = _LOOKS


def watch(tx: Tx, erp: str, key: str, now: datetime, settle: timedelta) -> None:
    """Remember to look an order up again. Beyond 10,000 the oldest is forgotten."""
    _keep(tx, erp, [*watched(tx, erp), Watched(key, now + max(settle, _SHORTEST))][-_MOST:])


def watched(tx: Tx, erp: str) -> list[Watched]:
    """Give everything that is watched, the oldest first."""
    kept = tx.get(_name(erp))
    return [] if kept is None else msgspec.json.decode(kept, type=list[Watched])


def due(tx: Tx, erp: str, now: datetime, limit: int) -> list[Watched]:
    """Give what must be looked up now."""
    return [item for item in watched(tx, erp) if item.due_at <= now][:limit]


def seen(tx: Tx, erp: str, item: Watched, now: datetime, settle: timedelta) -> None:
    """Take one look off a watched order; the last one forgets it."""
    gap = max(settle, _SHORTEST) * _WIDER ** (_LOOKS + 1 - item.left)
    again = msgspec.structs.replace(item, due_at=now + gap, left=item.left - 1)
    others = [other for other in watched(tx, erp) if other.key != item.key]
    _keep(tx, erp, [*others, again] if again.left > 0 else others)


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
