"""What the simulated ERP answers: orders, tokens, a page, and the control that tests turn."""

import asyncio
import json
from collections.abc import Callable, Coroutine
from dataclasses import asdict, dataclass, field
from typing import Any

from simulators.erp.asgi import CutError, Door, Request, Response, json_response, problem
from simulators.erp.book import Book, Order
from simulators.erp.desk import Desk, turn
from simulators.erp.faults import KINDS, Plan
from simulators.erp.orders import ROOT, Habits, Orders
from simulators.erp.page import orders_page
from simulators.erp.trouble import HTML, after, before, unauthorized
from simulators.erp.webhook import Bell
from simulators.idp import JWKS_PATH, METADATA_PATH, TOKEN_PATH, IdentityProvider

DESCRIPTIONS = ("/api/schema", "/api/openapi.json")


@dataclass(slots=True)
class Erp:
    """The ERP: its parts, and the routes over them."""

    book: Book
    plan: Plan
    idp: IdentityProvider
    habits: Habits
    door: Door | None = None
    bell: Bell = field(default_factory=Bell)
    jobs: set[asyncio.Task[None]] = field(default_factory=set)
    desks: dict[str, Desk] = field(default_factory=dict)
    generic: Orders = field(init=False)

    def __post_init__(self) -> None:
        self.generic = Orders(self.book, self.habits, self._ring)

    async def answer(self, request: Request) -> Response:
        """Answer one request, once all that it changed is on the disk. Raises CutError: reset the connection."""
        answer = await self._answer(request)
        await self.book.durable()
        return answer

    async def _answer(self, request: Request) -> Response:
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
        if request.path in (ROOT, *DESCRIPTIONS) or request.path.startswith(f"{ROOT}/"):
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
        # The journal is written with the next order: it must not keep this one waiting for a disk of its own.
        self.book.note(request.method, request.path, reference, str(answer.status))
        return answer

    async def _guarded(self, request: Request, body: dict[str, Any], reference: str) -> Response:
        await asyncio.sleep(self.habits.latency)
        if not self.idp.knows(request.header("authorization"), "erp"):
            return unauthorized()
        limited = self.generic.limited()
        if limited is not None:
            return limited
        fault = self.plan.draw(request.method, request.path, reference, str(body.get("equipment") or ""))
        if fault is not None:
            early = await before(fault)
            if early is not None:
                return early
        if request.path in DESCRIPTIONS:
            return await after(fault, self.generic.schema(request.path))
        return self.generic.counted(await self.generic.answer(request, body, fault))

    def _ring(self, order: Order) -> None:
        self.bell.ring(order)

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
            case "bell":
                turn(self.bell.manner, body)
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
                order = self.book.order(str(body.pop("number")))
                if order is None:
                    raise ValueError("there is no such order")
                return json.loads(self.generic.edit(order, body).body)  # type: ignore[no-any-return]  # our own JSON
            case "copy":
                order = self.book.order(str(body["number"]))
                if order is None:
                    raise ValueError("there is no such order")
                return self.book.commit(order.body, None, made_by="planner").view()
            case _:
                raise ValueError(f"there is no control {name!r}")
        return {"ok": True}

    def state(self) -> dict[str, Any]:
        """Give the oracle: what was asked and what is in the database."""
        return {
            **self.book.counts(),
            "token_requests": self.idp.requests,
            "token_refusals": self.idp.refused,
            "refresh_token": self.idp.policy.refresh,
            "faults": [asdict(fault) for fault in self.plan.faults],
            "faults_fired": self.plan.fired,
            "seed": self.plan.seed,
            "orders": [order.view() for order in self.book.orders()],
            "webhooks": {"sent": self.bell.sent, "failed": self.bell.failed} if self.bell.manner.url else None,
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
