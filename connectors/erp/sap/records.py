"""The records of one entity set of SAP: found, made, changed under the ETag that was read."""

import hashlib
from collections.abc import Mapping
from datetime import datetime
from email.utils import format_datetime
from zoneinfo import ZoneInfo

from connectors.erp.mapping import Body
from connectors.erp.sap.check import wrong
from connectors.erp.sap.record import LONG_TEXT, Kind, Row
from connectors.erp.sap.session import Session, Stale
from connectors.erp.sap.values import Property, actions, encoded, properties, same
from gateway.core.delivery import Outcome
from gateway.core.order import WorkOrder
from gateway.core.ports import Clock

NOBODY = "AN000000000000000000"
"""A key that no order has."""
_MOST_MOMENTS = 10_000


class Repeats:
    """The headers by which SAP knows a repeated write: a RequestID of its own for each, of the key alone."""

    def __init__(self, now: Clock) -> None:
        self._now = now
        self._moments: dict[str, datetime] = {}

    def headers(self, key: str, step: str) -> dict[str, str]:
        """Give them for one step of an order; its first moment stays while this process lives."""
        if len(self._moments) > _MOST_MOMENTS:
            self._moments.clear()
        at = self._moments.setdefault(key, self._now())
        name = hashlib.sha256(f"{key}|{step}".encode()).hexdigest()[:32].upper()
        return {"requestid": name, "repeatabilitycreation": format_datetime(at, usegmt=True)}


class Records:
    """One entity set, and the table that fills its entities.

    Raises what a `Session` raises, and `NoValueError` for an order that does not fit. `place` is where the table stands
    in andon.toml. `actions` are the function imports of the service, once it was learned.
    """

    def __init__(
        self, session: Session, kind: Kind, body: Body, zone: ZoneInfo, repeats: Repeats, *, place: str = ""
    ) -> None:
        self.session, self.kind, self.body = session, kind, body
        self._zone, self._repeats, self._place = zone, repeats, place
        self._known: dict[str, Property] = {}
        self.actions: frozenset[str] = frozenset()

    async def learn(self) -> dict[str, Property]:
        """Learn what SAP says of the entity, and whether a RequestID counts here."""
        await self.session.learn(self.kind.service, self._repeats.headers(NOBODY, "verify"))
        document = await self.session.metadata(self.kind.service)
        self._known, self.actions = properties(document, self.kind.entity), actions(document)
        return self._known

    def faults(self) -> list[str]:
        """Name what is wrong with the table, by what was learned."""
        found = [f"{self._place}{fault}" for fault in wrong(self.kind.service, self._known, self.body)]
        if self._known and self.kind.status and self.kind.status not in self._known:
            found.append(f"{self.kind.service} has no {self.kind.status}: nobody would see that somebody has begun")
        return found

    async def known(self) -> dict[str, Property]:
        """Give the properties of the entity."""
        if not self._known:
            self._known = properties(await self.session.metadata(self.kind.service), self.kind.entity)
        return self._known

    async def fields(self, order: WorkOrder) -> Row:
        """Give an order as SAP takes it."""
        return encoded(self.body.fields(order), self.body.rules, await self.known(), self._zone)

    async def found(self, asked: str, top: int = 2) -> list[Row]:
        """Give the entities that fit a `$filter`."""
        return await self.session.rows(self.kind.service, self.kind.entity, asked, top)

    async def one(self, number: str) -> tuple[Row, str]:
        """Give one entity and its ETag."""
        return await self.session.one(self.kind.service, self.kind.entity, number)

    async def make(self, key: str, body: Row) -> Row | Outcome:
        """Make an entity, once under a key where SAP honours a RequestID."""
        headers = self._repeats.headers(key, self.kind.service)
        return await self.session.write("POST", self.kind.service, self.kind.entity, body, headers)

    async def change(self, number: str, was: Row, new: Row) -> set[str] | Outcome:
        """Write what is still ours; gives the fields that are a planner's. Read anew once when it changed meanwhile."""
        differ = {name: new.get(name) for name in {**was, **new} if was.get(name) != new.get(name)}
        for last in (False, True):
            if not differ:
                return set()
            row, etag = await self.one(number)
            open_ = {name: value for name, value in differ.items() if not same(row.get(name), value)}
            ours = {name: value for name, value in open_.items() if same(row.get(name), was.get(name))}
            kept = set(open_) - set(ours)
            if LONG_TEXT in kept and not row.get(LONG_TEXT):
                # It is for writing, and may not be shown: then it goes with what is surely new.
                kept.remove(LONG_TEXT)
                ours |= {LONG_TEXT: open_[LONG_TEXT]} if ours else {}
            if not ours:
                return kept
            try:
                told = await self.write("PATCH", f"{self.kind.entity}('{number}')", ours, etag)
            except Stale:
                if last:
                    raise
                continue
            return told if isinstance(told, Outcome) else kept
        raise Stale

    async def write(self, method: str, rest: str, body: Mapping[str, object] | None, etag: str) -> Row | Outcome:
        """Change something under the ETag that was read."""
        headers = {"if-match": etag} if etag else {}
        return await self.session.write(method, self.kind.service, rest, body, headers)
