"""An IBM Maximo Manage as its documents describe it: work orders over the REST/JSON API."""

import asyncio
import base64
import hmac
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from simulators.erp import desk
from simulators.erp.asgi import Request, Response, json_response
from simulators.erp.book import Book, Order
from simulators.erp.columns import fault_of
from simulators.erp.faults import Fault
from simulators.erp.maximo_models import (
    CANCELLED,
    COLUMNS,
    NUMBER,
    SITE,
    STAMP,
    STATUS,
    STRUCTURE,
    WAITING,
    error,
    not_taken,
    schema,
)

ROOT = "/maximo/"
_CONTEXTS = ("api/", "oslc/")
_WHERE = re.compile(r'^wonum="([^"]*)"(?: and siteid="([^"]*)")?$')
_ENDED = {"CLOSE", CANCELLED}


@dataclass(slots=True)
class Habits:
    """How this Maximo is set up. `longest_number` is the length of WONUM.

    `duplicate` and `stale` are the codes that it refuses with; `echo`: it honours the header `properties`.
    """

    longest_number: int = 25
    duplicate: str = "BMXAA4129E"
    stale: str = "BMXAA8229W"
    stale_status: int = 400
    echo: bool = True
    writes: bool = True


class Maximo:
    """One site. Its records are the ERP's orders: `reference` is the work order number."""

    prefix = ROOT

    def __init__(self, book: Book, api_key: str, site: str) -> None:
        self._book, self._api_key, self._site = book, api_key, site
        self.habits = Habits()

    def admits(self, request: Request) -> Response | None:
        """Let in who has the key, in its header."""
        given = request.header("apikey").encode()
        if "apikey" not in request.query and given and hmac.compare_digest(given, self._api_key.encode()):
            return None
        return error(401, "BMXAA7901E", "You cannot log in at this time. Contact the system administrator.")

    def about(self, request: Request) -> tuple[str, str]:
        """Give number and asset of a work order in a body."""
        try:
            body = request.json()
            return str(body.get(NUMBER, "")), str(body.get("assetnum", ""))
        except (ValueError, AttributeError):
            return "", ""

    def says(self, fault: Fault) -> Response | None:
        """Refuse as Maximo does."""
        match fault.kind:
            case "refuse":
                return error(400, "BMXAA4014E", "Field EQUIPMENT: equipment is blocked")
            case "forbidden":
                return error(403, "BMXAA9051E", "User ROBIN does not have access to the object structure")
            case "unauthorized":
                return error(401, "BMXAA7901E", "You cannot log in at this time.")
        return None

    def turn(self, habits: dict[str, Any]) -> None:
        """Set habits; `edit` is a planner's change, {"wonum": "AN..", ..}."""
        edit = habits.pop("edit", None)
        desk.turn(self.habits, habits)
        if edit is not None:
            for order in self._book.orders(str(edit.pop(NUMBER))):
                self._rewrite(order, edit)

    async def answer(self, request: Request, fault: Fault | None) -> Response:
        """Find the object structure and the record."""
        rest = request.path.removeprefix(ROOT)
        rest = next((rest.removeprefix(one) for one in _CONTEXTS if rest.startswith(one)), "")
        if request.method == "POST":
            if fault is not None and fault.kind in ("ghost", "slow"):
                await asyncio.sleep(fault.seconds)
            return self._write(request, rest)
        if fault is not None and fault.kind == "slow":
            await asyncio.sleep(fault.seconds)
        if rest == "whoami":
            return json_response(200, {"loginUserName": "ANDON", "defaultSite": self._site})
        if rest == f"jsonschemas/{STRUCTURE}":
            return json_response(200, schema(self.habits.longest_number))
        if request.query.get("lean") != "1":
            return error(400, "BMXAA8747E", "The namespaced form is not simulated: lean=1 is missing.")
        if rest == f"os/{STRUCTURE}":
            return self._found(request)
        order = self._one(rest)
        return _missing() if order is None else json_response(200, self._shown(order), etag=f'"{_stamp(order)}"')

    def _found(self, request: Request) -> Response:
        asked = _WHERE.match(request.query.get("oslc.where", ""))
        if asked is None:
            return error(400, "BMXAA8742E", "The where clause is not valid.")
        rows = [order for order in self._book.orders(asked[1]) if asked[2] in (None, order.body.get(SITE))]
        select = request.query.get("oslc.select", "")
        names = {"href"} if not select else set(COLUMNS) | {STAMP, "href"} if select == "*" else {*select.split(",")}
        always = {*names, "href", STAMP}
        member = [{name: value for name, value in self._shown(one).items() if name in always} for one in rows]
        page = int(request.query.get("oslc.pageSize", "0")) or len(member)
        return json_response(200, {"member": member[:page], "href": f"/maximo/api/os/{STRUCTURE}", "responseInfo": {}})

    def _write(self, request: Request, rest: str) -> Response:
        if not self.habits.writes:
            return error(403, "BMXAA9051E", "The user does not have access to insert or to save.")
        try:
            body = request.json()
        except ValueError:
            return error(400, "BMXAA8311E", "The JSON is not valid.")
        if rest == f"os/{STRUCTURE}":
            return self._make(request, body)
        order = self._one(rest)
        if order is None:
            return _missing()
        if request.header("x-method-override") != "PATCH":
            return error(400, "BMXAA8744E", "A POST to a resource needs x-method-override.")
        return self._change(request, order, body)

    def _make(self, request: Request, body: dict[str, Any]) -> Response:
        number = body.get(NUMBER)
        if number and any(order.body.get(SITE) == body.get(SITE) for order in self._book.orders(str(number))):
            return error(400, self.habits.duplicate, f"Work order {number} already exists in site {body.get(SITE)}.")
        if number and len(str(number)) > self.habits.longest_number:
            text = f"The string specified for WONUM is greater than the maximum length of {self.habits.longest_number}."
            return error(400, "BMXAA4121E", text)
        wrong = fault_of(COLUMNS, body, creates=True)
        if wrong is not None:
            return not_taken(wrong)
        if body[SITE] != self._site:
            return error(400, "BMXAA4153E", f"{body[SITE]} is not a valid site.")
        title = str(body.get("description") or "")
        # Statuses have a synonym of their own kind; a new order always waits for approval.
        made = {**body, STATUS: WAITING, "reference": str(number or ""), "title": title}
        order = self._book.commit(made, None)
        where = {"location": self._href(order), "etag": f'"{_stamp(order)}"'}
        return self._echoed(request, order, 201, where)

    def _change(self, request: Request, order: Order, body: dict[str, Any]) -> Response:
        stamp = body.pop(STAMP, None)
        if stamp not in (None, _stamp(order)):
            text = "Record WORKORDER has been updated by another user. Refresh the record and try again."
            return error(self.habits.stale_status, self.habits.stale, text)
        wrong = fault_of(COLUMNS, body, creates=False)
        if wrong is not None:
            return not_taken(wrong)
        if order.body.get(STATUS) in _ENDED:
            return error(400, "BMXAA4019E", f"The work order is in history: its status is {order.body[STATUS]}.")
        return self._echoed(request, self._rewrite(order, body), 204, {})

    def _echoed(self, request: Request, order: Order, bare: int, headers: dict[str, str]) -> Response:
        """Give the properties that are asked for, and nothing where none are."""
        asked = request.header("properties")
        if not asked or not self.habits.echo:
            return Response(bare, b"", headers)
        shown = self._shown(order)
        names = set(shown) if asked == "*" else {*asked.split(","), "href", STAMP}
        told = {name: value for name, value in shown.items() if name in names}
        return json_response(201 if bare == 201 else 200, told, **headers)  # noqa: PLR2004  made, or changed

    def _rewrite(self, order: Order, values: dict[str, Any]) -> Order:
        return self._book.rewrite(order.id, {**order.body, **values}) or order

    def _one(self, rest: str) -> Order | None:
        name = rest.removeprefix(f"os/{STRUCTURE}/_")
        try:
            site, _, number = base64.urlsafe_b64decode(name.replace("-", "=").encode()).decode().partition("/")
        except ValueError:
            return None
        return next((one for one in self._book.orders(number) if number and one.body.get(SITE) == site), None)

    def _href(self, order: Order) -> str:
        name = base64.urlsafe_b64encode(f"{order.body.get(SITE)}/{order.reference}".encode()).decode()
        return f"http://maximo.example/maximo/api/os/{STRUCTURE}/_{name.replace('=', '-')}"

    def _shown(self, order: Order) -> dict[str, Any]:
        row = {name: _stored(name, value) for name, value in order.body.items() if name in COLUMNS}
        status = str(order.body.get(STATUS))
        number = row.get(NUMBER) or str(order.id)
        return {**row, NUMBER: number, "status_description": status.title(), STAMP: _stamp(order)} | {
            "href": self._href(order),
            "workorderid": order.id,
        }


def _missing() -> Response:
    return error(404, "BMXAA8727E", "The OSLC resource was not found as it does not exist in the system.")


def _stamp(order: Order) -> str:
    return str(100_000 + 1000 * order.id + order.version)


def _stored(name: str, value: Any) -> Any:
    """Give a value as the database keeps it: moments with the offset of the server."""
    if value is None or COLUMNS[name].kind != "moment":
        return value
    return datetime.fromisoformat(str(value)).astimezone(UTC).isoformat(timespec="seconds")
