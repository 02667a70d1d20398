"""Looking again: a request that was given up may still be carried out after its order was sent again, or taken back.

Only where the ERP cannot tell a second request from the first, and where an order was taken back before anybody saw
it in the ERP. Such an order is looked up again three times, ever later after the ERP's longest time;
`gateway.flow.ghosts` deals with what is there and should not be.
"""

from datetime import datetime, timedelta

from gateway.core.ports import Tx, Watched

LOOKS = 3
_WIDER = 4
_SHORTEST = timedelta(seconds=1)


def watch(tx: Tx, key: str, now: datetime, settle: timedelta) -> None:
    """Remember to look an order up again."""
    tx.watch(Watched(key, now + max(settle, _SHORTEST), LOOKS))


def furthest(settle: timedelta) -> timedelta:
    """Give how far ahead a look is planned at most; one further away was planned by a clock that has gone back."""
    gap: timedelta = max(settle, _SHORTEST) * _WIDER ** (LOOKS - 1)
    return gap


def seen(tx: Tx, item: Watched, now: datetime, settle: timedelta) -> None:
    """Take one look off a watched order; the last one ends the watch."""
    gap = max(settle, _SHORTEST) * _WIDER ** (LOOKS + 1 - item.left)
    tx.watch(Watched(item.key, now + gap, item.left - 1))
