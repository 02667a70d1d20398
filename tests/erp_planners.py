"""People at the simulated ERPs, and at a real Tryton."""

from typing import Any, ClassVar

import msgspec

from gateway.core.delivery import ErpRef
from gateway.core.order import WorkOrder
from tests.erp_plant import Planner
from tests.erp_process import Erp


class AtGeneric(Planner):
    """At the generic profile, by the simulator's own control."""

    closing: ClassVar[str | None] = "BEARING_REPLACED"

    def __init__(self, plant: Erp) -> None:
        self.plant = plant

    def fields(self, ref: ErpRef) -> dict[str, Any]:
        [row] = [order for order in self.plant.state()["orders"] if order["number"] == ref.number]
        return dict(row["order"])

    def write(self, ref: ErpRef, text: str) -> None:
        self.plant.edit(ref.number, title=text)

    def begin(self, ref: ErpRef) -> None:
        self.plant.edit(ref.number, status="IN_PROGRESS")

    def finish(self, ref: ErpRef) -> None:
        self.plant.edit(ref.number, status="CLOSED", closing_code=self.closing)

    def drop(self, ref: ErpRef) -> None:
        self.plant.edit(ref.number, status="CANCELLED")


class AtDesk(Planner):
    """At a system of another make behind the simulator's door; `edit` finds a record by one of its fields.

    `begun`, `done` and `dropped` are what a planner writes then.
    """

    desk: ClassVar[str]
    begun: ClassVar[dict[str, Any]]
    done: ClassVar[dict[str, Any]]
    dropped: ClassVar[dict[str, Any]]

    def __init__(self, plant: Erp) -> None:
        self.plant = plant

    def which(self, ref: ErpRef) -> dict[str, Any]:
        """Say which record, as the desk's `edit` wants it."""
        return {"number": ref.number}

    def edit(self, ref: ErpRef, **fields: Any) -> None:
        self.plant.turn(self.desk, edit={**self.which(ref), **fields})

    def rows(self, ref: ErpRef) -> list[dict[str, Any]]:
        """Give the records of one order."""
        return [order for order in self.plant.state()["orders"] if order["reference"] == ref.key]

    def fields(self, ref: ErpRef) -> dict[str, Any]:
        return {name: value for row in self.rows(ref) for name, value in row["order"].items()}

    def write(self, ref: ErpRef, text: str) -> None:
        self.edit(ref, **{self.touched: text})

    def begin(self, ref: ErpRef) -> None:
        self.edit(ref, **self.begun)

    def finish(self, ref: ErpRef) -> None:
        self.edit(ref, **self.done)

    def drop(self, ref: ErpRef) -> None:
        self.edit(ref, **self.dropped)


class AtOdoo(AtDesk):
    """At an Odoo: stages, and archived is cancelled."""

    desk = "odoo"
    touched: ClassVar[str] = "name"
    closing: ClassVar[str | None] = "Repaired"
    begun: ClassVar[dict[str, Any]] = {"stage_id": 2}
    done: ClassVar[dict[str, Any]] = {"stage_id": 3}
    dropped: ClassVar[dict[str, Any]] = {"archive": True}

    def which(self, ref: ErpRef) -> dict[str, Any]:
        return {"id": int(ref.number)}


class AtOdooQuality(AtDesk):
    """At the quality alerts of an Odoo, whose last stage is the plant's own for what was taken back."""

    desk = "odoo"
    touched: ClassVar[str] = "title"
    closing: ClassVar[str | None] = "Solved"
    begun: ClassVar[dict[str, Any]] = {"stage_id": 2}
    done: ClassVar[dict[str, Any]] = {"stage_id": 4}
    dropped: ClassVar[dict[str, Any]] = {"stage_id": 5}

    def which(self, ref: ErpRef) -> dict[str, Any]:
        return {"id": int(ref.number.removeprefix("quality.alert,"))}


class AtSap(AtDesk):
    """At an SAP: an order and its notification."""

    desk = "sap"
    touched: ClassVar[str] = "MaintenanceOrderDesc"
    other: ClassVar[str] = "NotificationText"
    closing: ClassVar[str | None] = "101"
    begun: ClassVar[dict[str, Any]] = {"SystemStatusText": "REL MANC"}
    done: ClassVar[dict[str, Any]] = {"SystemStatusText": "TECO", "MaintenanceActivityType": "101"}
    dropped: ClassVar[dict[str, Any]] = {"SystemStatusText": "DLFL"}

    def rows(self, ref: ErpRef) -> list[dict[str, Any]]:
        # The order last: both have a priority.
        names = (f"notification {ref.key}", ref.key)
        return [row for name in names for row in self.plant.state()["orders"] if row["reference"] == name]


class AtSapQuality(AtDesk):
    """At the defects of an SAP that shows how far they are; a planner leaves the key at the start of a text."""

    desk = "sap"
    touched: ClassVar[str] = "DefectText"
    other: ClassVar[str] = "Equipment"
    closing: ClassVar[str | None] = "02"
    begun: ClassVar[dict[str, Any]] = {"DefectLifecycleStatus": "15"}
    done: ClassVar[dict[str, Any]] = {"DefectLifecycleStatus": "20", "DefectClass": "02"}
    dropped: ClassVar[dict[str, Any]] = {"IsDeleted": "X"}

    def grown(self, order: WorkOrder) -> WorkOrder:
        return msgspec.structs.replace(super().grown(order), asset="M-08")

    def which(self, ref: ErpRef) -> dict[str, Any]:
        return {"number": ref.number.removeprefix("A_Defect,")}

    def write(self, ref: ErpRef, text: str) -> None:
        self.edit(ref, DefectText=f"{ref.key} {text}")


class AtFrappe(AtDesk):
    """At a Frappe: an Asset Repair has no title."""

    desk = "frappe"
    touched: ClassVar[str] = "description"
    other: ClassVar[str] = "asset"
    begun: ClassVar[dict[str, Any]] = {"docstatus": 1}
    done: ClassVar[dict[str, Any]] = {"repair_status": "Completed"}
    dropped: ClassVar[dict[str, Any]] = {"repair_status": "Cancelled"}

    def grown(self, order: WorkOrder) -> WorkOrder:
        return msgspec.structs.replace(super().grown(order), asset="M-08")

    def which(self, ref: ErpRef) -> dict[str, Any]:
        return {"name": ref.number}

    def rows(self, ref: ErpRef) -> list[dict[str, Any]]:
        return [row for row in self.plant.state()["orders"] if row["order"].get("name") == ref.number]
