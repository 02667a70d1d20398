"""A work order as a record of Tryton: which field gets what, by the types that Tryton says its fields have."""

from collections.abc import Mapping
from typing import Any
from zoneinfo import ZoneInfo

import msgspec

from connectors.erp.mapping import Body, Rule, Table, cut
from connectors.erp.tryton.carrier import Carrier
from connectors.erp.tryton.values import encode
from gateway.core.errors import Misconfigured
from gateway.core.order import WorkOrder

_LONGEST_TITLE = 250
_TRACE = ("create_date", "write_date", "create_uid", "write_uid")


class Shape(msgspec.Struct, frozen=True):
    """What the settings say of a record. `origins` are by asset or level of the hierarchy, `origin` for all others."""

    model: str
    company: int
    carrier: Carrier
    mapping: Table
    origins: Mapping[str, str]
    origin: str | None
    zone: ZoneInfo


class NoValue(ValueError):
    """An order cannot be written as such a record; says why."""


class Record:
    """Writes orders as records. Raises `Misconfigured` for a mapping that cannot be."""

    def __init__(self, shape: Shape) -> None:
        self.shape = shape
        carrier = shape.carrier
        nested = [name for name in shape.mapping if "." in name]
        if nested:
            raise Misconfigured(f"mapping.{nested[0]}: a record of Tryton has no fields inside fields")
        taken = [name for name in (carrier.key_field, carrier.origin_field, "company") if name in shape.mapping]
        if taken:
            raise Misconfigured(f"mapping.{taken[0]}: is filled in already, leave it out")
        self._body = Body({**shape.mapping, carrier.key_field: Rule(source="key")}, carrier.key_field, 20)

    @property
    def written(self) -> list[str]:
        """The fields that an order may fill."""
        carrier = self.shape.carrier
        return sorted({*self.shape.mapping, carrier.key_field, carrier.origin_field, "company"} - {""})

    @property
    def read(self) -> list[str]:
        """The fields that are asked for: what was written, number, state, and when it was changed."""
        carrier = self.shape.carrier
        known = {carrier.number_field, carrier.note_field, carrier.closing_field}
        return sorted({*self.written, *known, "state", *_TRACE} - {""})

    def of(self, order: WorkOrder, kinds: Mapping[str, str]) -> dict[str, Any]:
        """Give the record's fields; `kinds` are their types. Raises `NoValue` naming the field."""
        carrier = self.shape.carrier
        values = self._body.fields(order)
        if carrier.titled:
            values[carrier.key_field] = cut(f"{order.key} {order.title}", _LONGEST_TITLE)
        values["company"] = self.shape.company
        if carrier.origin_field:
            values[carrier.origin_field] = self._origin(order)
        record = {}
        for name, value in values.items():
            if name not in kinds:
                raise NoValue(f"{self.shape.model} has no field {name}; see mapping")
            try:
                record[name] = encode(value, kinds[name], self.shape.zone)
            except (ValueError, TypeError) as wrong:
                raise NoValue(f"field {name}: {wrong}"[:300]) from None
        return record

    def _origin(self, order: WorkOrder) -> str:
        # The hierarchy goes from the enterprise down; what is nearest to the asset counts.
        places = (order.asset, *(level.id for level in reversed(order.hierarchy)))
        for place in places:
            if place is not None and place in self.shape.origins:
                return self.shape.origins[place]
        if self.shape.origin is None:
            raise NoValue(f"no origin for {order.asset or 'an order without an asset'}; see origins and origin")
        return self.shape.origin
