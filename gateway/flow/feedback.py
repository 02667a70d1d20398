"""What the ERP says about our orders: one rule for every word, whether it was told or asked for."""

from collections.abc import Collection, Iterator
from datetime import datetime

from gateway.core.delivery import StatusUpdate
from gateway.core.ports import StoredOrder, Tx
from gateway.core.status import OVER, said_at
from gateway.flow import unheard
from gateway.flow.ruling import by_erp
from gateway.flow.standing import opened_again

_LONGEST = 200


def apply(tx: Tx, update: StatusUpdate, at: datetime, false_codes: Collection[str] = ()) -> bool:
    """Apply one word about an order that we have; False when it is no news. `at` is when it was heard.

    The end that the ERP gives an order ends its episode: what shows itself after that is a new trouble, and so is what
    the order was to tell and had not told yet. An order that it opens again opens it again.
    `false_codes` are the closing codes that mean a false alarm.
    """
    before = tx.order(update.key)
    if before is None or not tx.put_status(update, at):
        return False
    after = tx.order(update.key) or before
    for event, detail in news(before, after):
        tx.note(event, update.key, at, detail[:_LONGEST])
    if after.erp_state in OVER:
        by_erp(tx, after, said_at(update, at), false_codes)
        unheard.free(tx, update.key, at)
    elif before.erp_state in OVER:
        opened_again(tx, after, said_at(update, at))
    return True


def news(before: StoredOrder, after: StoredOrder) -> Iterator[tuple[str, str]]:
    """Give what the ERP's last word changed, as the lines of the audit trail: event and detail."""
    if (before.erp_status, before.erp_state) != (after.erp_status, after.erp_state):
        yield "order.status", after.erp_status or after.erp_state
    if before.erp_state in OVER and after.erp_state not in OVER:
        yield "order.reopened", f"it was {before.erp_status or before.erp_state}"
    if before.closing_code != after.closing_code:
        yield "order.closing_code", after.closing_code or ""
