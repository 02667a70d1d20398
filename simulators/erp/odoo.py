"""An Odoo 19 as its recorded exchanges show it: JSON-2 over maintenance requests."""

import asyncio
import contextlib
import hmac
import json
import time
from dataclasses import dataclass, field
from typing import Any

import httpx2

from simulators.erp import desk
from simulators.erp.asgi import Request, Response, json_response
from simulators.erp.book import Book, Order
from simulators.erp.faults import Fault
from simulators.erp.odoo_models import DONE, FIELDS, STAGES, ImportFault, found, imported, shown

MODULE = "andon"
_NEEDS = {
    "load": ("fields", "data"),
    "create": ("vals_list",),
    "write": ("ids", "vals"),
    "search_read": ("domain",),
    "search_count": ("domain",),
    "has_access": ("operation",),
}


@dataclass(slots=True)
class Habits:
    """How this Odoo is set up. `equipment` are serial numbers, their ids count from 1; `key_expires` is a date.

    `manager` False takes the rights of an Equipment Manager away. `work` is how long a write takes, in seconds:
    a second one on the same equipment meanwhile cannot be serialized. `hook` is told about every change: unsigned,
    without an id, once, and never again when nobody takes it within a second.
    """

    equipment: list[str] = field(default_factory=lambda: [f"M-{number:02d}" for number in range(1, 13)])
    manager: bool = True
    installed: bool = True
    key_expires: str = ""
    work: float = 0.0
    hook: str = ""


