"""An SAP S/4HANA as its documents describe it: notifications, orders, defects over OData V2, with CSRF sessions."""

import asyncio
import hmac
import re
import secrets
import time
from dataclasses import dataclass, field
from typing import Any

from simulators.erp import desk
from simulators.erp.asgi import Request, Response, json_response
from simulators.erp.book import Book, Order
from simulators.erp.faults import Fault
from simulators.erp.sap_models import ENTITIES, KEYS, STATUS, NotTakenError, checked, error, metadata
from simulators.idp import IdentityProvider

ROOT = "/sap/opu/odata/sap/"
_KEYED = re.compile(r"^(\w+)\('\$?(\d{1,12})'\)$")
_FILTER = re.compile(r"^(?:(\w+) eq '([^']*)'|startswith\((\w+),'([^']+)'\) eq true)$")
_OURS = re.compile(r"^AN[0-9A-Z]{18}(?= |$)")
ACTIONS = {"CompleteMaintNotification": "NOCO", "SetMaintOrdStsToMrkdForDeltn": "DLFL"}
_WRITES = {"POST", "PATCH", "DELETE"}


@dataclass(slots=True)
class Habits:
    """How this SAP is set up. `repeatability` is what it does with a RequestID, remembered for `remembers` seconds.

    `slash`: a service is only there with its trailing slash. `actions` are function imports that set a system status.
    `more` are properties of a defect of a newer release or of the plant's own, with their lengths; one cannot
    ask by those that are `hidden`. `services` are there for this user.
    """

    repeatability: str = "accepted"
    remembers: float = 43_200.0
    slash: bool = True
    actions: dict[str, str] = field(default_factory=lambda: dict(ACTIONS))
    more: dict[str, int] = field(default_factory=dict)
    hidden: list[str] = field(default_factory=list)
    services: list[str] = field(default_factory=lambda: list(ENTITIES))


@dataclass(slots=True)
class Ran:
    """A request under a RequestID. `answer` is None while it runs."""

    at: float
    answer: Response | None = None


