"""The generic profile: a plain REST interface that knows every means against a second order."""

import asyncio
import hashlib
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from simulators.erp.asgi import Request, Response, json_response, problem
from simulators.erp.book import Book, Order, TakenError
from simulators.erp.faults import Fault
from simulators.erp.places import told_of
from simulators.erp.schema import FIELDS, SCHEMA, wrong
from simulators.erp.trouble import after, traceback

ROOT = "/api/orders"
OPEN, CANCELLED, OVER = "OPEN", "CANCELLED", ("CLOSED", "DONE", "CANCELLED")
_LEAVE = frozenset({"status", "closing_code", "number", "reference", "updated_at", "reason"})
_MOST_ROWS = 1000


@dataclass(slots=True)
class Habits:
    """How this ERP is set up. `profile` "header" honours Idempotency-Key, "lookup" ignores it.

    `strict` answers 500 to a field that it does not know, as real ones do. Seconds: `retention` of a key, `search_lag`
    until a new order is found, `latency` of every answer. `precondition` is what a change is compared by: "etag"
    (If-Match; without one 428 where `needs_match`), "timestamp" (`updated_at` of the body), "none". `patches_new`:
    PATCH of what is not there makes it. `quiet`: what was made is told by Location alone. `atomic`: one bad row refuses
    its batch. `tells` "allow" answers OPTIONS with what may be done at an address; "missing" says by its 404 at least
    whether the address or the order is not there; "nothing" says neither. `writes` False: may only read. `rate`
    requests a second are answered, 0 all.
    """

    profile: str = "header"
    strict: bool = False
    retention: float = 86_400.0
    search_lag: float = 0.0
    latency: float = 0.0
    precondition: str = "etag"
    needs_match: bool = False
    patches_new: bool = False
    quiet: bool = False
    atomic: bool = False
    writes: bool = True
    rate: int = 0
    tells: str = "allow"


