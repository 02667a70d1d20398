"""A Dynamics 365 Field Service as its documents describe it: work orders over the Dataverse Web API."""

import asyncio
import base64
import json
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from simulators.erp import desk
from simulators.erp.asgi import Request, Response, json_response
from simulators.erp.book import Book, Order
from simulators.erp.columns import Wrong, fault_of
from simulators.erp.dynamics_models import (
    COLUMNS,
    ID,
    KEY,
    LINKS,
    NAME,
    SET,
    STATUS,
    TABLE,
    UNSCHEDULED,
    described,
    error,
    lengths,
    not_taken,
    relations,
)
from simulators.erp.faults import Fault
from simulators.erp.trouble import retry_after
from simulators.idp import IdentityProvider

ROOT = "/api/data/v9.2/"
USER = "11111111-2222-3333-4444-555555555555"
_BY_KEY = re.compile(rf"^{SET}\({KEY}='((?:[^']|'')+)'\)$")
_BY_ID = re.compile(rf"^{SET}\(([0-9a-fA-F-]{{36}})\)$")
_FILTER = re.compile(r"^(\w+) eq '((?:[^']|'')*)'$")
_LINK = re.compile(r"^/?(\w+)\((?:([0-9a-fA-F-]{36})|\w+='[^']*')\)$")
_DEFINITION = f"EntityDefinitions(LogicalName='{TABLE}')"
_BIND = "@odata.bind"


@dataclass(slots=True)
class Habits:
    """How this environment is set up. `key` is the state of the index of our alternate key, "" without one.

    `representation`: it honours Prefer: return=representation. `locking`: optimistic concurrency is enabled.
    """

    key: str = "Active"
    representation: bool = True
    locking: bool = True
    rights: list[str] = field(default_factory=lambda: ["Create", "Read", "Write", "Append", "AppendTo"])