class Sap:
    """One client of an SAP. A notification is kept as "notification <key>", an order or a defect under the key."""

    prefix = ROOT

    def __init__(self, book: Book, idp: IdentityProvider, user: str, password: str) -> None:
        self._book = book
        self._porter = desk.Porter(idp, user, password, "SAP")
        self.habits = Habits()
        self._sessions: dict[str, str] = {}
        self._ran: dict[str, Ran] = {}

    def admits(self, request: Request) -> Response | None:
        """Let in by user and password, or by a token of the authorization server."""
        return self._porter.admits(request)

    def about(self, request: Request) -> tuple[str, str]:
        """Give the key that a notification or an order is about."""
        try:
            body = request.json()
        except ValueError:
            return "", ""
        key = str(body.get("MaintNotifExtReferenceNumber", ""))
        if not key and body.get("MaintenanceNotification"):
            there = self._book.order(str(int(body["MaintenanceNotification"])))
            key = str(there.body["MaintNotifExtReferenceNumber"]) if there is not None else ""
        return key or _key_of(body), ""

    def says(self, fault: Fault) -> Response | None:
        """Refuse as SAP Gateway does."""
        match fault.kind:
            case "refuse":
                return error(400, "IM/123", "equipment is blocked", "Equipment")
            case "forbidden":
                return error(403, "/IWFND/CM_MGW/096", "No authorization for user ROBIN")
        return None

    def turn(self, habits: dict[str, Any]) -> None:
        """Set habits; `edit` is a planner's change, {"number": "..", ..}; `log_off` ends every session."""
        edit, log_off = habits.pop("edit", None), habits.pop("log_off", False)
        desk.turn(self.habits, habits)
        if log_off:
            self._sessions.clear()
        if edit is not None:
            order = self._book.order(str(int(str(edit.pop("number")).strip("$"))))
            if order is not None:
                self._rewrite(order, edit, "PLANNER")

    async def answer(self, request: Request, fault: Fault | None) -> Response:
        """Find the service and the entity."""
        service, slash, rest = request.path.removeprefix(ROOT).partition("/")
        if service not in self.habits.services or (self.habits.slash and not slash):
            return error(404, "/IWFND/MED/170", f"No service found for {service}")
        if request.method in _WRITES:
            return await self._guarded(request, service, rest, fault)
        if fault is not None and fault.kind == "slow":
            await asyncio.sleep(fault.seconds)
        answer = self._read(service, rest, request)
        if request.header("x-csrf-token").lower() == "fetch":
            cookie, value = _cookie(request), secrets.token_urlsafe(12)
            if cookie not in self._sessions:
                cookie = secrets.token_urlsafe(12)
                answer.headers["set-cookie"] = f"SAP_SESSIONID_S4H_100={cookie}; path=/; HttpOnly"
                self._sessions[cookie] = value
            answer.headers["x-csrf-token"] = self._sessions[cookie]
        if request.header("requestid"):
            answer.headers["repeatabilityresult"] = self.habits.repeatability.replace("outdated", "accepted")
        return answer

    async def _guarded(self, request: Request, service: str, rest: str, fault: Fault | None) -> Response:
        wanted = self._sessions.get(_cookie(request), "")
        if not wanted or not hmac.compare_digest(wanted.encode(), request.header("x-csrf-token").encode()):
            # Whoever comes without a session gets a new one, here too: it takes the place of another in a shared jar.
            fresh = f"SAP_SESSIONID_S4H_100={secrets.token_urlsafe(12)}; path=/; HttpOnly"
            refused = {"x-csrf-token": "Required", "set-cookie": fresh}
            return Response(403, b"CSRF token validation failed", refused)
        name = request.header("requestid")
        if not name or self.habits.repeatability == "unsupported":
            answer = await self._write(request, service, rest, fault)
            if name:
                answer.headers["repeatabilityresult"] = "unsupported"
            return answer
        ran = self._ran.get(name)
        if ran is not None and (
            self.habits.repeatability == "outdated" or time.time() - ran.at > self.habits.remembers
        ):
            return error(400, "/IWBEP/CM_COS/005", "RequestID is outdated")
        if ran is not None and ran.answer is None:
            return error(409, "/IWBEP/CM_COS/004", "The request is still being processed")
        if ran is None:
            ran = self._ran[name] = Ran(time.time())
            try:
                ran.answer = await self._write(request, service, rest, fault)
            finally:
                if ran.answer is None or ran.answer.status >= 400:  # noqa: PLR2004  nothing was done under it
                    del self._ran[name]
        if ran.answer is None:  # it has just been set
            raise LookupError(name)
        copied = Response(ran.answer.status, ran.answer.body, dict(ran.answer.headers))
        copied.headers["repeatabilityresult"] = "accepted"
        return copied

    def _read(self, service: str, rest: str, request: Request) -> Response:
        entity = ENTITIES[service]
        if rest == "$metadata":
            document = metadata(service, self.habits.more, self.habits.hidden, list(self.habits.actions))
            return Response(200, document, {"content-type": "application/xml"})
        if rest == "":
            return json_response(200, {"d": {"EntitySets": [entity]}})
        if rest == entity:
            asked = _FILTER.match(request.query.get("$filter", ""))
            if asked is None:
                return error(400, "/IWBEP/CM_MGW/533", "a $filter is needed")
            name, wanted = asked[1] or asked[3], asked[2] or asked[4] or ""
            same = str.startswith if asked[3] else str.__eq__
            near = self._near(entity, name, wanted)
            rows = [order for order in near if same(str(self._shown(order).get(name) or ""), wanted)]
            top = int(request.query.get("$top", "100"))
            return json_response(200, {"d": {"results": [self._shown(order) for order in rows[:top]]}})
        order = self._one(entity, rest)
        if order is None:
            return error(404, "/IWBEP/CM_MGW/534", "Resource not found")
        return json_response(200, {"d": self._shown(order)}, etag=_etag(order))

    async def _write(self, request: Request, service: str, rest: str, fault: Fault | None) -> Response:
        entity = ENTITIES[service]
        try:
            body = checked(service, request.json(), self.habits.more)
        except ValueError:
            return error(400, "/IWBEP/CM_MGW/520", "the body is no JSON")
        except NotTakenError as no:
            return error(400, "/IWBEP/CM_MGW/530", str(no), no.target)
        if request.method == "POST" and rest == entity:
            if fault is not None and fault.kind in ("ghost", "slow"):
                await asyncio.sleep(fault.seconds)
            return self._make(entity, body)
        if fault is not None and fault.kind == "slow":
            await asyncio.sleep(fault.seconds)
        order = self._one(entity, rest) if request.method != "POST" else None
        action = self.habits.actions.get(rest) if request.method == "POST" else None
        if action is not None:
            order = self._one(entity, f"{entity}({request.query.get(entity, '')})")
        if order is None:
            return error(404, "/IWBEP/CM_MGW/534", "Resource not found")
        if not request.header("if-match"):
            return error(428, "/IWBEP/CM_MGW/550", "If-Match is missing")
        if request.header("if-match") not in ("*", _etag(order)):
            return error(412, "/IWBEP/CM_MGW/551", "the entity was changed by another user")
        if request.method == "DELETE":
            self._book.remove(order.id)
            return Response(204)
        changed = self._rewrite(order, {STATUS[entity]: action} if action else body, "ANDON")
        if action and entity == "MaintenanceOrder":
            return json_response(200, {"d": {rest: {"IsInvalid": False}}})
        return Response(204, b"", {"etag": _etag(changed)})

    def _make(self, entity: str, body: dict[str, Any]) -> Response:
        number = str(body.get("MaintenanceNotification", ""))
        if entity == "A_Defect":
            made = {"CreatedByUser": "ANDON", "LastChangedByUser": "", "IsDeleted": "", **body, "entity": entity}
            made |= {"reference": _key_of(body), "title": body.get("DefectText", "")}
            defect = self._book.commit(made, None)
            return json_response(201, {"d": self._shown(defect)}, etag=_etag(defect))
        if entity == "MaintenanceOrder":
            notification = self._book.order(str(int(number))) if number.isdigit() else None
            if notification is None:
                return error(400, "IW/017", f"Notification {number} does not exist", "MaintenanceNotification")
            reference, title = str(notification.body["MaintNotifExtReferenceNumber"]), body["MaintenanceOrderDesc"]
        else:
            reference = f"notification {body.get('MaintNotifExtReferenceNumber', '')}"
            title = body["NotificationText"]
        status = "CRTD MANC NMAT" if entity == "MaintenanceOrder" else "OSNO"
        made = {STATUS[entity]: status, **body, "entity": entity}
        made |= {"CreatedByUser": "ANDON"} if entity == "MaintenanceOrder" else {}
        if body.get("MaintPriority"):
            # A priority makes SAP compute the dates, whatever was sent.
            made |= {name: None for name in body if name.startswith(("RequiredStart", "RequiredEnd"))}
        order = self._book.commit({**made, "reference": reference, "title": title}, None)
        return json_response(201, {"d": self._shown(order)}, etag=_etag(order))

    def _rewrite(self, order: Order, values: dict[str, Any], by: str) -> Order:
        last = {"LastChangedByUser": by} if order.body.get("entity") == "A_Defect" else {}
        return self._book.rewrite(order.id, {**order.body, **last, **values}) or order

    def _near(self, entity: str, name: str, wanted: str) -> list[Order]:
        """Give the records that may fit a filter: by the database's index where there is one."""
        reference: str | None = None
        if name == "MaintNotifExtReferenceNumber":
            reference = f"notification {wanted}"
        elif name == "MaintenanceNotification" and entity == "MaintenanceOrder" and wanted.isdigit():
            there = self._book.order(str(int(wanted)))
            reference = str(there.body.get("MaintNotifExtReferenceNumber", "")) if there is not None else None
        if entity == "A_Defect":
            one = self._book.order(str(int(wanted.strip("$") or 0))) if name == KEYS[entity] else None
            near = [one] if one is not None else self._book.orders(wanted)
            return [order for order in near if order.body.get("entity") == entity]
        return [order for order in self._book.orders(reference) if order.body.get("entity") == entity]

    def _one(self, entity: str, path: str) -> Order | None:
        found = _KEYED.match(path)
        order = self._book.order(str(int(found[2]))) if found and found[1] == entity else None
        return order if order is not None and order.body.get("entity") == entity else None

    def _shown(self, order: Order) -> dict[str, Any]:
        hidden = {"entity", "reference", "title"}
        entity = str(order.body["entity"])
        row = {name: value for name, value in order.body.items() if name not in hidden}
        number = f"${order.id:011d}" if entity == "A_Defect" else f"{order.id:012d}"
        return {**row, KEYS[entity]: number, "__metadata": {"etag": _etag(order)}}


def _key_of(body: dict[str, Any]) -> str:
    """Give our key, wherever in a defect it stands."""
    found = (_OURS.match(value) for value in body.values() if isinstance(value, str))
    return next((one[0] for one in found if one is not None), "")


def _cookie(request: Request) -> str:
    found = re.search(r"SAP_SESSIONID_S4H_100=([\w-]+)", request.header("cookie"))
    return found[1] if found else ""


def _etag(order: Order) -> str:
    return f"W/\"datetimeoffset'{order.version:08d}'\""
