"""What the simulated ERP answers: orders, tokens, a page, and the control that tests turn."""

import asyncio
import hashlib
import json
import time
from collections.abc import Callable, Coroutine
from dataclasses import asdict, dataclass, field
from typing import Any

from simulators.erp.asgi import CutError, Door, Request, Response, json_response, problem
from simulators.erp.book import Book, Order
from simulators.erp.desk import Desk, turn
from simulators.erp.faults import KINDS, Fault, Plan
from simulators.erp.page import orders_page
from simulators.erp.trouble import HTML, after, before, traceback, unauthorized
from simulators.erp.webhook import Bell
from simulators.idp import JWKS_PATH, METADATA_PATH, TOKEN_PATH, IdentityProvider

LIMITS = {"reference": 20, "title": 80, "description": 4000, "equipment": 40, "component": 60, "failure_code": 40}
FIELDS = frozenset(LIMITS) | {
    *("type", "activity", "priority", "impact", "equipment_down", "location", "failure_text", "cause", "mechanism"),
    *("effect", "detection", "action", "detected_at", "required_start", "due", "material", "batch", "quantity"),
    *("production_order", "language", "source", "source_id", "reporter", "confidence", "model", "attachments"),
    *("version", "work_center", "plant", "iso_mode", "evidence"),
}


@dataclass(slots=True)
class Habits:
    """How this ERP is set up. `profile` "header" honours Idempotency-Key, "lookup" ignores it.

    `strict` answers 500 to a field that it does not know, as real ones do. Seconds: `retention` of a
    key, `search_lag` until a new order is found, `latency` of every answer.
    """

    profile: str = "header"
    strict: bool = False
    retention: float = 86_400.0
    search_lag: float = 0.0
    latency: float = 0.0


