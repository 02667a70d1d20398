"""What it means for the trouble that the ERP refused a change of its order, or would not take it back."""

from datetime import datetime

from gateway.core.delivery import Rejected, StatusUpdate
from gateway.core.ports import Claimed, Tx
from gateway.flow import unheard
from gateway.flow.feedback import apply
from gateway.flow.standing import overruled


def refused(tx: Tx, claimed: Claimed, no: Rejected, now: datetime) -> None:
    """Draw the consequences of a refusal, in the transaction that settled it; an order that is not there has none.

    The ERP refuses because somebody has begun, or because the order is over. The first takes the ruling back, the
    second does not: so the word that came with the refusal is applied before. Without one the ERP is asked soon.
    """
    key, task = claimed.delivery.key, claimed.delivery.task
    if task not in ("amend", "cancel"):
        return
    if no.stands is not None:
        # The answer may be as old as the attempt. What its closing code means is for who follows the order.
        asked_at, there = claimed.delivery.updated_at or now, no.stands
        apply(tx, StatusUpdate(key=key, number=there.number, status=there.status, at=asked_at, state=there.state), now)
    tx.asked(key, None)
    if task == "cancel":
        overruled(tx, key, now)
    else:
        unheard.free(tx, key, now)
