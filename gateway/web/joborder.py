"""Production orders in the form of ISA-95: a ProcessJobList of B2MML-JSON in, a JobResponse out."""

from collections.abc import Sequence
from datetime import UTC, datetime
from math import isfinite
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from litestar import Request, Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath

from gateway.core.delivery import ProductionOrder
from gateway.core.production import StoredProduction
from gateway.flow.production import take_production_orders
from gateway.runtime.gateway import Gateway
from gateway.web.auth import caller_of
from gateway.web.bodies import read
from gateway.web.problems import FieldFault, Wrong
from gateway.web.production import after, check_date, now_of, stored

RELEASE = "V0700"
_ORDERS = "/production/joborder"
Id = Annotated[str, msgspec.Meta(min_length=1, max_length=128)]
_MOST = 100
_JOBS = {
    "RUNNING": "Running",
    "INTERRUPTED": "Held",
    "COMPLETED": "Completed",
    "ABORTED": "Aborted",
    "WAITING": "Ready",
}
_STATES = {"ACCEPTED": "Ready", "PARKED": "Held", "DROPPED": "Aborted"}


class Word(msgspec.Struct, frozen=True):
    """A word of an enumeration, or a text, as B2MML-JSON writes it: {"$": "Production"}."""

    value: Annotated[str, msgspec.Meta(max_length=1024)] = msgspec.field(name="$")


class Amount(msgspec.Struct, frozen=True, rename="pascal"):
    """A quantity of something."""

    quantity_string: str
    unit_of_measure: Annotated[str, msgspec.Meta(max_length=32)] = ""


class Material(msgspec.Struct, frozen=True, rename="pascal"):
    """What is made, or used for it."""

    material_definition_id: tuple[Id, ...] = msgspec.field(name="MaterialDefinitionID", default=())
    material_use: Word | str | None = None
    quantity: tuple[Amount, ...] = ()


class Said(msgspec.Struct, frozen=True, rename="pascal"):
    """The value of a parameter."""

    value_string: Annotated[str, msgspec.Meta(max_length=1024)] = ""
    unit_of_measure: Annotated[str, msgspec.Meta(max_length=32)] = ""


class Parameter(msgspec.Struct, frozen=True, rename="pascal"):
    """A parameter of the order."""

    id: Id = msgspec.field(name="ID")
    value: tuple[Said, ...] = ()


class JobOrder(msgspec.Struct, frozen=True, rename="pascal"):
    """The part of a JobOrder that a production order needs; what else it says is left alone."""

    id: Annotated[str, msgspec.Meta(min_length=1, max_length=64)] = msgspec.field(name="ID")
    work_type: Word
    end_time: str
    start_time: str | None = None
    priority: Annotated[int, msgspec.Meta(ge=0, le=9999)] | None = None
    work_master_id: Word | str | None = msgspec.field(name="WorkMasterID", default=None)
    material_requirement: Annotated[tuple[Material, ...], msgspec.Meta(max_length=200)] = ()
    job_order_parameter: Annotated[tuple[Parameter, ...], msgspec.Meta(max_length=200)] = ()


class JobList(msgspec.Struct, frozen=True, rename="pascal"):
    """Job orders under one id."""

    id: Id = msgspec.field(name="ID")
    job_order: Annotated[tuple[JobOrder, ...], msgspec.Meta(min_length=1, max_length=_MOST)]


class DataArea(msgspec.Struct, frozen=True, rename="pascal"):
    """What is asked for, and the lists that it is asked for."""

    process: dict[str, Any]
    job_list: Annotated[tuple[JobList, ...], msgspec.Meta(min_length=1, max_length=_MOST)]


class Process(msgspec.Struct, frozen=True, rename="pascal"):
    """The message: who sent it, and what it says."""

    application_area: dict[str, Any]
    data_area: DataArea


class ProcessJobList(msgspec.Struct, frozen=True, rename="pascal"):
    """A message "process these job orders" (B2MML-JSON V0700)."""

    process_job_list: Process


@post(
    _ORDERS,
    status_code=202,
    opt={"scope": "production:write", "reach": "everywhere", "once": "again", "body": ProcessJobList},
)
async def take(request: Request[Any, Any, Any], gateway: NamedDependency[Gateway]) -> Response[dict[str, Any]]:
    """Take production orders in, all of the message or none, once per ID; answers with AcknowledgeJobList."""
    message = await read(request, ProcessJobList, limit=gateway.api.max_body)
    jobs = [job for listed in message.process_job_list.data_area.job_list for job in listed.job_order]
    faults: list[FieldFault] = []
    orders = [order for number, job in enumerate(jobs) if (order := order_of(job, number, faults)) is not None]
    if faults:
        raise Wrong(400, "the request is not as it should be", tuple(faults))
    actor = caller_of(request).subject
    kept = await take_production_orders(gateway.store, orders, actor, gateway.now, gateway.produce_to)
    gateway.wake_production()
    repeated = all(one.repeated for one in kept)
    answer = acknowledged(message, [order.order_id for order in orders], gateway.now())
    return Response(answer, status_code=202, headers={"Idempotent-Replayed": "true"} if repeated else None)