@dataclass(slots=True)
class Erp:
    """The ERP: its parts, and the routes over them."""

    book: Book
    plan: Plan
    idp: IdentityProvider
    habits: Habits
    door: Door | None = None
    bell: Bell | None = None
    jobs: set[asyncio.Task[None]] = field(default_factory=set)
    desks: dict[str, Desk] = field(default_factory=dict)

    async def answer(self, request: Request) -> Response:
        """Answer one request. Raises CutError when the connection must be reset."""
        if request.path.startswith("/_control/"):
            return self.control(request)
        if request.path == TOKEN_PATH and request.method == "POST":
            await asyncio.sleep(self.idp.policy.delay)
            return self.idp.token(request)
        documents: dict[str, Callable[[], dict[str, object]]] = {
            JWKS_PATH: self.idp.keys.public,
            METADATA_PATH: self.idp.metadata,
        }
        if request.path in documents:
            return json_response(200, documents[request.path]())
        if request.path == "/":
            return Response(200, orders_page(self.book.orders()), HTML)
        if request.path == "/api/orders" or request.path.startswith("/api/orders/"):
            return await self._orders(request)
        for desk in self.desks.values():
            if request.path.startswith(desk.prefix):
                return await self._at(desk, request)
        return problem(404, "Not Found")

    async def _at(self, desk: Desk, request: Request) -> Response:
        reference, equipment = desk.about(request)
        try:
            answer = await self._disturbed(desk, request, reference, equipment)
        except CutError:
            self.book.note(request.method, request.path, reference, "cut")
            raise
        self.book.note(request.method, request.path, reference, str(answer.status))
        return answer

    async def _disturbed(self, desk: Desk, request: Request, reference: str, equipment: str) -> Response:
        await asyncio.sleep(self.habits.latency)
        no = desk.admits(request)
        if no is not None:
            return no
        fault = self.plan.draw(request.method, request.path, reference, equipment)
        if fault is not None:
            early = desk.says(fault) or await before(fault)
            if early is not None:
                return early
        return await after(fault, await desk.answer(request, fault))

    async def _orders(self, request: Request) -> Response:
        try:
            body = request.json()
        except ValueError:
            return problem(400, "Bad Request", "the body is no JSON")
        if not isinstance(body, dict):
            return problem(400, "Bad Request", "the body is no object")
        reference = str(body.get("reference") or request.query.get("reference") or "")
        try:
            answer = await self._guarded(request, body, reference)
        except CutError:
            self.book.note(request.method, request.path, reference, "cut")
            raise
        self.book.note(request.method, request.path, reference, str(answer.status))
        return answer

    async def _guarded(self, request: Request, body: dict[str, Any], reference: str) -> Response:
        await asyncio.sleep(self.habits.latency)
        if not self.idp.knows(request.header("authorization"), "erp"):
            return unauthorized()
        fault = self.plan.draw(request.method, request.path, reference, str(body.get("equipment") or ""))
        if fault is not None:
            early = await before(fault)
            if early is not None:
                return early
        if request.method == "POST" and request.path == "/api/orders":
            return await self._create(request, body, fault)
        if fault is not None and fault.kind == "slow":
            await asyncio.sleep(fault.seconds)
        answer = self._get(request) if request.method == "GET" else self._patch(request, body)
        return await after(fault, answer)

    async def _create(self, request: Request, body: dict[str, Any], fault: Fault | None) -> Response:
        key: str | None = None
        if self.habits.profile == "header":
            key = request.header("idempotency-key").strip('"')
            if not key:
                return problem(400, "Bad Request", "Idempotency-Key is missing")
            early = self._replay(key, hashlib.sha256(request.body).hexdigest())
            if early is not None:
                return await after(fault, early)
        wrong = self._wrong(body)
        if wrong is not None:
            if key is not None:
                self.book.release(key)
            return wrong
        if fault is not None and fault.kind in ("ghost", "slow"):
            await asyncio.sleep(fault.seconds)
        order = self.book.commit(body, key)
        return await after(fault, _created(order.view()))

    def _replay(self, key: str, fingerprint: str) -> Response | None:
        seen = self.book.seen(key, self.habits.retention)
        if seen is None:
            self.book.start(key, fingerprint)
            return None
        if seen.fingerprint != fingerprint:
            return problem(422, "Unprocessable Content", "this Idempotency-Key was used for another body")
        if seen.answer is None:
            return problem(409, "Conflict", "a request with this Idempotency-Key is still running")
        answer = _created(seen.answer)
        answer.headers["idempotent-replayed"] = "true"
        return answer

    def _wrong(self, body: dict[str, Any]) -> Response | None:
        unknown = sorted(set(body) - FIELDS)
        if unknown and self.habits.strict:
            return traceback(f"ValueError: Invalid field '{unknown[0]}'")
        faults = [
            {"field": name, "detail": f"at most {limit} characters"}
            for name, limit in LIMITS.items()
            if body.get(name) is not None and len(str(body[name])) > limit
        ]
        if not body.get("title"):
            faults.append({"field": "title", "detail": "is required"})
        if body.get("priority", 3) not in (1, 2, 3, 4):
            faults.append({"field": "priority", "detail": "is 1 to 4"})
        return problem(422, "Unprocessable Content", faults[0]["detail"], errors=faults) if faults else None

    def _get(self, request: Request) -> Response:
        number = request.path.removeprefix("/api/orders").strip("/")
        if number:
            order = self.book.order(number)
            return problem(404, "Not Found") if order is None else json_response(200, order.view(), etag=_etag(order))
        seen_until = time.time() - self.habits.search_lag
        found = self.book.orders(request.query.get("reference"), before=seen_until, limit=100)
        return json_response(200, {"items": [order.view() for order in found], "count": len(found)})

    def _patch(self, request: Request, body: dict[str, Any]) -> Response:
        number = request.path.removeprefix("/api/orders").strip("/")
        order = self.book.order(number)
        if request.method != "PATCH" or order is None:
            return problem(404 if order is None else 405, "Not Found" if order is None else "Method Not Allowed")
        expected = request.header("if-match")
        if expected not in ("", "*", _etag(order)):
            return problem(412, "Precondition Failed", "the order was changed by somebody else")
        return self._change(number, body)

    def _change(self, number: str, body: dict[str, Any]) -> Response:
        unknown = set(body) - {"status", "closing_code", "title"}
        if unknown:
            return problem(422, "Unprocessable Content", f"{sorted(unknown)} cannot be changed")
        order = self.book.change(number, body)
        if order is None:
            return problem(404, "Not Found")
        if self.bell is not None:
            self.bell.ring(order)
        return json_response(200, order.view(), etag=_etag(order))

    def control(self, request: Request) -> Response:
        """Answer a request of the test or the demo; never disturbed by faults."""
        name = request.path.removeprefix("/_control/")
        if request.method == "GET" and name == "state":
            return json_response(200, self.state())
        if request.method == "GET" and name == "kinds":
            return json_response(200, KINDS)
        try:
            body = request.json()
            return json_response(200, self._turn(name, body))
        except (ValueError, TypeError, KeyError, AttributeError) as wrong:
            return problem(400, "Bad Request", str(wrong))

    def _turn(self, name: str, body: dict[str, Any]) -> dict[str, Any]:
        match name:
            case "faults":
                self.plan.replace(body.get("faults", []), body.get("seed"))
            case "habits":
                turn(self.habits, body)
            case "tokens":
                turn(self.idp.policy, body)
            case "revoke":
                self.idp.revoke_all()
            case "rotate":
                self.idp.keys.rotate(forget=bool(body.get("forget")))
            case "down":
                self._later(self._down(float(body["seconds"]), str(body.get("mode", "closed"))))
            case name if name in self.desks:
                self.desks[name].turn(body)
            case "order":
                number = str(body.pop("number"))
                return json.loads(self._change(number, body).body)  # type: ignore[no-any-return]  # our own JSON
            case _:
                raise ValueError(f"there is no control {name!r}")
        return {"ok": True}

    def state(self) -> dict[str, Any]:
        """Give the oracle: what was asked and what is in the database."""
        return {
            **self.book.counts(),
            "token_requests": self.idp.requests,
            "faults": [asdict(fault) for fault in self.plan.faults],
            "faults_fired": self.plan.fired,
            "seed": self.plan.seed,
            "orders": [order.view() for order in self.book.orders()],
            "webhooks": {"sent": self.bell.sent, "failed": self.bell.failed} if self.bell else None,
            "journal": self.book.journal(),
        }

    async def _down(self, seconds: float, mode: str) -> None:
        if self.door is None:
            return
        # Let the answer to this very request leave first.
        await asyncio.sleep(0.05)
        if mode == "closed":
            port = self.door.port
            await self.door.shut()
            await asyncio.sleep(seconds)
            await self.door.open(port)
            return
        self.door.mode = mode
        await asyncio.sleep(seconds)
        self.door.mode = "open"

    def _later(self, job: Coroutine[Any, Any, None]) -> None:
        task: asyncio.Task[None] = asyncio.get_running_loop().create_task(job)
        self.jobs.add(task)
        task.add_done_callback(self.jobs.discard)


def _created(view: dict[str, Any]) -> Response:
    return json_response(201, view, location=f"/api/orders/{view['number']}", etag=f'"{view["version"]}"')


def _etag(order: Order) -> str:
    return f'"{order.version}"'
