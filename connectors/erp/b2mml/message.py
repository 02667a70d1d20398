"""Messages in B2MML-JSON: a work order as a JobOrder, the verbs around it, and what an answer says (pure)."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

from connectors.erp.b2mml.words import LEVELS, RELEASE, Verb, word
from connectors.erp.http import clean
from connectors.erp.isa95 import LONGEST_TITLE, MOST_EVIDENCE, PARAMETERS
from connectors.erp.mapping import Body, Table, cut
from gateway.core.diagnosis import Evidence
from gateway.core.order import Level, WorkOrder

Json = dict[str, Any]

NOUN = "JobList"
OURS = (
    "WorkType",
    "Priority",
    "StartTime",
    "EndTime",
    "Description",
    "HierarchyScope",
    "PhysicalAssetRequirement",
    "EquipmentRequirement",
    "JobOrderParameter",
)
"""The fields of a JobOrder that say something of an order; the others are about the message."""
_ACTIONS: Mapping[Verb, str] = {"Process": "Add", "Change": "Change", "Cancel": "Delete"}
_WORK = {"maintenance": "Maintenance", "quality": "Quality"}


class Answer(msgspec.Struct, frozen=True):
    """What an acknowledgement says. `accepted` None: it is none of our message. `reason` is short and clean."""

    accepted: bool | None
    reason: str = ""


class Messages:
    """Writes messages. Raises `Misconfigured` for a table of parameters that cannot be."""

    def __init__(self, sender: str, parameters: Table, link: str) -> None:
        self._sender, self._link = sender, link
        self._body = Body(parameters or PARAMETERS, None, 20)

    def job(self, order: WorkOrder) -> Json:
        """Give an order as a JobOrder; its ID is our key, and it carries no Command: nobody is told to start."""
        job: Json = {
            "ID": order.key,
            "Version": str(order.version),
            "WorkType": {"$": _WORK[order.work_type]},
            "Priority": order.priority,
            "DispatchStatus": {"$": "Pending"},
            "PublishedDate": _time(order.detected_at),
            "Description": [{"$": cut(order.title, LONGEST_TITLE), "@languageID": order.language}],
        }
        for name, at in (("StartTime", order.required_start), ("EndTime", order.due)):
            if at is not None:
                job[name] = _time(at)
        if order.hierarchy:
            job["HierarchyScope"] = _scope(order.hierarchy)
            place = order.hierarchy[-1]
            job["EquipmentRequirement"] = [
                {"ID": "location", "EquipmentID": [place.id], "EquipmentLevel": {"$": LEVELS[place.level]}}
            ]
        if order.asset is not None:
            job["PhysicalAssetRequirement"] = [
                {"ID": "asset", "PhysicalAssetID": [order.asset], "PhysicalAssetUse": "Maintained Asset"}
            ]
        job["JobOrderParameter"] = [
            *({"ID": name, "Value": [_value(value)]} for name, value in self._body.fields(order).items()),
            *_evidence(order.evidence),
            *self._address(order),
        ]
        return job

    def of(self, verb: Verb, jobs: Sequence[Json], bod: str, at: datetime, reason: str = "") -> Json:
        """Give a message about job orders, under one id that says which."""
        action: Json = {}
        if verb in _ACTIONS:
            criteria: Json = {"ActionExpression": [{"@actionCode": _ACTIONS[verb], "$": f"/{NOUN}"}]}
            if reason:
                criteria["ChangeStatus"] = {"Reason": [{"$": cut(reason, LONGEST_TITLE)}]}
            action = {"ActionCriteria": [criteria]}
        if verb == "Process":
            action = {"@acknowledgeCode": "Always", **action}
        area = {"CreationDateTime": _time(at), "BODID": bod, "Sender": {"LogicalID": self._sender}}
        data = {verb: action, NOUN: [{"ID": jobs[0]["ID"], "JobOrder": list(jobs)}]}
        return {f"{verb}{NOUN}": {"@releaseID": RELEASE, "ApplicationArea": area, "DataArea": data}}

    def _address(self, order: WorkOrder) -> list[Json]:
        if not self._link:
            return []
        value = {"ValueString": self._link.replace("{key}", order.key), "DataType": {"$": "uriReference"}}
        return [{"ID": "uri", "Value": [value]}]


def acknowledged(message: object, bod: str) -> Answer:
    """Read the answer to a message: AcknowledgeJobList, or RespondJobList."""
    for verb in ("Acknowledge", "Respond"):
        told = _data(message, f"{verb}{NOUN}")
        if told is None:
            continue
        said = told.get(verb)
        if not isinstance(said, dict):
            return Answer(None)
        original = said.get("OriginalApplicationArea")
        if isinstance(original, dict) and original.get("BODID") not in (None, bod):
            return Answer(None)
        criteria = [one for one in _list(said.get("ResponseCriteria")) if isinstance(one, dict)]
        codes = [
            str(expression.get("@actionCode", ""))
            for one in criteria
            for expression in _list(one.get("ResponseExpression"))
            if isinstance(expression, dict)
        ]
        if "Rejected" in codes:
            return Answer(accepted=False, reason="; ".join(filter(None, map(_reason, criteria))))
        return Answer(accepted=True)
    return Answer(None)


def shown(message: object, key: str) -> list[Json] | None:
    """Read the job orders of a ShowJobList that have this ID; None when it is no such message."""
    told = _data(message, f"Show{NOUN}")
    if told is None:
        return None
    rows = [
        job for listed in _list(told.get(NOUN)) if isinstance(listed, dict) for job in _list(listed.get("JobOrder"))
    ]
    return [job for job in rows if isinstance(job, dict) and job.get("ID") == key]


def merged(was: Json, wanted: Json, held: Json) -> tuple[Json, tuple[str, ...]]:
    """Give the fields to write: what differs between two versions, but for those that somebody changed since.

    Their names come second.
    """
    news: Json = {}
    kept = []
    for name in OURS:
        before, after, now = was.get(name), wanted.get(name), held.get(name)
        if _same(before, after) or _same(now, after):
            continue
        if _same(now, before):
            news[name] = after
        else:
            kept.append(name)
    return news, tuple(kept)


def parameter(job: Json, name: str) -> str | None:
    """Read a parameter of a job order; None without it."""
    for one in _list(job.get("JobOrderParameter")):
        if isinstance(one, dict) and one.get("ID") == name:
            for value in _list(one.get("Value")):
                if isinstance(value, dict) and isinstance(value.get("ValueString"), str):
                    return str(value["ValueString"])[:64]
    return None


def _same(one: object, other: object) -> bool:
    return one == other or (one in (None, [], {}) and other in (None, [], {}))


def _data(message: object, name: str) -> Json | None:
    body = message.get(name) if isinstance(message, dict) else None
    data = body.get("DataArea") if isinstance(body, dict) else None
    return data if isinstance(data, dict) else None


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]


def _reason(criteria: Json) -> str:
    status = criteria.get("ChangeStatus")
    if not isinstance(status, dict):
        return ""
    return "; ".join(filter(None, (clean(word(one)) for one in _list(status.get("Reason")))))


def _scope(levels: Sequence[Level]) -> Json:
    """Nest the hierarchy, the enterprise outermost."""
    first, *rest = levels
    scope: Json = {"EquipmentID": first.id, "EquipmentLevel": {"$": LEVELS[first.level]}}
    return {**scope, "HierarchyScopeChild": _scope(rest)} if rest else scope


def _evidence(found: Sequence[Evidence]) -> list[Json]:
    told = []
    for one in found[:MOST_EVIDENCE]:
        facts = {"kind": one.kind, "media_type": one.media_type, "tag": one.tag, "sha256": one.sha256}
        children = [{"ID": name, "Value": [{"ValueString": value}]} for name, value in facts.items() if value]
        told.append({"ID": "evidence", "ParameterChild": children})
    return told


def _value(value: Any) -> Json:
    if isinstance(value, bool):
        return {"ValueString": str(value).lower(), "DataType": {"$": "boolean"}}
    if isinstance(value, int):
        return {"ValueString": str(value), "DataType": {"$": "integer"}}
    if isinstance(value, float):
        return {"ValueString": repr(value), "DataType": {"$": "double"}}
    return {"ValueString": value if isinstance(value, str) else msgspec.json.encode(value).decode()}


def _time(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