@get(f"{_ORDERS}/{{order_id:path}}", opt={"scope": "read", "reach": "everywhere"})
async def standing(
    request: Request[Any, Any, Any], gateway: NamedDependency[Gateway], order_id: FromPath[Path]
) -> dict[str, Any]:
    """Show how a production order stands, as a JobResponse."""
    del order_id  # see `after`
    return response_of(await stored(gateway, after(request, _ORDERS)), gateway.now())


def order_of(job: JobOrder, number: int, faults: list[FieldFault]) -> ProductionOrder | None:
    """Read a JobOrder as a production order; None, with what is wrong added to `faults`."""
    at = f"JobOrder[{number}]"
    before = len(faults)
    if job.work_type.value != "Production":
        faults.append(FieldFault(f"{at}.WorkType", "only Production is taken here"))
    made = _made(job.material_requirement)
    amount = made.quantity[0] if made is not None and made.quantity else None
    if made is None or not made.material_definition_id or amount is None:
        wanted = "name what is made: one MaterialRequirement, or one of MaterialUse Produced, with a Quantity"
        faults.append(FieldFault(f"{at}.MaterialRequirement", wanted))
    fields = {
        "order_id": job.id,
        "material_code": made.material_definition_id[0] if made is not None and made.material_definition_id else "",
        "quantity": _number(amount.quantity_string) if amount is not None else None,
        "due_date": job.end_time,
        "unit": amount.unit_of_measure if amount is not None else "",
        "start_date": job.start_time,
        "priority": job.priority,
        "work_master": _text(job.work_master_id),
        "parameters": [
            {"id": one.id, "value": one.value[0].value_string, "unit": one.value[0].unit_of_measure}
            for one in job.job_order_parameter
            if one.value
        ],
    }
    for name, text in (("EndTime", job.end_time), ("StartTime", job.start_time)):
        try:
            check_date(f"{at}.{name}", text or "2000-01-01")
        except Wrong as wrong:
            faults.extend(wrong.errors)
    if len(faults) > before:
        return None
    try:
        return msgspec.convert(fields, ProductionOrder)
    except msgspec.ValidationError as bad:
        faults.append(FieldFault(at, str(bad)))
        return None


def _made(materials: Sequence[Material]) -> Material | None:
    produced = [
        one for one in materials if _text(one.material_use).replace(" ", "") in {"Produced", "MaterialProduced"}
    ]
    chosen = produced or ([] if len(materials) > 1 else list(materials))
    return chosen[0] if len(chosen) == 1 else None


def _text(word: Word | str | None) -> str:
    return word.value if isinstance(word, Word) else word or ""


def _number(text: str) -> float | None:
    try:
        found = float(text)
    except ValueError:
        return None
    return found if isfinite(found) else None


def acknowledged(message: ProcessJobList, order_ids: Sequence[str], at: datetime) -> dict[str, Any]:
    """Give the answer: the message's own ApplicationArea, and the orders that are on disk now."""
    original = message.process_job_list.application_area
    jobs = [{"ID": order_id, "DispatchStatus": {"$": "Pending"}} for order_id in order_ids]
    data = {
        "Acknowledge": {"OriginalApplicationArea": original, "ResponseCriteria": []},
        "JobList": [{"ID": message.process_job_list.data_area.job_list[0].id, "JobOrder": jobs}],
    }
    return _message("AcknowledgeJobList", f"{original.get('BODID', order_ids[0])}-ack", data, at)


def response_of(held: StoredProduction, at: datetime) -> dict[str, Any]:
    """Give a production order as a JobResponse."""
    now = now_of(held)
    state = _JOBS.get(now.job) or _STATES.get(now.state, "Waiting")
    response: dict[str, Any] = {
        "ID": f"{held.order.order_id}-response",
        "JobOrderID": held.order.order_id,
        "WorkType": {"$": "Production"},
        "JobState": {"$": state},
    }
    if now.job in {"COMPLETED", "ABORTED"} and now.job_at is not None:
        response["EndTime"] = _time(now.job_at)
    if now.reason:
        response["Description"] = [{"$": now.reason}]
    data = {"Show": {}, "JobResponseList": [{"ID": held.order.order_id, "JobResponse": [response]}]}
    return _message("ShowJobResponseList", f"{held.order.order_id}-{_time(at)}", data, at)


def _message(
    verb: Literal["AcknowledgeJobList", "ShowJobResponseList"], bod: str, data: Any, at: datetime
) -> dict[str, Any]:
    area = {"CreationDateTime": _time(at), "BODID": bod, "Sender": {"LogicalID": "andon"}}
    return {verb: {"@releaseID": RELEASE, "ApplicationArea": area, "DataArea": data}}


def _time(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
