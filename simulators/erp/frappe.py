"""A Frappe site with ERPNext as its sources describe it: documents over REST v1 and v2, keys, tokens, webhooks."""

import asyncio
import base64
import contextlib
import hmac
import json
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

import httpx2

from simulators.erp import desk
from simulators.erp.asgi import Request, Response
from simulators.erp.book import Book, Order
from simulators.erp.faults import Fault
from simulators.erp.frappe_models import DOCTYPES, LINKED, NotTakenError, Row, checked, error, told
from simulators.idp import IdentityProvider

EXCHANGE = "/api/method/frappe.integrations.oauth2.get_token"
_V1, _V2 = "/api/resource/", "/api/v2/document/"
_META = re.compile(r"^/api/v2/doctype/([^/]+)/meta$")
_TRIES_S = (0.0, 1.0, 4.0, 7.0)


@dataclass(slots=True)
class Habits:
    """How this site is set up. `rights` are what the key's user may do; `user` made what comes over the API.

    While `any_asset` is set every Asset is there. Webhooks go to `hook`, signed with `hook_secret` when there is one.
    """

    rights: list[str] = field(default_factory=lambda: ["read", "create", "write"])
    user: str = "andon@plant.example"
    any_asset: bool = True
    without: list[str] = field(default_factory=list)
    hook: str = ""
    hook_secret: str = ""