class Dynamics:
    """One environment. Its records are the ERP's orders: `reference` is the alternate key."""

    prefix = ROOT

    def __init__(self, book: Book, idp: IdentityProvider) -> None:
        self._book, self._idp = book, idp
        self.habits = Habits()

    def admits(self, request: Request) -> Response | None:
        """Let in whose token is for this environment."""
        given = request.header("authorization")
        if self._idp.knows(given, "erp") and _scope(given) == f"{self._idp.issuer}/.default":
            return None
        return Response(401, b"", {"www-authenticate": f"Bearer authorization_uri={self._idp.issuer}/oauth2/authorize"})

    def about(self, request: Request) -> tuple[str, str]:
        """Give the alternate key of an address, or of a body."""
        found = _BY_KEY.match(request.path.removeprefix(ROOT))
        if found:
            return found[1].replace("''", "'"), ""
        try:
            body = request.json()
            return str((body["Targets"][0] if "Targets" in body else body).get(KEY, "")), ""
        except (ValueError, AttributeError, TypeError, IndexError):
            return "", ""

    def says(self, fault: Fault) -> Response | None:
        """Refuse as Dataverse does."""
        match fault.kind:
            case "refuse":
                return error(400, "0x80040265", "Field equipment: equipment is blocked")
            case "forbidden":
                who = f"Principal user (Id={USER}, type=8, roleCount=1, privilegeCount=12, accessMode=4)"
                return error(403, "0x80040220", f"{who}, is missing prvCreate{TABLE} privilege on OTC=10233 for ROBIN")
            case "throttle":
                text = "Number of requests exceeded the limit of 6000 over time window of 300 seconds."
                wait = retry_after(fault)
                return error(429, "0x80072322", text, **({"retry-after": wait} if wait is not None else {}))
        return None

    def turn(self, habits: dict[str, Any]) -> None:
        """Set habits; `edit` is a planner's change, {"key": "AN..", ..}."""
        edit = habits.pop("edit", None)
        desk.turn(self.habits, habits)
        if edit is not None:
            for order in self._book.orders(str(edit.pop("key"))):
                self._rewrite(order, edit)

    async def answer(self, request: Request, fault: Fault | None) -> Response:
        """Find what is asked for."""
        rest = request.path.removeprefix(ROOT)
        if request.method == "GET":
            if fault is not None and fault.kind == "slow":
                await asyncio.sleep(fault.seconds)
            return self._read(rest, request)
        if "Create" not in self.habits.rights or "Write" not in self.habits.rights:
            return error(403, "0x80040220", f"Principal user (Id={USER}) is missing prvCreate{TABLE} privilege")
        try:
            body = request.json()
        except ValueError:
            return error(400, "0x80048d19", "Error identified in Payload provided by the user: no JSON")
        if fault is not None and fault.kind in ("ghost", "slow"):
            await asyncio.sleep(fault.seconds)
        if request.method == "POST" and rest == f"{SET}/Microsoft.Dynamics.CRM.CreateMultiple":
            return self._create_multiple(body)
        if request.method == "POST" and rest == SET:
            return self._create(request, body)
        return self._patch(request, rest, body) if request.method == "PATCH" else error(405, "0x80060888", "No such")

    def _read(self, rest: str, request: Request) -> Response:
        if rest == "WhoAmI":
            return _told({"UserId": USER, "OrganizationId": USER, "BusinessUnitId": USER})
        right = re.match(rf"^systemusers\({USER}\)/.+PrivilegeName='prv([A-Z][a-zA-Z]+?){TABLE}'\)$", rest)
        if right:
            return _told({"RolePrivileges": [{"Depth": "Global"}] if right[1] in self.habits.rights else []})
        if rest.startswith(_DEFINITION):
            return self._described(rest.removeprefix(_DEFINITION).strip("/"))
        if rest == SET:
            asked = _FILTER.match(request.query.get("$filter", ""))
            if asked is None or asked[1] not in COLUMNS:
                return error(400, "0x80060888", "Could not find a property named in $filter")
            wanted = asked[2].replace("''", "'")
            near = self._book.orders(wanted) if asked[1] == KEY else self._book.orders()
            rows = [shown for order in near if (shown := self._shown(order)).get(asked[1]) == wanted]
            return _told({"value": rows[: int(request.query.get("$top", "5000"))]})
        order = self._one(rest)
        return _missing() if order is None else _told(self._shown(order), etag=_etag(order))

    def _described(self, rest: str) -> Response:
        if rest == "":
            return _told(described(locking=self.habits.locking, key=self.habits.key))
        if rest == "ManyToOneRelationships":
            return _told(relations())
        told = lengths(rest.removeprefix("Attributes/Microsoft.Dynamics.CRM."))
        return _missing() if told is None else _told(told)

    def _patch(self, request: Request, rest: str, body: dict[str, Any]) -> Response:
        order, keyed = self._one(rest), _BY_KEY.match(rest)
        if request.header("if-none-match") == "*" and order is not None:
            return error(412, "", "A record with matching key values already exists.")
        expected = request.header("if-match")
        if order is None:
            if expected or keyed is None or not self.habits.key:
                return _missing()
            return self._create(request, {KEY: keyed[1].replace("''", "'"), **body})
        if self.habits.locking and expected not in ("", "*", _etag(order)):
            return error(412, "", "The version of the existing record doesn't match the RowVersion property provided.")
        row = self._taken(body, creates=False)
        if isinstance(row, Response):
            return row
        return self._given(request, self._rewrite(order, row), 200)

    def _create(self, request: Request, body: dict[str, Any]) -> Response:
        row = self._taken(body, creates=True)
        if isinstance(row, Response):
            return row
        return self._twice(row) or self._given(request, self._commit(row), 201)

    def _create_multiple(self, body: dict[str, Any]) -> Response:
        """Make all or nothing, as a standard table does."""
        rows: list[dict[str, Any]] = []
        for target in body.get("Targets", []):
            row = self._taken({name: value for name, value in target.items() if name != "@odata.type"}, creates=True)
            if isinstance(row, Response):
                return row
            twice = self._twice(row) or (self._again() if any(row.get(KEY) == one.get(KEY) for one in rows) else None)
            if twice is not None:
                return twice
            rows.append(row)
        return _told({"Ids": [_guid(self._commit(row)) for row in rows]})

    def _twice(self, row: dict[str, Any]) -> Response | None:
        """Refuse a second record under an alternate key: its index is unique, whoever writes."""
        return self._again() if self.habits.key and row.get(KEY) and self._book.orders(str(row[KEY])) else None

    def _again(self) -> Response:
        text = f"A record that has the attribute values {KEY} already exists. The entity key requires that"
        return error(412, "0x80060892", f"{text} this set of attributes contains unique values.")

    def _taken(self, body: dict[str, Any], *, creates: bool) -> dict[str, Any] | Response:
        """Check a body; links become the ids that they lead to."""
        row: dict[str, Any] = {}
        for name, value in body.items():
            if not name.endswith(_BIND):
                row[name] = value
                continue
            navigation = name.removesuffix(_BIND)
            if navigation not in LINKS:
                text = (
                    f"An undeclared property '{navigation}' which only has property annotations in the payload but no"
                )
                return error(400, "0x80048d19", f"{text} property value was found in the payload.")
            column, table, found = LINKS[navigation][0], LINKS[navigation][1], _LINK.match(str(value))
            if found is None or found[1] != LINKS[navigation][2]:
                return error(400, "0x80048d19", f"Invalid URI '{value}' for the navigation property '{navigation}'")
            if "nobody" in str(value):
                return error(404, "0x80040217", f"Entity '{table}' With Id = {value} Does Not Exist")
            row[f"_{column}_value"] = found[2] or f"00000000-0000-4000-8000-{uuid5(NAMESPACE_URL, str(value)).hex[:12]}"
        plain = {name: value for name, value in row.items() if not name.startswith("_")}
        wrong: Wrong | None = fault_of(COLUMNS, plain, creates=creates)
        return row if wrong is None else not_taken(wrong)

    def _commit(self, row: dict[str, Any]) -> Order:
        title = str(row.get("msdyn_workordersummary") or "")
        body = {STATUS: UNSCHEDULED, **row, "reference": str(row.get(KEY) or ""), "title": title}
        return self._book.commit(body, None)

    def _rewrite(self, order: Order, values: dict[str, Any]) -> Order:
        return self._book.rewrite(order.id, {**order.body, **values}) or order

    def _given(self, request: Request, order: Order, status: int) -> Response:
        where = {"odata-version": "4.0", "odata-entityid": f"{self._idp.issuer}{ROOT}{SET}({_guid(order)})"}
        if self.habits.representation and "return=representation" in request.header("prefer"):
            return json_response(status, self._shown(order), etag=_etag(order), **where)
        return Response(204, b"", where)

    def _one(self, rest: str) -> Order | None:
        keyed, by_id = _BY_KEY.match(rest), _BY_ID.match(rest)
        if keyed:
            found = self._book.orders(keyed[1].replace("''", "'")) if self.habits.key else []
            return found[0] if found else None
        return self._book.order(str(int(by_id[1].rsplit("-", 1)[1], 16))) if by_id else None

    def _shown(self, order: Order) -> dict[str, Any]:
        hidden = {"reference", "title"}
        times = {"createdon": _moment(order.created_at), "modifiedon": _moment(order.updated_at)}
        row = {name: _stored(name, value) for name, value in order.body.items() if name not in hidden}
        return {"@odata.etag": _etag(order), **times, ID: _guid(order), NAME: f"{order.id:05d}", **row}


def _told(body: dict[str, Any], **headers: str) -> Response:
    return json_response(200, body, odata_version="4.0", **headers)


def _missing() -> Response:
    return error(404, "0x80040217", f"Entity '{TABLE}' With Id = {USER} Does Not Exist")


def _guid(order: Order) -> str:
    return f"00000000-0000-0000-0000-{order.id:012x}"


def _etag(order: Order) -> str:
    return f'W/"{1_000_000 + 7 * order.id + order.version}"'


def _moment(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _stored(name: str, value: Any) -> Any:
    """Give a value as the database keeps it: moments in UTC and whole seconds."""
    if value is None or name not in COLUMNS or COLUMNS[name].kind != "moment":
        return value
    return _moment(datetime.fromisoformat(str(value)).timestamp())


def _scope(authorization: str) -> str:
    try:
        payload = authorization.split(".")[1]
        return str(json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4))).get("scope", ""))
    except (ValueError, IndexError, AttributeError):
        return ""
