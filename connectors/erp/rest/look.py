"""Questions to a REST interface: which orders are there under a key, and what is in one."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import msgspec

from connectors.erp.rest.door import Door, Said
from connectors.erp.rest.plan import Plan
from connectors.erp.rest.record import dig, ref_of
from gateway.core.delivery import ErpRef
from gateway.core.errors import Refused


class Seen(msgspec.Struct, frozen=True):
    """A record that was read: what it says to us, and itself."""

    ref: ErpRef
    row: Any


class Look:
    """Reads records. Raises `Unreachable` or `Refused`."""

    def __init__(self, plan: Plan, door: Door) -> None:
        self._plan, self._door = plan, door

    async def rows(self, key: str) -> list[Seen]:
        """Give what is there under our key, the oldest first."""
        find, record = self._plan.find, self._plan.record
        if find is None:
            raise Refused("orders cannot be looked up in this ERP")
        said = await self._door.ask(find, {"key": key}, missing=find.single)
        if find.single:
            found = [] if said.status == HTTPStatus.NOT_FOUND else [dig(said.body, record.at)]
            rows: Any = [row for row in found if row is not None]
            if len(rows) < len(found):
                raise Refused(f"the answer has no record at {record.at!r}; see record.at")
        else:
            rows = dig(said.body, find.rows)
        if said.body is None and not said.empty:
            raise Refused("the answer is no JSON; is base_url that of the interface?")
        if not isinstance(rows, list):
            raise Refused(f"the answer has no list at {find.rows!r}; see list_field and find.rows")
        # "Not found" leads to sending again: an answer to another question must not pass for it.
        if record.key and any(dig(row, record.key) != key for row in rows):
            raise Refused(f"the ERP gave orders of another {record.key!r}; see lookup_param and find")
        etag = said.header("etag") if find.single else ""
        seen = [Seen(ref, row) for row in rows if (ref := ref_of(row, record, self._plan.states, key, etag))]
        if len(seen) < len(rows):
            raise Refused(f"an order was found without {record.number!r}; see number_field")
        return sorted(seen, key=lambda one: (len(one.ref.number), one.ref.number))

    async def read(self, ref: ErpRef, values: Mapping[str, str] | None = None) -> Seen:
        """Read one order by its number."""
        said = await self._door.ask(self._plan.read, values or {"key": ref.key, "number": ref.number})
        row = dig(said.body, self._plan.record.at)
        if self._plan.find is not None and self._plan.read.path == self._plan.find.path:
            # Records that can only be asked for as a list.
            rows = dig(said.body, self._plan.find.rows)
            row = rows[0] if isinstance(rows, list) and len(rows) == 1 else None
        now = ref_of(row, self._plan.record, self._plan.states, ref.key, said.header("etag"))
        if now is None:
            raise Refused(f"the answer has no {self._plan.record.number!r}; see number_field")
        return Seen(now, row)

    def ref(self, said: Said, key: str) -> ErpRef | None:
        """Give the order that an answer shows; None when it shows none."""
        record = self._plan.record
        return ref_of(dig(said.body, record.at), record, self._plan.states, key, said.header("etag"))