class Odoo:
    """One database of an Odoo. Its records are the ERP's orders: `reference` is our part of the external id."""

    prefix = "/json/2/"

    def __init__(self, book: Book, api_key: str) -> None:
        self._book, self._api_key = book, api_key
        self.habits = Habits()
        self._busy: set[int] = set()
        self._calls: set[asyncio.Task[None]] = set()

    def admits(self, request: Request) -> Response | None:
        """Let in who has the key."""
        kind, _, given = request.header("authorization").partition(" ")
        if kind.lower() == "bearer" and hmac.compare_digest(given.strip().encode(), self._api_key.encode()):
            return None
        answer = error(401, "werkzeug.exceptions.Unauthorized", "Invalid apikey")
        answer.headers["www-authenticate"] = "Bearer"
        return answer

    def about(self, request: Request) -> tuple[str, str]:
        """Give the first external id of a load, without the module."""
        try:
            rows = request.json().get("data")
            return str(rows[0][0]).removeprefix(f"{MODULE}."), ""
        except (ValueError, AttributeError, TypeError, IndexError):
            return "", ""

    def says(self, fault: Fault) -> Response | None:
        """Refuse as Odoo does: 200 with messages, and insides in an error."""
        match fault.kind:
            case "refuse":
                return _not_loaded("equipment_id", "equipment is blocked")
            case "unknown_field":
                return error(500, "builtins.ValueError", "Invalid field 'x_colour' in 'maintenance.request'")
            case "forbidden":
                return _forbidden()
            case "unauthorized":
                return error(401, "werkzeug.exceptions.Unauthorized", "Invalid apikey")
        return None

    def turn(self, habits: dict[str, Any]) -> None:
        """Set habits; `edit` is a planner's change of a record: {"id": 1, "name": ".."}."""
        edit = habits.pop("edit", None)
        desk.turn(self.habits, habits)
        if edit is not None:
            self._write([int(edit.pop("id"))], edit)

    async def answer(self, request: Request, fault: Fault | None) -> Response:
        """Call a method of a model."""
        model, _, method = request.path.removeprefix(self.prefix).partition("/")
        try:
            body = request.json()
        except ValueError:
            return error(400, "werkzeug.exceptions.BadRequest", "Invalid JSON")
        if model not in FIELDS or (model.startswith("maintenance.") and not self.habits.installed):
            return error(404, "werkzeug.exceptions.NotFound", f"the model '{model}' does not exist")
        missing = [name for name in _NEEDS.get(method, ()) if name not in body]
        if missing:
            text = f"missing a required argument: '{missing[0]}'"
            return error(422, "werkzeug.exceptions.UnprocessableEntity", text)
        if method in {"load", "create", "write"}:
            return await self._change(model, method, body, fault)
        if fault is not None and fault.kind == "slow":
            await asyncio.sleep(fault.seconds)
        return self._tell(model, method, body)

    async def _change(self, model: str, method: str, body: dict[str, Any], fault: Fault | None) -> Response:
        if not self.habits.manager or model != "maintenance.request":
            return _forbidden()
        slow = fault.seconds if fault is not None and fault.kind in ("ghost", "slow") else 0.0
        try:
            rows = self._rows(method, body)
        except ImportFault as no:
            return _not_loaded(no.field, str(no))
        except ValueError as no:
            return error(500, "builtins.ValueError", str(no))
        touched = {int(row["equipment_id"]) for row in rows if row.get("equipment_id")}
        if touched & self._busy:
            return _not_loaded("", "could not serialize access due to concurrent update")
        self._busy |= touched
        try:
            await asyncio.sleep(slow + self.habits.work)
        finally:
            self._busy -= touched
        if method == "write":
            return self._write(body["ids"], rows[0])
        put = [self._put(row) for row in rows]
        for order in put:
            self._tell_hook(order)
        ids = [order.id for order in put]
        return json_response(200, {"ids": ids, "messages": [], "nextrow": 0} if method == "load" else ids)

    def _rows(self, method: str, body: dict[str, Any]) -> list[dict[str, Any]]:
        """Check everything before anything is written: a call is one transaction."""
        if method == "load":
            return [imported(body["fields"], row, self.habits.equipment) for row in body["data"]]
        rows = [body["vals"]] if method == "write" else list(body["vals_list"])
        for name in {name for row in rows for name in row}:
            if name not in FIELDS["maintenance.request"]:
                raise ValueError(f"Invalid field '{name}' in 'maintenance.request'")
        return rows

    def _put(self, values: dict[str, Any]) -> Order:
        """Make a record, or write over the one that has this external id."""
        name = str(values.pop("id", "")).removeprefix(f"{MODULE}.")
        known = self._book.orders(name) if name else []
        if known:
            return self._rewrite(known[0], values)
        made = {"stage_id": 1, "kanban_state": "normal", "maintenance_team_id": 1, "archive": False, **values}
        return self._book.commit({**made, "reference": name, "title": str(values.get("name", ""))}, None)

    def _write(self, ids: list[int], values: dict[str, Any]) -> Response:
        for one in ids:
            order = self._book.order(str(one))
            if order is None:
                return error(404, "odoo.exceptions.MissingError", "Record does not exist or has been deleted.")
            self._tell_hook(self._rewrite(order, values))
        return json_response(200, body=True)

    def _rewrite(self, order: Order, values: dict[str, Any]) -> Order:
        body = {**order.body, **values}
        body["title"] = str(body.get("name", ""))
        stage = STAGES[int(body.get("stage_id") or 1) - 1]
        return self._book.rewrite(order.id, body, stage) or order

    def _tell_hook(self, order: Order) -> None:
        if self.habits.hook:
            task = asyncio.get_running_loop().create_task(_called(self.habits.hook, order))
            self._calls.add(task)
            task.add_done_callback(self._calls.discard)

    def _tell(self, model: str, method: str, body: dict[str, Any]) -> Response:
        match method:
            case "fields_get":
                return json_response(200, FIELDS[model])
            case "has_access":
                return json_response(200, body=self.habits.manager or body["operation"] == "read")
            case "search_read" | "search_count":
                try:
                    rows = found(self._records(model, body["domain"]), body["domain"])
                except KeyError as no:
                    return error(500, "builtins.ValueError", f"Invalid field {model}.{no.args[0]}")
                if method == "search_count":
                    return json_response(200, len(rows))
                wanted = body.get("fields") or ["id"]
                wrong = [name for name in wanted if name != "id" and name not in FIELDS[model]]
                if wrong:
                    return error(500, "builtins.ValueError", f"Invalid field {wrong[0]!r} on {model!r}")
                return json_response(200, [{"id": row["id"], **{name: row[name] for name in wanted}} for row in rows])
        return error(404, "werkzeug.exceptions.NotFound", f"the method '{model}.{method}' does not exist")

    def _near(self, domain: list[list[Any]]) -> list[Order]:
        """Give the records that may fit a domain: by the database's index where there is one."""
        for name, how, wanted in domain:
            values = wanted if how == "in" else [wanted] if how == "=" else []
            if name == "id" and values:
                return [order for one in values if (order := self._book.order(str(one))) is not None]
            if name == "name" and values:
                return [order for one in values for order in self._book.orders(str(one))]
        return self._book.orders()

    def _records(self, model: str, domain: list[list[Any]]) -> list[dict[str, Any]]:
        match model:
            case "maintenance.request":
                by_id = [condition for condition in domain if condition[0] == "id"]
                return [shown(order, self.habits.equipment) for order in self._near(by_id)]
            case "ir.model.data":
                return [
                    {
                        "id": order.id,
                        "module": MODULE,
                        "name": order.reference,
                        "model": "maintenance.request",
                        "res_id": order.id,
                    }
                    for order in self._near(domain)
                    if order.reference
                ]
            case "maintenance.equipment":
                return [
                    {"id": number, "name": f"Machine {serial}", "serial_no": serial}
                    for number, serial in enumerate(self.habits.equipment, 1)
                ]
            case "maintenance.team":
                return [{"id": 1, "name": "Internal Maintenance"}, {"id": 2, "name": "Metrology"}]
            case "maintenance.stage":
                return [
                    {"id": number, "name": name, "sequence": number, "done": number >= DONE}
                    for number, name in enumerate(STAGES, 1)
                ]
        return [{"id": 1, "name": "andon", "scope": "rpc", "expiration_date": self.habits.key_expires or False}]


