"""An Odoo 19 as its recorded exchanges show it: JSON-2 over maintenance requests, and over quality alerts."""

import asyncio
import contextlib
import hmac
import time
from dataclasses import dataclass, field
from typing import Any

import httpx2

from simulators.erp import desk
from simulators.erp.asgi import Request, Response, json_response
from simulators.erp.book import Book, Order
from simulators.erp.faults import Fault
from simulators.erp.odoo_errors import error, forbidden, not_loaded
from simulators.erp.odoo_models import ALERT, CARRIERS, FIELDS, REQUEST, ImportFault, found, imported, model_of, shown

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

    `installed` has Maintenance, `enterprise` Quality. `manager` False takes the rights to write away. `work` is how
    long a write takes, in seconds: a second one on the same equipment meanwhile cannot be serialized. `hook` is told
    about every change: unsigned, without an id, once, and never again when nobody takes it within a second.
    """

    equipment: list[str] = field(default_factory=lambda: [f"M-{number:02d}" for number in range(1, 13)])
    manager: bool = True
    installed: bool = True
    enterprise: bool = False
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
                return not_loaded("equipment_id", "equipment is blocked")
            case "unknown_field":
                return error(500, "builtins.ValueError", "Invalid field 'x_colour' in 'maintenance.request'")
            case "forbidden":
                return forbidden(REQUEST)
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
        there = {"maintenance": self.habits.installed, "quality": self.habits.enterprise}
        if model not in FIELDS or not there.get(model.partition(".")[0], True):
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
        if not self.habits.manager or model not in CARRIERS:
            return forbidden(model)
        slow = fault.seconds if fault is not None and fault.kind in ("ghost", "slow") else 0.0
        try:
            rows = self._rows(model, method, body)
        except ImportFault as no:
            return not_loaded(no.field, str(no))
        except ValueError as no:
            return error(500, "builtins.ValueError", str(no))
        touched = {int(row["equipment_id"]) for row in rows if row.get("equipment_id")}
        if touched & self._busy:
            return not_loaded("", "could not serialize access due to concurrent update")
        self._busy |= touched
        try:
            await asyncio.sleep(slow + self.habits.work)
        finally:
            self._busy -= touched
        if method == "write":
            return self._write(body["ids"], rows[0], model)
        put = [self._put(model, row) for row in rows]
        for order in put:
            self._tell_hook(order)
        ids = [order.id for order in put]
        return json_response(200, {"ids": ids, "messages": [], "nextrow": 0} if method == "load" else ids)

    def _rows(self, model: str, method: str, body: dict[str, Any]) -> list[dict[str, Any]]:
        """Check everything before anything is written: a call is one transaction."""
        if method == "load":
            loaded = [imported(model, body["fields"], row, self.habits.equipment) for row in body["data"]]
            for row in loaded:
                self._one_model(model, str(row.get("id", "")))
            return loaded
        rows = [body["vals"]] if method == "write" else list(body["vals_list"])
        for name in {name for row in rows for name in row}:
            if name not in FIELDS[model]:
                raise ValueError(f"Invalid field '{name}' in '{model}'")
        return rows

    def _one_model(self, model: str, external: str) -> None:
        """Refuse an external id that a record of another model has."""
        for order in self._book.orders(external.removeprefix(f"{MODULE}.")) if external else []:
            if model_of(order) != model:
                text = f"For external id {external} of {model} there is a record of {model_of(order)} ({order.id})"
                raise ImportFault("", text)

    def _put(self, model: str, values: dict[str, Any]) -> Order:
        """Make a record, or write over the one that has this external id."""
        name = str(values.pop("id", "")).removeprefix(f"{MODULE}.")
        known = self._book.orders(name) if name else []
        if known:
            return self._rewrite(known[0], values)
        made = {**CARRIERS[model].made, **values, "model": model}
        return self._book.commit({"title": str(values.get("name", "")), **made, "reference": name}, None)

    def _write(self, ids: list[int], values: dict[str, Any], model: str = "") -> Response:
        for one in ids:
            order = self._book.order(str(one))
            if order is None or model not in ("", model_of(order)):
                return error(404, "odoo.exceptions.MissingError", "Record does not exist or has been deleted.")
            self._tell_hook(self._rewrite(order, values))
        return json_response(200, body=True)

    def _rewrite(self, order: Order, values: dict[str, Any]) -> Order:
        body = {**order.body, **values}
        if model_of(order) == REQUEST:
            body["title"] = str(body.get("name", ""))
        stage = CARRIERS[model_of(order)].stages[int(body.get("stage_id") or 1) - 1]
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
            case model if model in CARRIERS:
                near = self._near([condition for condition in domain if condition[0] == "id"])
                return [shown(order, self.habits.equipment) for order in near if model_of(order) == model]
            case "ir.model.data":
                return [
                    {
                        "id": order.id,
                        "module": MODULE,
                        "name": order.reference,
                        "model": model_of(order),
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
            case "quality.alert.team":
                return [{"id": 1, "name": "Main Quality Team"}, {"id": 2, "name": "Incoming goods"}]
            case "maintenance.stage" | "quality.alert.stage":
                carrier = CARRIERS[REQUEST if model == "maintenance.stage" else ALERT]
                return [
                    {"id": number, "name": name, "sequence": number, "done": number >= carrier.done, "team_ids": []}
                    for number, name in enumerate(carrier.stages, 1)
                ]
        return [{"id": 1, "name": "andon", "scope": "rpc", "expiration_date": self.habits.key_expires or False}]


async def _called(hook: str, order: Order) -> None:
    moment = (
        time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(order.updated_at)) + f".{int(order.updated_at % 1 * 1e6):06d}"
    )
    body = {
        "_action": "Andon webhook(#376)",
        "_id": order.id,
        "_model": model_of(order),
        "id": order.id,
        "name": order.title,
        "priority": order.body.get("priority"),
        "stage_id": order.body.get("stage_id"),
        "write_date": moment,
    }
    async with httpx2.AsyncClient(timeout=1.0, follow_redirects=False, trust_env=False) as client:
        with contextlib.suppress(httpx2.TransportError):
            await client.post(hook, json=body)
