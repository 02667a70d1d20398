"""Taking back: an order that nobody has begun, with its notification, and a notification that never got its order."""

from connectors.erp.sap.record import BEGUN, NOTIFICATION, NOTIFICATIONS, ORDER, ORDERS, Row, digits, ref_of
from connectors.erp.sap.session import Session, Stale
from gateway.core.delivery import Delivered, ErpRef, Outcome, Rejected, Uncertain

COMPLETE = "CompleteMaintNotification"
"""The function import of the notification's service that completes one."""


class Withdrawal:
    """Takes back what nobody has begun. Raises what a `Session` raises; safe to repeat after any answer.

    `action` is the function import that closes an order, or a notification where there are no `orders`.
    """

    def __init__(self, session: Session, action: str, *, orders: bool) -> None:
        self._session, self._action, self._orders = session, action, orders

    async def whole(self, ref: ErpRef) -> Outcome:
        """Close an order, then complete its notification; one that somebody works on stays."""
        if not self._action:
            return Rejected("no way to take an order back is set up; see cancel_action")
        service, entity = (ORDERS, ORDER) if self._orders else (NOTIFICATIONS, NOTIFICATION)
        row, told = await self._end(service, entity, ref, self._action)
        if not isinstance(told, Delivered) or not self._orders:
            return told
        number = str(row.get(NOTIFICATION) or "")
        if not number:
            return told
        _, also = await self._end(NOTIFICATIONS, NOTIFICATION, ErpRef(ref.key, number), COMPLETE)
        return told if isinstance(also, Delivered | Rejected) else also

    async def half(self, key: str, notifications: list[Row]) -> Outcome:
        """Complete the notifications of an order that was not made; `Delivered` where none of them stands."""
        for row in notifications:
            number = str(row[NOTIFICATION])
            if await self._session.rows(ORDERS, ORDER, f"{NOTIFICATION} eq '{number}'", 1):
                return Uncertain(f"notification {number} has an order")
            _, told = await self._end(NOTIFICATIONS, NOTIFICATION, ErpRef(key, number), COMPLETE)
            if isinstance(told, Rejected):
                return Rejected(f"its notification {number} stays, complete it there: {told.reason}"[:500])
            if not isinstance(told, Delivered):
                return told
        return Delivered(ErpRef(key, "", state="cancelled"), created=False)

    async def _end(self, service: str, entity: str, ref: ErpRef, action: str) -> tuple[Row, Outcome]:
        """Bring one entity to its end by a function import; gives it as it was read. Read anew once when stale."""
        number = digits(ref.number)
        for last in (False, True):
            row, etag = await self._session.one(service, entity, number)
            now = ref_of(ref.key, row, entity, etag)
            if now.state == "cancelled" or (now.state == "done" and action == COMPLETE):
                return row, Delivered(now, created=False)
            if now.state == "done" or set(now.status.split()) & BEGUN:
                return row, Rejected(f"somebody has started: the order is {now.status}")
            try:
                told = await self._session.write(
                    "POST", service, f"{action}?{entity}='{number}'", None, {"if-match": etag}
                )
            except Stale:
                if last:
                    raise
                continue
            return row, told if isinstance(told, Outcome) else Delivered(now, created=False)
        raise Stale