async def _called(hook: str, order: Order) -> None:
    moment = (
        time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(order.updated_at)) + f".{int(order.updated_at % 1 * 1e6):06d}"
    )
    body = {
        "_action": "Andon webhook(#376)",
        "_id": order.id,
        "_model": "maintenance.request",
        "id": order.id,
        "name": order.title,
        "priority": order.body.get("priority"),
        "stage_id": order.body.get("stage_id"),
        "write_date": moment,
    }
    async with httpx2.AsyncClient(timeout=1.0, follow_redirects=False, trust_env=False) as client:
        with contextlib.suppress(httpx2.TransportError):
            await client.post(hook, json=body)


def error(status: int, name: str, message: str) -> Response:
    """Give an error as JSON-2 does, with its traceback."""
    debug = f'Traceback (most recent call last):\n  File "/opt/odoo/odoo/http.py", line 2251\n{name}: {message}\n'
    return json_response(
        status, {"name": name, "message": message, "arguments": [message], "context": {}, "debug": debug}
    )


def _not_loaded(field_name: str, message: str) -> Response:
    said = {
        "type": "error",
        "message": message,
        "rows": {"from": 0, "to": 0},
        "record": 0,
        "moreinfo": [],
        "at": time.time(),
    }
    if field_name:
        said["field"] = field_name
    return Response(
        200,
        json.dumps({"ids": False, "messages": [said], "nextrow": False}).encode(),
        {"content-type": "application/json; charset=utf-8"},
    )


def _forbidden() -> Response:
    text = (
        "Sorry, Robin Example (id=7) doesn't have 'create' access to:\n- Maintenance Request (maintenance.request)\n"
        "\nThis operation is allowed for the following groups:\n\t- Maintenance/Equipment Manager"
    )
    return error(403, "odoo.exceptions.AccessError", text)
