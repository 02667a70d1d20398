"""An order as SAP's maintenance has it: a notification with our key, and the order made from it."""

import msgspec

from connectors.erp.http import unasked
from connectors.erp.sap.record import NOTIFICATION, ORDER, REFERENCE, Row, digits, number_of, ref_of
from connectors.erp.sap.records import NOBODY, Records
from connectors.erp.sap.session import NotAccepted
from connectors.erp.sap.withdraw import Withdrawal
from gateway.core.delivery import Delivered, ErpRef, Outcome, Rejected, Throttled, Uncertain, Unsent, counting
from gateway.core.errors import Refused, Unreachable
from gateway.core.order import WorkOrder


class Maintenance:
    """Makes, finds, changes and takes back. Raises what `Records` raises.

    What is made is looked for first, notification and order apart, and only what is missing is made: it may be broken
    off anywhere and begun again. Without `orders` a notification is all.
    """

    def __init__(self, notifications: Records, orders: Records | None, withdrawal: Withdrawal) -> None:
        self._notifications, self._orders, self._withdrawal = notifications, orders, withdrawal
        self._last = orders or notifications

    @property
    def parts(self) -> tuple[Records, ...]:
        """What is written to, in order."""
        return (self._notifications,) if self._orders is None else (self._notifications, self._orders)

    async def faults(self) -> list[str]:
        """Name what is wrong with rights and mapping."""
        found = []
        for part in self.parts:
            await part.learn()
            found += part.faults()
        await self._known(NOBODY)
        return found + self._withdrawal.faults()

    async def find(self, key: str) -> list[ErpRef]:
        """Give the orders under our key, the oldest first; a notification without its order is not one yet."""
        orders, _ = await self.looked(key)
        return orders

    async def looked(self, key: str) -> tuple[list[ErpRef], list[ErpRef]]:
        """Give the orders under our key, and its notifications, whatever became of them; the oldest first."""
        notifications = [ref_of(key, row, NOTIFICATION) for row in await self._known(key)]
        if self._orders is None:
            return notifications, notifications
        made = [row for one in notifications for row in await self._made_from(self._orders, one.number)]
        return sorted((ref_of(key, row, ORDER) for row in made), key=lambda ref: ref.number), notifications

    async def make(self, order: WorkOrder) -> Outcome:
        """Make what is not there yet."""
        bodies = [await part.fields(order) for part in self.parts]
        orders, notifications = await self.looked(order.key)
        if orders:
            return Delivered(counting(orders), created=False)
        if notifications:
            begun = counting(notifications)
        else:
            made = await self._notifications.make(order.key, bodies[0])
            if isinstance(made, Outcome):
                return made
            if not number_of(made, NOTIFICATION.number):
                return Uncertain("the ERP answered without a notification number")
            begun = ref_of(order.key, made, NOTIFICATION)
        if self._orders is None:
            return Delivered(begun)
        told = await self._order(self._orders, order.key, begun.number, bodies[1])
        if not notifications and isinstance(told, Throttled | Unsent):
            # It counts: what is withdrawn now has a notification, and what grew goes out as it began.
            return msgspec.structs.replace(told, partly=True)
        return told

    async def status(self, ref: ErpRef) -> ErpRef:
        """Read an order back."""
        row, etag = await self._last.one(digits(ref.number))
        return ref_of(ref.key, row, self._last.kind, etag)

    async def amend(self, ref: ErpRef, before: WorkOrder, after: WorkOrder) -> Outcome:
        """Write the fields that changed, in the notification and in the order."""
        row, etag = await self._last.one(digits(ref.number))
        now = ref_of(ref.key, row, self._last.kind, etag)
        if now.state in {"done", "cancelled"}:
            return Rejected(f"the order is {now.state} ({now.status}); nothing was changed")
        numbers = [digits(str(row.get(NOTIFICATION.number, ""))), now.number]
        kept: set[str] = set()
        for part, number in zip(self.parts, numbers, strict=False):
            told = await part.change(number, await part.fields(before), await part.fields(after))
            if isinstance(told, Outcome):
                return told
            kept |= told
        return Delivered(now, created=False, kept=tuple(sorted(kept)))

    async def cancel(self, ref: ErpRef) -> Outcome:
        """Take an order back that nobody has begun; without a number, its notifications that never got an order."""
        if ref.number:
            return await self._withdrawal.whole(ref)
        return await self._withdrawal.half(ref.key, await self._known(ref.key))

    async def _order(self, orders: Records, key: str, number: str, body: Row) -> Outcome:
        try:
            made = await orders.make(key, {**body, NOTIFICATION.number: number})
        except NotAccepted as no:
            return Throttled(None, str(no))
        except Unreachable as lost:
            return unasked(lost, f"not sent: {lost}")
        except Refused as no:
            made = Rejected(str(no)[:500])
        if isinstance(made, Rejected):
            return Rejected(f"{made.reason}; its notification {number} is there"[:500])
        if isinstance(made, Outcome):
            return made
        if not number_of(made, ORDER.number):
            return Uncertain("the ERP answered without an order number")
        return Delivered(ref_of(key, made, ORDER))

    async def _known(self, key: str) -> list[Row]:
        rows = await self._notifications.found(f"{REFERENCE} eq '{key}'")
        # "Not found" leads to sending: an answer to another question must not pass for it.
        if any(row.get(REFERENCE) != key or not number_of(row, NOTIFICATION.number) for row in rows):
            raise Refused(f"the ERP gave notifications of another {REFERENCE}")
        return sorted(rows, key=lambda row: str(row[NOTIFICATION.number]))

    async def _made_from(self, orders: Records, notification: str) -> list[Row]:
        rows = await orders.found(f"{NOTIFICATION.number} eq '{notification}'")
        if any(row.get(NOTIFICATION.number) != notification or not number_of(row, ORDER.number) for row in rows):
            raise Refused("the ERP gave orders of another notification")
        return sorted(rows, key=lambda row: str(row[ORDER.number]))
