"""Which model of Odoo carries an order: a maintenance request, or a quality alert of Odoo Enterprise."""

from collections.abc import Sequence
from dataclasses import dataclass

from connectors.erp.mapping import Body, Rule, Table
from connectors.erp.odoo.fields import Value
from gateway.core.errors import Refused
from gateway.core.order import WorkOrder

REQUEST_MODEL, ALERT_MODEL = "maintenance.request", "quality.alert"

ALERT: Table = {
    "title": Rule(source="title", longest=200),
    "description": Rule(source="text", longest=8000),
    "priority": Rule(source="priority", values={"1": "3", "2": "2", "3": "0", "4": "1"}),
}
"""What a quality alert gets when the settings say nothing else. Its priorities: 1 low, 0 normal, 2 high, 3 highest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Carrier:
    """One model, as the carrier of the orders of these `work_types`.

    `body` fills its fields. `cancel` is what a record gets that is taken back; empty takes none back. `stages` is the
    model of its stages, which may belong to the teams of `team_field`. `place` is where its settings stand in
    andon.toml, `noun` what people call it.
    """

    model: str
    stages: str
    noun: str
    body: Body
    work_types: frozenset[str]
    cancel: dict[str, Value]
    closing_field: str
    place: str = ""
    team_field: str = ""

    def takes(self, order: WorkOrder) -> bool:
        """Say whether an order becomes a record of this model."""
        return order.work_type in self.work_types

    def number(self, record: int) -> str:
        """Give a record's number: a request's own, another's with its model before it, as Odoo writes references."""
        return str(record) if self.model == REQUEST_MODEL else f"{self.model},{record}"


def carrier_of(carriers: Sequence[Carrier], number: str) -> tuple[Carrier, int]:
    """Find the model and the database id that a number means. Raises `Refused` for what is none of these."""
    model, _, record = number.rpartition(",")
    for carrier in carriers:
        if carrier.model == (model or REQUEST_MODEL):
            return carrier, int(record) if record.isdecimal() else 0
    raise Refused(f"{number[:40]!r} is no record of a model that is set up; see quality")