class Frappe:
    """One site under /frappe. A document's name is its own or a series; `reference` is its name or its key field."""

    prefix = "/frappe/"

    def __init__(self, book: Book, idp: IdentityProvider, key: str) -> None:
        self._book, self._idp = book, idp
        self._key = f"token {key}".encode()
        self.habits = Habits()
        self._calls: set[asyncio.Task[None]] = set()

    def admits(self, request: Request) -> Response | None:
        """Let in by key and secret, or by a token; the token endpoint is for everybody."""
        path, given = _path(request), request.header("authorization")
        if path == EXCHANGE or hmac.compare_digest(given.encode(), self._key) or self._idp.knows(given, "erp"):
            return None
        return error(401, "AuthenticationError", "Robin Example is not allowed", v1="/v2/" not in path)

    def about(self, request: Request) -> tuple[str, str]:
        """Give the key that a document is about."""
        try:
            body = request.json()
        except ValueError:
            return "", ""
        if not isinstance(body, dict):
            return "", ""
        return str(body.get("name") or body.get("custom_andon_key") or body.get("custom_loose_key") or ""), ""

    def says(self, fault: Fault) -> Response | None:
        """Refuse as Frappe does, by the newer interface."""
        match fault.kind:
            case "refuse":
                return error(417, "ValidationError", "equipment is blocked", "Field Equipment", v1=False)
            case "unknown_field":
                return error(500, "OperationalError", "Unknown column 'x_colour' in 'field list'", v1=False)
            case "forbidden":
                return error(
                    403, "PermissionError", "User <strong>robin@plant.example</strong> has no access", v1=False
                )
            case "unauthorized":
                return error(401, "AuthenticationError", "AuthenticationError", v1=False)
        return None

    def turn(self, habits: dict[str, Any]) -> None:
        """Set habits; `edit` is a planner's change: {"name": .., field: ..}, `make` somebody's own document."""
        edit, make = habits.pop("edit", None), habits.pop("make", None)
        desk.turn(self.habits, habits)
        if edit is not None:
            order = self._by_name(str(edit.pop("name")))
            if order is not None:
                self._ring(self._rewrite(order, edit))
        if make is not None:
            self._book.commit({"reference": make["name"], "title": "", "docstatus": 0, **make}, None)

    async def answer(self, request: Request, fault: Fault | None) -> Response:
        """Find the interface and what is asked of it."""
        path = _path(request)
        v1 = "/v2/" not in path
        if path == EXCHANGE:
            await asyncio.sleep(self._idp.policy.delay)
            return self._idp.token(request)
        if fault is not None and fault.kind == "slow" and request.method == "GET":
            await asyncio.sleep(fault.seconds)
        try:
            return await self._routed(request, path, fault, v1=v1)
        except NotTakenError as no:
            return error(no.status, no.kind, str(no), no.title, v1=v1)
        except ValueError:
            return error(417, "ValidationError", "Invalid JSON", v1=v1)

    async def _routed(self, request: Request, path: str, fault: Fault | None, *, v1: bool) -> Response:
        meta = _META.match(path)
        if meta is not None or path.endswith("frappe.desk.form.load.getdoctype"):
            doctype = unquote(meta[1]) if meta is not None else request.query.get("doctype", "")
            said = {"name": doctype, "doctype": "DocType", "fields": self._fields(doctype)}
            return told(v1=v1, data=[said], key="docs") if v1 else told(v1=v1, data=said)
        if "/method/" in path:
            return self._method(path.rsplit("/", 1)[1], request, v1=v1)
        root = _V1 if v1 else _V2
        doctype, _, name = path.removeprefix(root).strip("/").partition("/")
        doctype, name = unquote(doctype), unquote(name)
        if not path.startswith(root) or (doctype not in DOCTYPES and doctype not in LINKED):
            raise NotTakenError("DoesNotExistError", 404, f"DocType {doctype} not found")
        if request.method == "GET":
            return self._list(doctype, request, v1=v1)
        return await self._write(request, doctype, name, fault, v1=v1)

    async def _write(self, request: Request, doctype: str, name: str, fault: Fault | None, *, v1: bool) -> Response:
        body = request.json()
        right = "write" if name else "create"
        if right not in self.habits.rights:
            raise NotTakenError("PermissionError", 403, "Robin Example has no access to this document", "Not Permitted")
        there = self._by_name(name) if name else None
        if name and there is None:
            raise NotTakenError("DoesNotExistError", 404, f"{doctype} {name} not found")
        before = there.body if there is not None else {}
        row = checked(doctype, {**before, **body}, any_asset=self.habits.any_asset)
        if fault is not None and fault.kind in ("ghost", "slow"):
            await asyncio.sleep(fault.seconds)
        if there is not None:
            return told(v1=v1, data=self._changed(doctype, name, body, row))
        order = self._made(doctype, body, row, v1=v1)
        self._ring(order)
        return told(v1=v1, data=self._shown(order))

    def _made(self, doctype: str, body: Row, row: Row, *, v1: bool) -> Order:
        # The older interface names documents itself, whatever it is given.
        name = "" if v1 else str(body.get("name") or "")
        if name and self._by_name(name) is not None:
            raise NotTakenError("DuplicateEntryError", 409, f"{doctype} {name} already exists", "Duplicate Name")
        key = row.get("custom_andon_key")
        if key and self._find(doctype, "custom_andon_key", str(key)):
            raise NotTakenError("UniqueValidationError", 417, "Andon Key must be unique")
        reference = name or str(key or row.get("custom_loose_key") or "")
        series = "" if name else f"ACC-ASR-2026-{len(self._book.orders()) + 1:05d}"
        own = {"doctype": doctype, "name": name or series, "owner": self.habits.user, "docstatus": 0}
        return self._book.commit({**row, **own, "reference": reference, "title": str(row.get("subject", ""))}, None)

    def _changed(self, doctype: str, name: str, body: Row, row: Row) -> Row:
        """Change a document, under a lock of its own: nothing is waited for between the look and the writing."""
        there = self._by_name(name)
        if there is None:
            raise NotTakenError("DoesNotExistError", 404, f"{doctype} {name} not found")
        if "modified" in body and body["modified"] != _modified(there):
            text = (
                f"Error: Document has been modified after you have opened it ({_modified(there)}, {body['modified']})."
            )
            raise NotTakenError("TimestampMismatchError", 417, text)
        order = self._rewrite(there, row)
        self._ring(order)
        return self._shown(order)

    def _method(self, method: str, request: Request, *, v1: bool) -> Response:
        match method:
            case "frappe.auth.get_logged_user":
                return told(v1=v1, data=self.habits.user, key="message")
            case "frappe.client.has_permission":
                may = request.query.get("perm_type", "read") in self.habits.rights
                return told(v1=v1, data={"has_permission": may}, key="message")
        return error(417, "ValidationError", f"Failed to get method {method}", v1=v1)

    def _fields(self, doctype: str) -> list[dict[str, object]]:
        if doctype not in DOCTYPES:
            raise NotTakenError("DoesNotExistError", 404, f"DocType {doctype} not found")
        return [one for one in DOCTYPES[doctype] if one["fieldname"] not in self.habits.without]

    def _list(self, doctype: str, request: Request, *, v1: bool) -> Response:
        if "read" not in self.habits.rights:
            raise NotTakenError("PermissionError", 403, "Robin Example has no access to this document", "Not Permitted")
        filters: list[list[str]] = json.loads(request.query.get("filters", "[]"))
        wanted: list[str] = json.loads(request.query.get("fields", '["name"]'))
        if doctype in LINKED:
            names = [*LINKED[doctype], *([filters[0][2]] if doctype == "Asset" and self.habits.any_asset else [])]
            return told(v1=v1, data=[{"name": name} for name in names if [["name", "=", name]] == filters])
        own = {
            "name",
            "owner",
            "modified",
            "creation",
            "docstatus",
            *(str(one["fieldname"]) for one in DOCTYPES[doctype]),
        }
        unknown = [name for name in (*wanted, *(one[0] for one in filters)) if name not in own]
        if unknown:
            raise NotTakenError("OperationalError", 500, f"Unknown column '{unknown[0]}' in 'SELECT'")
        rows = [self._shown(order) for order in self._near(doctype, filters)]
        fit = [row for row in rows if all(str(row.get(name, "")) == str(value) for name, _, value in filters)]
        return told(v1=v1, data=[{name: row.get(name) for name in wanted} for row in fit])

    def _near(self, doctype: str, filters: list[list[str]]) -> list[Order]:
        """Give the documents that may fit, by the database's index where there is one."""
        value = next((one[2] for one in filters if one[1] == "="), None)
        near = self._book.orders(value) if value is not None else []
        return [order for order in near or self._book.orders() if order.body.get("doctype") == doctype]

    def _by_name(self, name: str) -> Order | None:
        near = [order for order in self._book.orders(name) if order.body.get("name") == name]
        return next(iter(near or [order for order in self._book.orders() if order.body.get("name") == name]), None)

    def _find(self, doctype: str, field_name: str, value: str) -> list[Order]:
        return [
            order for order in self._near(doctype, [[field_name, "=", value]]) if order.body.get(field_name) == value
        ]

    def _rewrite(self, order: Order, values: Row) -> Order:
        fixed: Row = {
            name: order.body[name] for name in ("doctype", "name", "owner", "reference") if name in order.body
        }
        body = {**order.body, **values, **fixed}
        status = str(body.get("repair_status") or body.get("status") or "Open")
        return self._book.rewrite(order.id, {**body, "title": str(body.get("subject", ""))}, status) or order

    def _shown(self, order: Order) -> Row:
        hidden = {"reference", "title"}
        row = {name: value for name, value in order.body.items() if name not in hidden}
        return {**row, "modified": _modified(order), "creation": _stamp(order.created_at)}

    def _ring(self, order: Order) -> None:
        if self.habits.hook:
            body = {**self._shown(order), "doctype": order.body.get("doctype")}
            job = _called(self.habits.hook, self.habits.hook_secret, body)
            task = asyncio.get_running_loop().create_task(job)
            self._calls.add(task)
            task.add_done_callback(self._calls.discard)


async def _called(hook: str, secret: str, row: Row, wait: Callable[[float], Any] = asyncio.sleep) -> None:
    """Tell the hook, three more times when nobody takes it."""
    body = json.dumps(row, default=str).encode()
    headers = {"content-type": "application/json"}
    if secret:
        signed = base64.b64encode(hmac.digest(secret.encode(), body, "sha256")).decode()
        headers["x-frappe-webhook-signature"] = signed
    async with httpx2.AsyncClient(timeout=5.0, follow_redirects=False, trust_env=False) as client:
        for pause in _TRIES_S:
            await wait(pause)
            with contextlib.suppress(httpx2.TransportError):
                if (await client.post(hook, content=body, headers=headers)).is_success:
                    return


def _path(request: Request) -> str:
    return request.path.removeprefix("/frappe")


def _modified(order: Order) -> str:
    return _stamp(order.updated_at)


def _stamp(at: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(at)) + f".{int(at % 1 * 1e6):06d}"
