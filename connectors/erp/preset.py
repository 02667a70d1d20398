"""What presets of the REST engine share: tables laid over, errors in common words, metadata, whose order it is."""

from collections.abc import Awaitable, Callable, Iterator
from http import HTTPStatus
from typing import Any

import httpx2
import msgspec

from connectors.erp.http import Answer
from connectors.erp.mapping import Body, Rule, Table
from connectors.erp.oauth import ClientCredentials
from connectors.erp.rest.adapter import Rest
from connectors.erp.rest.door import Door, Said
from connectors.erp.rest.plan import Plan
from connectors.erp.rest.record import foreign
from gateway.core.delivery import Delivered, Outcome, Rejected, Uncertain
from gateway.core.errors import Refused, Unreachable
from gateway.core.order import WorkOrder

WORDS = frozenset({"title", "description", "text", "failure_mode", "cause", "effect", "action", "mechanism"})
"""Sources that are words, which may be cut. A code that is cut would be another code."""

Look = Callable[[Door], Awaitable[list[str]]]
"""Asks an ERP for its own description and names what does not fit it. Raises `Unreachable` or `Refused`."""
_CERTAIN = frozenset({HTTPStatus.CONFLICT, HTTPStatus.PRECONDITION_FAILED})


class Coded(Body):
    """A table whose codes are never cut. Raises `Refused` for an order with one that is too long."""

    def fields(self, order: WorkOrder) -> dict[str, Any]:
        """Give an order as the ERP's fields."""
        for target, rule in self.rules.items():
            code = None if rule.source in WORDS or rule.values else getattr(order, str(rule.source), None)
            if rule.longest is not None and isinstance(code, str) and len(code) > rule.longest:
                raise Refused(f"field {target} holds {rule.longest} characters, {code!r} has {len(code)}; see mapping")
        return super().fields(order)


class Preset(Rest):
    """The REST adapter for one make of ERP: it also looks into the ERP's own description before the first order."""

    def __init__(self, plan: Plan, door: Door, body: Body, tokens: ClientCredentials | None, look: Look) -> None:
        super().__init__(plan, door, body, tokens)
        self._look = look

    async def verify(self) -> list[str]:
        """Name what is wrong with credentials, rights and mapping. Raises `Unreachable`."""
        faults = await super().verify()
        try:
            faults += [f"{self.name}: {fault}" for fault in await self._look(self._door)]
        except Refused as no:
            faults.append(f"{self.name}: the ERP does not describe its work orders: {no}")
        except Unreachable:
            if not faults:
                raise
        return faults

    async def _taken(self, order: WorkOrder, said: Said) -> Outcome:
        """Look whether it is our order that is there already; where nothing is, it was refused for another reason."""
        told = f"the ERP answered {said.status}"
        try:
            found = await self._reader.rows(order.key)
        except (Unreachable, Refused) as lost:
            return Uncertain(f"{told}, and whether it is there cannot be read: {lost}"[:500])
        if not found:
            return Uncertain(f"{told}: there already, but not found") if said.status in _CERTAIN else self._no(said)
        differ = foreign(order.key, self._changer.wanted(order), self._changer.shown(found[0].row), self._body.rules)
        if differ:
            return Rejected(f"{told}: our key is there as another order; it differs in {', '.join(differ)}"[:500])
        return Delivered(found[0].ref, created=False)

    def _no(self, said: Said) -> Outcome:
        return self._door.outcome(said, creates=True)


def over(table: Table, given: Table) -> dict[str, str | Rule]:
    """Lay the settings over a table; an empty constant takes a field away."""
    rules = {**table, **given}
    return {name: rule for name, rule in rules.items() if not (isinstance(rule, Rule) and rule.constant == "")}


def problem(answer: Answer, detail: str, field: str = "", status: int | None = None) -> Said:
    """Give an error in the words that `connectors.erp.http` understands, perhaps under another status."""
    body = {"detail": detail, **({"field": field} if field else {})}
    headers = httpx2.Headers({**answer.headers, "content-type": "application/problem+json"})
    return Said(Answer(status or answer.status, headers, msgspec.json.encode(body)), body, empty=False)


def rows_in(body: Any, place: str) -> Iterator[dict[str, Any]]:
    """Give the records of an answer: those of its list, or the one that it is."""
    if isinstance(body, dict):
        rows = body.get(place)
        yield from ([row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else [body])
