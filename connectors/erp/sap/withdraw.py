"""Taking back: an order that nobody has begun, with its notification, and a notification that never got its order."""

from connectors.erp.sap.record import BEGUN, NOTIFICATION, Row, digits, ref_of
from connectors.erp.sap.records import Records
from connectors.erp.sap.session import Stale
from gateway.core.delivery import Delivered, ErpRef, Outcome, Rejected, Uncertain
from gateway.core.errors import Refused

COMPLETE = "CompleteMaintNotification"
"""The function import of the notification's service that completes one."""
FLAG = "SetMaintOrdStsToMrkdForDeltn"
"""The one of the order's service that sets the deletion flag (DLFL), which a planner can take away again."""


class Withdrawal:
    """Takes back what nobody has begun. Raises what `Records` raises; safe to repeat after any answer.

    `action` is the function import that closes an order, or a notification where there are no `orders`.
    """

    def __init__(self, notifications: Records, orders: Records | None, action: str) -> None:
        self._notifications, self._orders, self._action = notifications, orders, action

    def faults(self) -> list[str]:
        """Say when the service does not have the function import."""
        last = self._orders or self._notifications
        if not self._action or self._action in last.actions:
            return []
        return [f"cancel_action: {last.kind.service} has no function import {self._action}"]

    async def whole(self, ref: ErpRef) -> Outcome:
        """Close an order, then complete its notification; one that somebody works on stays."""
        if not self._action:
            return Rejected("no way to take an order back is set up; see cancel_action")
        row, told = await self._end(self._orders or self._notifications, ref, self._action)
        number = str(row.get(NOTIFICATION.number) or "")
        if not isinstance(told, Delivered) or self._orders is None or not number:
            return told
        try:
            _, also = await self._end(self._notifications, ErpRef(ref.key, number), COMPLETE)
        except Refused:
            # The order is taken back all the same: one that we may not read is a planner's to see to.
            return told
        return told if isinstance(also, Delivered | Rejected) else also

    async def half(self, key: str, notifications: list[Row]) -> Outcome:
        """Complete the notifications of an order that was not made; `Delivered` where none of them stands."""
        for row in notifications:
            number = str(row[NOTIFICATION.number])
            asked = f"{NOTIFICATION.number} eq '{number}'"
            if self._orders is not None and await self._orders.found(asked, 1):
                return Uncertain(f"notification {number} has an order")
            _, told = await self._end(self._notifications, ErpRef(key, number), COMPLETE)
            if isinstance(told, Rejected):
                return Rejected(f"its notification {number} stays, complete it there: {told.reason}"[:500])
            if not isinstance(told, Delivered):
                return told
        return Delivered(ErpRef(key, "", state="cancelled"), created=False)

    async def _end(self, records: Records, ref: ErpRef, action: str) -> tuple[Row, Outcome]:
        """Bring one entity to its end by a function import; gives it as it was read. Read anew once when stale."""
        number = digits(ref.number)
        for last in (False, True):
            row, etag = await records.one(number)
            now = ref_of(ref.key, row, records.kind, etag)
            if now.state == "cancelled" or (now.state == "done" and action == COMPLETE):
                return row, Delivered(now, created=False)
            if now.state == "done" or set(now.status.split()) & BEGUN:
                return row, Rejected(f"somebody has started: the order is {now.status}")
            try:
                told = await records.write("POST", f"{action}?{records.kind.number}='{number}'", None, etag)
            except Stale:
                if last:
                    raise
                continue
            return row, told if isinstance(told, Outcome) else Delivered(now, created=False)
        raise Stale
