"""An Oracle Fusion Maintenance as its documents describe it: work orders over the REST framework."""

import asyncio
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from simulators.erp import desk
from simulators.erp.asgi import Request, Response, json_response
from simulators.erp.book import Book, Order
from simulators.erp.columns import fault_of
from simulators.erp.faults import Fault
from simulators.erp.oracle_models import (
    CANCELED,
    COLUMNS,
    ID,
    NUMBER,
    RESOURCE,
    STATUS,
    UNRELEASED,
    described,
    detail,
    error,
    not_taken,
)
from simulators.idp import IdentityProvider

ROOT = "/fscmRestApi/resources/11.13.18.05/"
_FIRST_ID = 300_100_000_000_000
_QUERY = re.compile(r"^(\w+)\s*=\s*'((?:[^']|'')*)'$")
_ENDED = {"ORA_CLOSED", CANCELED}


@dataclass(slots=True)
class Habits:
    """How this Oracle is set up. `upsert`: Upsert-Mode is honoured. `writes`: the user may make and change orders."""

    upsert: bool = True
    writes: bool = True


class Oracle:
    """One environment. Its records are the ERP's orders: `reference` is the work order number."""

    prefix = ROOT

    def __init__(self, book: Book, idp: IdentityProvider, user: str, password: str) -> None:
        self._book, self._idp = book, idp
        self._porter = desk.Porter(idp, user, password, "owsm")
        self.habits = Habits()

    def admits(self, request: Request) -> Response | None:
        """Let in by user and password, or by a token of the authorization server."""
        return self._porter.admits(request)

    def about(self, request: Request) -> tuple[str, str]:
        """Give number and asset of a work order in a body."""
        try:
            body = request.json()
            return str(body.get(NUMBER, "")), str(body.get("AssetNumber", ""))
        except (ValueError, AttributeError):
            return "", ""

    def says(self, fault: Fault) -> Response | None:
        """Refuse as the framework does."""
        match fault.kind:
            case "refuse":
                return error(400, "Bad Request", detail("WIE_2990312", "equipment is blocked", "equipment"))
            case "forbidden":
                return Response(403, b"", {"content-type": "text/html"})
        return None

    def turn(self, habits: dict[str, Any]) -> None:
        """Set habits; `edit` is a planner's change, {"number": "AN..", ..}."""
        edit = habits.pop("edit", None)
        desk.turn(self.habits, habits)
        if edit is not None:
            for order in self._book.orders(str(edit.pop("number"))):
                self._rewrite(order, edit)

    async def answer(self, request: Request, fault: Fault | None) -> Response:
        """Find the resource and the item."""
        resource, _, rest = request.path.removeprefix(ROOT).partition("/")
        if resource != RESOURCE:
            return error(404, "Not Found", detail("27512", f"The resource {resource} was not found."))
        if request.method in {"POST", "PATCH"}:
            if not self.habits.writes:
                return Response(403, b"", {"content-type": "text/html"})
            if fault is not None and fault.kind in ("ghost", "slow"):
                await asyncio.sleep(fault.seconds)
            return self._write(request, rest)
        if fault is not None and fault.kind == "slow":
            await asyncio.sleep(fault.seconds)
        if rest == "describe":
            return json_response(200, described())
        if rest:
            order = self._one(rest)
            return _missing() if order is None else self._given(200, order)
        return self._found(request)

    def _found(self, request: Request) -> Response:
        if int(request.header("rest-framework-version") or "1") < 2:  # noqa: PLR2004  before it q had another form
            return error(400, "Bad Request", detail("27520", "The value of q is not in the form of version 1."))
        asked = _QUERY.match(request.query.get("q", ""))
        if asked is None or asked[1] not in COLUMNS:
            return error(400, "Bad Request", detail("27523", "URL request parameter q is not valid."))
        wanted, limit = asked[2].replace("''", "'"), int(request.query.get("limit", "25"))
        near = self._book.orders(wanted) if asked[1] == NUMBER else self._book.orders()
        rows = [shown for order in near if str((shown := self._shown(order)).get(asked[1])) == wanted]
        told = {"items": rows[:limit], "count": len(rows[:limit]), "hasMore": len(rows) > limit}
        return json_response(200, {**told, "limit": limit, "offset": 0, "links": []})

    def _write(self, request: Request, rest: str) -> Response:
        try:
            body = request.json()
        except ValueError:
            return error(400, "Bad Request", detail("27519", "The payload is not JSON."))
        if request.method == "POST" and not rest:
            return self._make(request, body)
        order = self._one(rest) if request.method == "PATCH" else None
        if order is None:
            return _missing()
        if request.header("if-match") not in ("", "*", f'"{_indicator(order)}"'):
            return error(412, "Precondition Failed", detail("27525", "The resource was changed by another user."))
        return self._change(order, body, 200)

    def _make(self, request: Request, body: dict[str, Any]) -> Response:
        there = [one for one in self._book.orders(str(body.get(NUMBER, ""))) if body.get(NUMBER)]
        if there and self.habits.upsert and request.header("upsert-mode").lower() == "true":
            # An attribute that is for the creation alone is left as it is when it comes again unchanged.
            new = {name: value for name, value in body.items() if there[0].body.get(name) != value}
            return self._change(there[0], new, 200)
        if there:
            text = f"The work order number {body[NUMBER]} already exists in the organization."
            return error(400, "Bad Request", detail("WIE_2990001", text, NUMBER))
        wrong = fault_of(COLUMNS, body, creates=True)
        if wrong is not None:
            return not_taken(wrong)
        title = str(body.get("WorkOrderDescription") or "")
        made = {STATUS: UNRELEASED, **body, "reference": str(body.get(NUMBER) or ""), "title": title}
        return self._given(201, self._book.commit(made, None))

    def _change(self, order: Order, body: dict[str, Any], status: int) -> Response:
        wrong = fault_of(COLUMNS, body, creates=False)
        if wrong is not None:
            return not_taken(wrong)
        if order.body.get(STATUS) in _ENDED:
            text = "The work order is closed or canceled and cannot be updated."
            return error(400, "Bad Request", detail("WIE_2990107", text, STATUS))
        return self._given(status, self._rewrite(order, body))

    def _rewrite(self, order: Order, values: dict[str, Any]) -> Order:
        return self._book.rewrite(order.id, {**order.body, **values}) or order

    def _given(self, status: int, order: Order) -> Response:
        where = f"{self._idp.issuer}{ROOT}{RESOURCE}/{_FIRST_ID + order.id}"
        return json_response(status, self._shown(order), etag=f'"{_indicator(order)}"', location=where)

    def _one(self, rest: str) -> Order | None:
        return self._book.order(str(int(rest) - _FIRST_ID)) if rest.isdigit() and int(rest) > _FIRST_ID else None

    def _shown(self, order: Order) -> dict[str, Any]:
        row = {name: _stored(name, order.body.get(name)) for name in COLUMNS}
        where = f"{self._idp.issuer}{ROOT}{RESOURCE}/{_FIRST_ID + order.id}"
        item = {"rel": "self", "href": where, "name": RESOURCE, "kind": "item"}
        changed = {"properties": {"changeIndicator": _indicator(order)}}
        at = datetime.fromtimestamp(order.updated_at, UTC).isoformat(timespec="milliseconds")
        number = row[NUMBER] or f"WO-{order.id}"
        return {**row, ID: _FIRST_ID + order.id, NUMBER: number, "LastUpdateDate": at, "links": [item | changed]}


def _missing() -> Response:
    return error(404, "Not Found", detail("27512", "The work order was not found."))


def _indicator(order: Order) -> str:
    return f"ACED0005737200136A6176612E7574696C2E41727261794C{order.id:08X}{order.version:08X}"


def _stored(name: str, value: Any) -> Any:
    """Give a value as the database keeps it: moments in UTC."""
    if value is None or COLUMNS[name].kind != "moment":
        return value
    return datetime.fromisoformat(str(value)).astimezone(UTC).isoformat(timespec="seconds")
