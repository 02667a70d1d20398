"""A real Tryton behind a door that goes wrong when it is told to, with the words of `tests.erp_process.Erp`."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import asdict
from typing import Any

import httpx2

from simulators.erp.asgi import Door, Handler, Message, Request, Response
from simulators.erp.faults import Fault, Plan
from simulators.erp.trouble import after, before
from tests.erp_process import Erp
from tests.tryton import DATABASE, Tryton

Send = Callable[[Message], Awaitable[None]]
SLOWER = 1.5
"""Every time of a fault is so much longer than with the simulated ERP: a real one has not promised its pace."""


class _Door(Door):
    """Remembers the query as it came: Tryton's fields are names that repeat."""

    def __init__(self, handler: Handler) -> None:
        super().__init__(handler, "127.0.0.1")
        self.queries: dict[tuple[str, int], str] = {}

    async def _app(self, scope: Message, receive: Callable[[], Awaitable[Message]], send: Send) -> None:
        self.queries[(str(scope["client"][0]), int(scope["client"][1]))] = scope["query_string"].decode()
        await super()._app(scope, receive, send)


class TrytonPlant(Erp):
    """What the contract suite knows of an ERP; what is there is counted in Tryton's own database."""

    _orders = f"/{DATABASE}/rest/model/quality.alert"

    def __init__(self, tryton: Tryton) -> None:
        self.tryton = tryton
        self.url = ""
        self._plan = Plan(1)
        self._client = httpx2.AsyncClient(base_url=tryton.url, timeout=30, trust_env=False)
        self._door = _Door(self._answer)
        self._jobs: set[asyncio.Task[None]] = set()
        self._closing: asyncio.Task[None] | None = None

    @asynccontextmanager
    async def open(self) -> AsyncIterator["TrytonPlant"]:
        """Open the door on a free port."""
        self.url = f"http://127.0.0.1:{await self._door.open(0)}"
        try:
            yield self
        finally:
            if self._closing is not None:
                await self._closing
            await self._door.shut()
            self._door.release()
            await self._client.aclose()

    def faults(self, *rules: dict[str, Any], seed: int = 1) -> None:
        places = {"/api/orders": self._orders, "/api/": f"/{DATABASE}/rest/"}
        self._plan.replace([{**rule, "path": places[rule.get("path", "/api/")]} for rule in rules], seed)
        for fault in self._plan.faults:
            fault.seconds *= SLOWER

    def without_fields(self) -> None:
        """Answer the next question for the fields with 500."""
        self._plan.replace([{"kind": "error_before", "count": 1, "path": f"{self._orders}/fields_get"}], None)

    def down(self, seconds: float, mode: str = "closed") -> None:
        assert mode == "closed"
        self._closing = asyncio.get_running_loop().create_task(self._down(seconds))

    async def _down(self, seconds: float) -> None:
        port = self._door.port
        await self._door.shut()
        await asyncio.sleep(seconds)
        await self._door.open(port)

    def state(self) -> dict[str, Any]:
        rows = self.tryton.rows("SELECT substr(title, 1, 20) AS key, count(*) AS orders FROM quality_alert GROUP BY 1")
        return {
            "commits": {row["key"]: row["orders"] for row in rows},
            "token_requests": 0,
            "faults": [asdict(fault) for fault in self._plan.faults],
        }

    def commits(self, key: str) -> int:
        return len(self.tryton.orders_in_database(key))

    async def until(self, seen: Callable[[dict[str, Any]], bool], seconds: float = 20.0) -> dict[str, Any]:
        deadline = time.monotonic() + seconds
        while not seen(state := self.state()):
            assert time.monotonic() < deadline, state
            await asyncio.sleep(0.02)
        return state

    async def _answer(self, request: Request) -> Response:
        fault = self._drawn(request)
        if fault is not None:
            early = await before(fault)
            if early is not None:
                return early
            if fault.kind in ("ghost", "slow"):
                await asyncio.sleep(fault.seconds)
        return await after(fault, await self._forward(request))

    def _drawn(self, request: Request) -> Fault | None:
        title = str(json.loads(request.body).get("title", "")) if request.body else ""
        # The question for the fields is a POST too, but no order.
        method = "" if request.path.endswith("/fields_get") else request.method
        return self._plan.draw(method, request.path, title[:20], "")

    async def _forward(self, request: Request) -> Response:
        kept = ("authorization", "content-type", "x-tryton-context")
        answer = await self._client.request(
            request.method,
            f"{request.path}?{self._door.queries[request.client]}",
            content=request.body,
            headers={name: request.header(name) for name in kept if request.header(name)},
        )
        return Response(answer.status_code, answer.content, {"content-type": answer.headers.get("content-type", "")})
