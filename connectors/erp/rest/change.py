"""Changes and withdrawals over a REST interface: what a planner did stays, and who has begun wins."""

from datetime import timedelta
from http import HTTPStatus
from typing import Any

import msgspec

from connectors.erp.mapping import Body, cut
from connectors.erp.rest.door import Door
from connectors.erp.rest.look import Look, Seen
from connectors.erp.rest.plan import Amend, Call, Cancel, Plan
from connectors.erp.rest.record import Row, difference, dig, flat, id_of, put
from gateway.core.delivery import Delivered, ErpRef, Outcome, Rejected, Throttled
from gateway.core.errors import Refused
from gateway.core.order import WorkOrder

_SOON = timedelta(seconds=1)
_TWICE = "it was changed by somebody else in between, twice"


class Changer:
    """Changes what is there. Raises `Unreachable` or `Refused` where nothing was sent."""

    def __init__(self, plan: Plan, door: Door, body: Body, look: Look) -> None:
        self._plan, self._door, self._body, self._look = plan, door, body, look

    async def amend(self, amend: Amend, ref: ErpRef, before: WorkOrder, after: WorkOrder) -> Outcome:
        """Write what differs between two versions and is still what `before` made it; read anew once when stale."""
        was, wanted = self.wanted(before), self.wanted(after)
        for _ in range(2):
            seen = await self._look.read(ref)
            if seen.ref.state in {"done", "cancelled"}:
                return Rejected(f"the order is {seen.ref.state} ({seen.ref.status}); nothing was changed")
            shown = self.shown(seen.row)
            change, kept = difference(was, wanted, shown)
            if not change:
                return Delivered(seen.ref, created=False, kept=kept)
            if amend.whole:
                change = {place: shown[place] if place in kept else value for place, value in wanted.items()}
            body: dict[str, Any] = {}
            for place, value in change.items():
                put(body, place, value)
            told = await self._change(amend, seen, body)
            if told is not None:
                return told if not isinstance(told, Delivered) else msgspec.structs.replace(told, kept=kept)
        return Throttled(_SOON, _TWICE)

    async def cancel(self, cancel: Cancel, ref: ErpRef, reason: str) -> Outcome:
        """Take an order back that nobody has begun; read anew once when stale."""
        body: dict[str, Any] = {}
        for place, value in cancel.body.items():
            put(body, place, value)
        if cancel.reason:
            put(body, cancel.reason, cut(reason, cancel.longest_reason))
        for _ in range(2):
            try:
                seen = await self._look.read(ref)
            except Refused:
                if cancel.method == "DELETE" and not await self._look.rows(ref.key):
                    return Delivered(msgspec.structs.replace(ref, state="cancelled", version=""), created=False)
                raise
            if seen.ref.state == "cancelled":
                return Delivered(seen.ref, created=False)
            if not self._plan.states.untouched(seen.ref.status):
                return Rejected(
                    f"somebody has begun: the order is {seen.ref.status or 'in no state that is known'}"[:500]
                )
            told = await self._change(cancel, seen, None if cancel.method == "DELETE" else body)
            if told is not None:
                return _taken_back(told)
        return Throttled(_SOON, _TWICE)

    async def _change(self, call: Call, seen: Seen, body: dict[str, Any] | None) -> Outcome | None:
        """Send a change of a record under the precondition that there is; None when that does not hold any more."""
        headers: dict[str, str] = {}
        version = seen.ref.version
        if self._plan.precondition != "none" and not version:
            return Rejected("the ERP shows no version of the order, so that it cannot be changed; see precondition")
        if self._plan.precondition == "etag":
            headers["if-match"] = version
        elif self._plan.precondition == "timestamp" and body is not None:
            put(body, self._plan.record.version, dig(seen.row, self._plan.record.version))
        values = {"key": seen.ref.key, "number": seen.ref.number, "id": id_of(seen.row, self._plan.record)}
        said = await self._door.write(call, values, body, headers)
        if isinstance(said, Outcome):
            return said
        if said.status in self._plan.stale:
            return None
        if said.status in {HTTPStatus.OK, HTTPStatus.CREATED, HTTPStatus.NO_CONTENT}:
            now = self._look.ref(said, seen.ref.key) or msgspec.structs.replace(seen.ref, version=said.header("etag"))
            return Delivered(now, created=False)
        return self._door.outcome(said, creates=False)

    def wanted(self, order: WorkOrder) -> dict[str, Any]:
        """Give an order's fields by their places; None for those without a value."""
        return flat(self._body.fields(order), list(self._body.rules))

    def shown(self, row: Row) -> dict[str, Any]:
        """Give the same of a record."""
        return flat(dig(row, self._plan.record.fields) or {}, list(self._body.rules))


def _taken_back(told: Outcome) -> Outcome:
    """Say what the answer to a withdrawal means: an answer that still shows the old state is one of before it."""
    if isinstance(told, Delivered) and told.ref.state != "cancelled":
        return msgspec.structs.replace(told, ref=msgspec.structs.replace(told.ref, state="cancelled"))
    return told