@dataclass(slots=True)
class Orders:
    """The orders under `ROOT`. `ring` is called with every order that changed."""

    book: Book
    habits: Habits
    ring: Callable[[Order], None]
    second: int = 0
    used: int = field(default=0)

    def limited(self) -> Response | None:
        """Give a 429 where this second's requests are used up."""
        if not self.habits.rate:
            return None
        now = int(time.time())
        if now != self.second:
            self.second, self.used = now, 0
        self.used += 1
        if self.used <= self.habits.rate:
            return None
        answer = problem(429, "Too Many Requests", "this second's requests are used up")
        answer.headers["retry-after"] = "1"
        return self.counted(answer)

    def counted(self, answer: Response) -> Response:
        """Put the RateLimit headers on an answer."""
        if self.habits.rate:
            left = max(0, self.habits.rate - self.used)
            answer.headers["ratelimit-policy"] = f'"second";q={self.habits.rate};w=1'
            answer.headers["ratelimit"] = f'"second";r={left};t=1'
        return answer

    async def answer(self, request: Request, body: dict[str, Any], fault: Fault | None) -> Response:
        """Answer one request, as a fault leaves the answer."""
        rest = request.path.removeprefix(ROOT).strip("/")
        early = told_of(request.method, rest, tells=self.habits.tells == "allow", writes=self.habits.writes)
        if early is not None:
            return early
        if request.method != "GET" and not self.habits.writes:
            return problem(403, "Forbidden", "no right to make orders")
        if request.method == "POST" and not rest:
            return await self._create(request, body, fault)
        if fault is not None and fault.kind in ("ghost", "slow"):
            await asyncio.sleep(fault.seconds)
        if request.method == "GET":
            answer = self._get(request, rest)
        elif request.method == "POST" and rest == "batch":
            answer = self._batch(body)
        elif request.method == "POST" and rest.endswith("/cancel"):
            answer = self._change(request, rest.removesuffix("/cancel"), {"status": CANCELLED, **body})
        elif request.method == "PUT":
            answer = self._put(request, rest, body)
        elif request.method == "PATCH":
            answer = self._change(request, rest, body)
        else:
            answer = self._delete(request, rest)
        await self.book.durable()
        return await after(fault, answer)

    def schema(self, path: str) -> Response:
        """Give the description of an order: JSON Schema, or OpenAPI."""
        if path.endswith("/openapi.json"):
            told = {"openapi": "3.1.0", "info": {"title": "ERP", "version": "1"}, "paths": {}}
            known = {"Order": SCHEMA, "NewOrder": {"$ref": "#/components/schemas/Order"}}
            return json_response(200, {**told, "components": {"schemas": known}})
        return json_response(200, SCHEMA)

    async def _create(self, request: Request, body: dict[str, Any], fault: Fault | None) -> Response:
        if request.query.get("dry_run") == "true":
            return self._refusal(body) or json_response(200, {"valid": True})
        key: str | None = None
        if self.habits.profile == "header":
            key = request.header("idempotency-key").strip('"')
            if not key:
                return problem(400, "Bad Request", "Idempotency-Key is missing")
            early = self._replay(key, hashlib.sha256(request.body).hexdigest())
            if early is not None:
                return await after(fault, early)
        no = self._refusal(body)
        if no is not None:
            if key is not None:
                self.book.release(key)
            return no
        if fault is not None and fault.kind in ("ghost", "slow"):
            await asyncio.sleep(fault.seconds)
        answer = self._made(body, key)
        await self.book.durable()
        return await after(fault, answer)

    def _made(self, body: dict[str, Any], key: str | None) -> Response:
        chosen = str(body["number"]) if body.get("number") else None
        try:
            made = _created(self.book.commit(body, key, chosen).view())
        except TakenError:
            if key is not None:
                self.book.release(key)
            return problem(409, "Conflict", "another order has this number", errors=[{"field": "number"}])
        if self.habits.quiet:
            made.body = b""
        return made

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

    def _refusal(self, body: dict[str, Any], *, whole: bool = True) -> Response | None:
        unknown = sorted(set(body) - FIELDS)
        if unknown and self.habits.strict:
            return traceback(f"ValueError: Invalid field '{unknown[0]}'")
        faults = wrong(body, whole=whole)
        return problem(422, "Unprocessable Content", faults[0]["detail"], errors=faults) if faults else None

    def _get(self, request: Request, rest: str) -> Response:
        if rest:
            order = self._order(rest)
            if order is None:
                return problem(404, "Not Found", "" if self.habits.tells == "nothing" else "there is no such order")
            return _shown(order)
        seen_until = time.time() - self.habits.search_lag
        found = self.book.orders(request.query.get("reference"), before=seen_until, limit=100)
        return json_response(200, {"items": [order.view() for order in found], "count": len(found)})

    def _batch(self, body: dict[str, Any]) -> Response:
        rows = body.get("orders")
        if not isinstance(rows, list) or not 0 < len(rows) <= _MOST_ROWS:
            return problem(422, "Unprocessable Content", f"orders is a list of 1 to {_MOST_ROWS}")
        orders = [row.get("order") if isinstance(row, dict) else None for row in rows]
        refused = [self._refusal(one) if isinstance(one, dict) else problem(422, "no order") for one in orders]
        first = next((no for no in refused if no is not None), None)
        if self.habits.atomic and first is not None:
            return problem(422, "Unprocessable Content", "one of the orders is wrong, none was made")
        told = [no or self._row(str(row.get("key") or ""), row["order"]) for row, no in zip(rows, refused, strict=True)]
        results = []
        for answer in told:
            said = json.loads(answer.body) if "json" in answer.headers.get("content-type", "") else None
            results.append({"status": answer.status, ("order" if answer.status < 300 else "problem"): said})  # noqa: PLR2004  made
        return json_response(207, {"results": results})

    def _row(self, key: str, order: dict[str, Any]) -> Response:
        """Make one row of a batch; its key counts where Idempotency-Key does."""
        if self.habits.profile != "header":
            return self._made(order, None)
        if not key:
            return problem(400, "Bad Request", "key is missing")
        early = self._replay(key, hashlib.sha256(json.dumps(order, sort_keys=True).encode()).hexdigest())
        return early or self._made(order, key)

    def _put(self, request: Request, rest: str, body: dict[str, Any]) -> Response:
        """Make or write over the order under a key of the client."""
        if not rest or body.get("reference", rest) != rest:
            return problem(422, "Unprocessable Content", "the reference is another than that of the address")
        no = self._refusal(body)
        if no is not None:
            return no
        order = self._order(rest)
        if order is None:
            return self._made({**body, "reference": rest}, None)
        if request.header("if-none-match") == "*":
            return problem(412, "Precondition Failed", "it is there already")
        stale = self._stale(request, order, {})
        if stale is not None:
            return stale
        self.book.rewrite(order.id, {**order.body, **body})
        return self._told(order.number)

    def _change(self, request: Request, rest: str, body: dict[str, Any]) -> Response:
        order = self._order(rest)
        if order is None:
            if self.habits.patches_new and request.method == "PATCH":
                return self._put(request, rest, body)
            return problem(404, "Not Found")
        if request.header("if-none-match") == "*":
            return problem(412, "Precondition Failed", "it is there already")
        stale = self._stale(request, order, body)
        if stale is not None:
            return stale
        if body.get("status") == CANCELLED and order.status == CANCELLED:
            return _shown(order)
        if order.status in OVER or (body.get("status") == CANCELLED and order.status != OPEN):
            return problem(409, "Conflict", f"the order is {order.status}")
        return self.edit(order, body)

    def _delete(self, request: Request, rest: str) -> Response:
        order = self._order(rest)
        if order is None:
            return problem(404, "Not Found")
        stale = self._stale(request, order, {})
        if stale is not None:
            return stale
        if order.status != OPEN:
            return problem(409, "Conflict", f"the order is {order.status}")
        self.book.remove(order.id)
        return Response(204)

    def edit(self, order: Order, body: dict[str, Any]) -> Response:
        """Change an order, as a client or a planner does."""
        fields = {name: value for name, value in body.items() if name not in _LEAVE}
        no = self._refusal(fields, whole=False)
        if no is not None:
            return no
        if fields:
            left = {name: value for name, value in {**order.body, **fields}.items() if value is not None}
            self.book.rewrite(order.id, left)
        if set(body) & {"status", "closing_code"}:
            self.book.change(order.number, {name: body[name] for name in ("status", "closing_code") if name in body})
        return self._told(order.number)

    def _told(self, number: str) -> Response:
        order = self.book.order(number)
        if order is None:
            return problem(404, "Not Found")
        self.ring(order)
        return _shown(order)

    def _stale(self, request: Request, order: Order, body: dict[str, Any]) -> Response | None:
        if self.habits.precondition == "timestamp":
            if body.get("updated_at") not in (None, order.view()["updated_at"]):
                return problem(409, "Conflict", "the order was changed since it was read", code="STALE")
            return None
        expected = request.header("if-match")
        if self.habits.precondition != "etag" or expected == "*":
            return None
        if not expected:
            return problem(428, "Precondition Required", "say If-Match") if self.habits.needs_match else None
        if expected != _etag(order):
            return problem(412, "Precondition Failed", "the order was changed by somebody else")
        return None

    def _order(self, rest: str) -> Order | None:
        found = self.book.order(rest)
        return found or next(iter(self.book.orders(rest, limit=1)), None)


def _created(view: dict[str, Any]) -> Response:
    return json_response(201, view, location=f"{ROOT}/{view['number']}", etag=f'"{view["version"]}"')


def _shown(order: Order) -> Response:
    return json_response(200, order.view(), etag=_etag(order))


def _etag(order: Order) -> str:
    return f'"{order.version}"'
