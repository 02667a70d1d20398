"""A work order, or a production order, as a job: which field of ISA95JobOrderDataType gets what."""

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, time
from typing import Any

from asyncua import ua

from connectors.erp.isa95 import LONGEST_TITLE, MOST_EVIDENCE, PARAMETERS
from connectors.erp.mapping import Body, Table, cut
from gateway.core.delivery import ProductionOrder
from gateway.core.diagnosis import Evidence
from gateway.core.order import WorkOrder

Job = dict[str, Any]

_DAY = 10
_LAST = time(23, 59, 59)


class Jobs:
    """Writes orders as jobs. Raises `Misconfigured` for a table of parameters that cannot be."""

    def __init__(self, parameters: Table, work_master: str, link: str) -> None:
        self._body = Body(parameters or PARAMETERS, None, 20)
        self._work_master, self._link = work_master, link

    def of(self, order: WorkOrder) -> Job:
        """Give the job of a work order."""
        job: Job = {
            "JobOrderID": order.key,
            "Description": [ua.LocalizedText(cut(order.title, LONGEST_TITLE), order.language)],
            "Priority": order.priority,
            "JobOrderParameters": [*self._parameters(order), *_evidence(order.evidence, self._uri(order))],
        }
        if self._work_master:
            job["WorkMasterID"] = [{"ID": self._work_master}]
        if order.required_start is not None:
            job["StartTime"] = order.required_start.astimezone(UTC)
        if order.due is not None:
            job["EndTime"] = order.due.astimezone(UTC)
        if order.asset is not None:
            job["PhysicalAssetRequirements"] = [{"ID": order.asset, "PhysicalAssetUse": "Maintained Asset"}]
        if order.hierarchy:
            job["EquipmentRequirements"] = [{"ID": order.hierarchy[-1].id}]
        return job

    def _parameters(self, order: WorkOrder) -> list[Job]:
        fields = self._body.fields(order)
        return [{"ID": name, "Value": _variant(value)} for name, value in fields.items()]

    def _uri(self, order: WorkOrder) -> str:
        return self._link.replace("{key}", order.key)


def of_production(order: ProductionOrder) -> Job:
    """Give the job of a production order. A day is due at its end, and begun at its start (UTC)."""
    made: Job = {
        "MaterialDefinitionID": order.material_code,
        "MaterialUse": "Material Produced",
        "Quantity": _digits(order.quantity),
    }
    if order.unit:
        made["EngineeringUnits"] = ua.EUInformation(DisplayName=ua.LocalizedText(order.unit))
    job: Job = {
        "JobOrderID": order.order_id,
        "EndTime": _moment(order.due_date, end=True),
        "MaterialRequirements": [made],
    }
    if order.start_date is not None:
        job["StartTime"] = _moment(order.start_date, end=False)
    if order.priority is not None:
        job["Priority"] = order.priority
    if order.work_master:
        job["WorkMasterID"] = [{"ID": order.work_master}]
    if order.parameters:
        job["JobOrderParameters"] = [
            {"ID": one.id, "Value": ua.Variant(one.value, ua.VariantType.String), **_unit(one.unit)}
            for one in order.parameters
        ]
    return job


def same(one: Mapping[str, Any], other: Mapping[str, Any], name: str) -> bool:
    """Say whether a field of two jobs is the same to a receiver; a missing one is like an empty one."""
    return bool(_plain(one.get(name)) == _plain(other.get(name)))


def made_of(job: Mapping[str, Any]) -> tuple[str, float | str]:
    """Give what a job makes, and how much, for a comparison; ("", "") when it does not say."""
    for one in job.get("MaterialRequirements") or ():
        if one.get("MaterialDefinitionID"):
            amount = str(one.get("Quantity") or "")
            try:
                return str(one["MaterialDefinitionID"]), float(amount)
            except ValueError:
                return str(one["MaterialDefinitionID"]), amount
    return "", ""


def _evidence(found: Sequence[Evidence], uri: str) -> list[Job]:
    told = []
    for one in found[:MOST_EVIDENCE]:
        facts = {"kind": one.kind, "sha256": one.sha256, "media_type": one.media_type, "tag": one.tag}
        parts = [{"ID": name, "Value": _variant(value)} for name, value in facts.items() if value]
        told.append({"ID": "evidence", "Value": _variant(one.sha256), "Subparameters": parts})
    if uri:
        told.append({"ID": "uri", "Value": _variant(uri)})
    return told


def _variant(value: Any) -> ua.Variant:
    if isinstance(value, bool):
        return ua.Variant(value, ua.VariantType.Boolean)
    if isinstance(value, int):
        return ua.Variant(value, ua.VariantType.Int64)
    if isinstance(value, float):
        return ua.Variant(value, ua.VariantType.Double)
    return ua.Variant(str(value), ua.VariantType.String)


def _unit(unit: str) -> Job:
    return {"EngineeringUnits": ua.EUInformation(DisplayName=ua.LocalizedText(unit))} if unit else {}


def _digits(quantity: float) -> str:
    return f"{quantity:.15g}"


def _moment(text: str, *, end: bool) -> datetime:
    if len(text) > _DAY:
        return datetime.fromisoformat(text).astimezone(UTC)
    day = date.fromisoformat(text)
    return datetime.combine(day, _LAST if end else time.min, UTC)


def _plain(value: Any) -> Any:
    """Give a field's value for a comparison: what a receiver need not keep (locale, empty lists) counts for nothing."""
    if isinstance(value, ua.LocalizedText):
        return value.Text or None
    if isinstance(value, ua.Variant):
        return _plain(value.Value)
    if isinstance(value, ua.EUInformation):
        return _plain(value.DisplayName)
    if isinstance(value, Mapping):
        found = {name: plain for name, one in value.items() if (plain := _plain(one)) is not None}
        return found or None
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value] or None
    return None if value == "" else value
