"""A MES that takes job orders in B2MML-JSON (V0700), and checks what it is sent by itself."""

import asyncio
import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from simulators.erp import desk
from simulators.erp.asgi import Request, Response, json_response, problem
from simulators.erp.b2mml_models import CHANGEABLE, MESSAGES, ORDER, faults
from simulators.erp.book import Book, Order
from simulators.erp.faults import Fault
from simulators.idp import IdentityProvider

ROOT = "/b2mml"
_BEFORE = {"Waiting", "Pending", "Dispatched", "Ready"}
_OVER = {"Completed", "Closed", "Cancelled", "Aborted"}
_LOWEST = 5


@dataclass(slots=True)
class Habits:
    """How this MES is set up.

    `repeats`: a job order that is there already is acknowledged again when it is the very same; else every second one
    is refused. `terse`: an acknowledgement of what was accepted names no criteria.
    """

    repeats: bool = False
    terse: bool = False


class B2mml:
    """One MES. Its job orders are the ERP's orders: `reference` is the ID."""

    prefix = ROOT

    def __init__(self, book: Book, idp: IdentityProvider) -> None:
        self._book, self._idp = book, idp
        self.habits = Habits()

    def admits(self, request: Request) -> Response | None:
        """Let in who has a token."""
        if self._idp.knows(request.header("authorization"), "erp"):
            return None
        answer = problem(401, "Unauthorized")
        answer.headers["www-authenticate"] = 'Bearer error="invalid_token"'
        return answer

    def about(self, request: Request) -> tuple[str, str]:
        """Give ID and asset of the first job order of a message."""
        try:
            job = next(_jobs(next(iter(request.json().values()))["DataArea"]))
            assets = job.get("PhysicalAssetRequirement") or [{"PhysicalAssetID": [""]}]
            return str(job["ID"]), str(assets[0]["PhysicalAssetID"][0])
        except (ValueError, TypeError, KeyError, AttributeError, IndexError, StopIteration):
            return "", ""

    def says(self, fault: Fault) -> Response | None:
        """Say it in the common words: HTTP carries the messages."""
        del fault
        return None

    def turn(self, habits: dict[str, Any]) -> None:
        """Set habits; `edit` is a planner's change, {"ID": "AN..", ..}."""
        edit = habits.pop("edit", None)
        desk.turn(self.habits, habits)
        if edit is not None:
            for order in self._book.orders(str(edit.pop("ID"))):
                self._book.rewrite(order.id, {**order.body, **edit})

    async def answer(self, request: Request, fault: Fault | None) -> Response:
        """Check a message and do what it asks for."""
        try:
            message = json.loads(request.body)
        except ValueError:
            return problem(400, "Bad Request", "the body is no JSON")
        name = next(iter(message), "") if isinstance(message, dict) and len(message) == 1 else ""
        if request.method != "POST" or name not in MESSAGES:
            return problem(400, "Bad Request", f"send one of {', '.join(MESSAGES)}")
        wanted = request.path.removeprefix(ROOT).strip("/")
        if wanted and wanted != name:
            return problem(400, "Bad Request", f"{name} is not for {request.path}")
        wrong = next(faults(message[name], MESSAGES[name], name), None)
        if wrong is not None:
            return problem(400, "Bad Request", wrong[1], errors=[{"field": wrong[0]}])
        if fault is not None and fault.kind in ("ghost", "slow"):
            await asyncio.sleep(fault.seconds)
        return self._do(name, message[name])

    def _do(self, name: str, body: dict[str, Any]) -> Response:
        jobs = list(_jobs(body["DataArea"]))
        if name == "GetJobList":
            rows = [order.body[ORDER] | _status(order) for job in jobs for order in self._book.orders(job["ID"])]
            return _message("ShowJobList", {"Show": {}, "JobList": [{"ID": "found", "JobOrder": rows}]})
        act = {"ProcessJobList": self._store, "ChangeJobList": self._change, "CancelJobList": self._cancel}[name]
        refused = [why for job in jobs if (why := act(job))]
        return self._told(name, body["ApplicationArea"], refused)

    def _store(self, job: dict[str, Any]) -> str:
        there = self._book.orders(job["ID"])
        if there:
            same = there[0].body[ORDER] == job
            return "" if same and self.habits.repeats else f"Job order {job['ID']} exists already."
        if not 1 <= job.get("Priority", 1) <= _LOWEST:
            return f"Priority {job['Priority']} is not known."
        title = job["Description"][0]["$"] if job.get("Description") else ""
        made = {ORDER: job, "DispatchStatus": job.get("DispatchStatus") or {"$": "Waiting"}}
        self._book.commit({**made, "reference": job["ID"], "title": title}, None, job["ID"])
        return ""

    def _change(self, job: dict[str, Any]) -> str:
        order = self._one(job)
        if order is None:
            return f"Job order {job['ID']} is not known."
        if _word(order) in _OVER:
            return f"Job order {job['ID']} is {_word(order)}."
        news = {name: value for name, value in job.items() if name in CHANGEABLE}
        self._book.rewrite(order.id, {**order.body, ORDER: {**order.body[ORDER], **news}})
        return ""

    def _cancel(self, job: dict[str, Any]) -> str:
        order = self._one(job)
        if order is None:
            return f"Job order {job['ID']} is not known."
        if _word(order) not in _BEFORE:
            return f"Job order {job['ID']} is {_word(order)}."
        self._book.rewrite(order.id, {**order.body, "DispatchStatus": {"$": "Cancelled"}})
        return ""

    def _one(self, job: dict[str, Any]) -> Order | None:
        return next(iter(self._book.orders(job["ID"])), None)

    def _told(self, name: str, area: dict[str, Any], refused: list[str]) -> Response:
        verb = "Acknowledge" if name == "ProcessJobList" else "Respond"
        criteria: dict[str, Any] = {"ResponseExpression": [{"@actionCode": "Accepted", "$": "/JobList"}]}
        if refused:
            criteria["ResponseExpression"][0]["@actionCode"] = "Rejected"
            criteria["ChangeStatus"] = {"Reason": [{"$": why} for why in refused]}
        told: dict[str, Any] = {"OriginalApplicationArea": area}
        if refused or not self.habits.terse:
            told["ResponseCriteria"] = [criteria]
        return _message(f"{verb}JobList", {verb: told, "JobList": []})


def _message(name: str, data: dict[str, Any]) -> Response:
    at = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    area = {"CreationDateTime": at, "BODID": f"MES-{name}", "Sender": {"LogicalID": "mes"}}
    return json_response(200, {name: {"@releaseID": "V0700", "ApplicationArea": area, "DataArea": data}})


def _jobs(data: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for listed in data["JobList"]:
        yield from listed["JobOrder"]


def _status(order: Order) -> dict[str, Any]:
    more = [{"ID": "code", "Value": [{"ValueString": order.body["code"]}]}] if order.body.get("code") else []
    parameters = [*order.body[ORDER].get("JobOrderParameter", []), *more]
    return {"DispatchStatus": order.body["DispatchStatus"], "JobOrderParameter": parameters}


def _word(order: Order) -> str:
    return str(order.body["DispatchStatus"]["$"])
