"""Idempotency-Key: the first answer again, 409 while it runs, 422 for another request, 400 where one is needed."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
from litestar import Litestar, Request, post

from gateway.core.errors import Conflict, Doubtful, Full, Unreachable
from gateway.web.auth import Guard
from gateway.web.bodies import raw
from gateway.web.problems import Wrong, answer
from tests.integration.edge_rig import PRODUCTION, Edge, bearer, in_review, serving

KEY = {"Idempotency-Key": '"order-0001"'}
ORDER = "/api/v1/production/order"


async def test_a_production_order_under_its_key_gets_its_first_answer_also_after_a_restart(tmp_path: Path) -> None:
    headers = bearer("production:write") | KEY
    async with serving(tmp_path) as edge:
        first = await edge.client.post(ORDER, json=PRODUCTION, headers=headers)
    async with serving(tmp_path) as edge:
        again = await edge.client.post(ORDER, json=PRODUCTION, headers=headers)
        bare = await edge.client.post(ORDER, json=PRODUCTION, headers=headers | {"Idempotency-Key": "order-0001"})
        other = await edge.client.post(ORDER, json=PRODUCTION | {"quantity": 7}, headers=headers)
        stranger = bearer("production:write", sub="erp-2") | KEY
        elses = await edge.client.post(ORDER, json=PRODUCTION | {"order_id": "PO-2"}, headers=stranger)
        assert [one.status_code for one in (first, again, bare, other, elses)] == [202, 202, 202, 422, 202]
        assert first.content == again.content == bare.content
        assert first.headers["content-type"] == again.headers["content-type"]
        assert "idempotent-replayed" not in first.headers and again.headers["idempotent-replayed"] == "true"
        assert other.json()["type"] == "urn:andon:problem:idempotency-key-reused"
        assert (await edge.written())[1] == 2


async def test_what_was_not_taken_may_come_again_corrected(tmp_path: Path) -> None:
    headers = bearer("production:write") | KEY
    async with serving(tmp_path) as edge:
        faulty = await edge.client.post(ORDER, json={"order_id": "PO-1"}, headers=headers)
        right = await edge.client.post(ORDER, json=PRODUCTION, headers=headers)
        assert (faulty.status_code, right.status_code) == (400, 202)


async def test_a_refusal_for_business_reasons_is_an_answer_too(tmp_path: Path) -> None:
    async with serving(tmp_path) as edge:
        asked = ("/api/v1/review/R-1", {"decision": "dismiss"})
        first = await edge.client.post(asked[0], json=asked[1], headers=KEY)
        await edge.gateway.store.write(in_review("R-1"))
        again = await edge.client.post(asked[0], json=asked[1], headers=KEY)
        new = await edge.client.post(asked[0], json=asked[1], headers={"Idempotency-Key": "another-key"})
        assert [one.status_code for one in (first, again, new)] == [404, 404, 200]
        assert again.content == first.content and again.headers["idempotent-replayed"] == "true"
        assert again.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("key", ["short", "x" * 129, "", '"a\\"bcdefgh"', "tab\tinside-it"])
async def test_a_key_that_is_none_is_a_400(tmp_path: Path, key: str) -> None:
    headers = bearer("production:write") | {"Idempotency-Key": key}
    async with serving(tmp_path) as edge:
        assert (await edge.client.post(ORDER, json=PRODUCTION, headers=headers)).status_code == 400
        twice = [*bearer("production:write").items(), *KEY.items(), *KEY.items()]
        assert (await edge.client.post(ORDER, json=PRODUCTION, headers=twice)).status_code == 400
        assert (await edge.written())[1] == 0


class Machine:
    """Stands for what a handler does; it counts, waits and fails as a test wants."""

    def __init__(self) -> None:
        self.done = 0
        self.here, self.go = asyncio.Event(), asyncio.Event()
        self.go.set()
        self.fails: list[Exception] = []

    async def began(self) -> None:
        async with asyncio.timeout(20):
            await self.here.wait()


@asynccontextmanager
async def doing(edge: Edge, machine: Machine, rule: str) -> AsyncIterator[httpx2.AsyncClient]:
    """Serve one route over the gateway's store, guarded as all are."""

    @post("/do", opt={"scope": "read", "reach": "everywhere", "once": rule}, status_code=200)
    async def do(request: Request[Any, Any, Any]) -> dict[str, str]:
        content = await raw(request, 1000)
        machine.done += 1
        machine.here.set()
        await machine.go.wait()
        if machine.fails:
            raise machine.fails.pop()
        return {"did": content.decode(), "number": str(machine.done)}

    app = Litestar([do], middleware=[Guard(edge.gateway)], exception_handlers={Exception: answer})
    transport = httpx2.ASGITransport(app=app)  # type: ignore[arg-type]  # an ASGI application
    async with httpx2.AsyncClient(transport=transport, base_url="http://x") as asker:
        yield asker


async def test_while_the_first_runs_the_others_are_told_so_and_it_is_done_once(tmp_path: Path) -> None:
    machine = Machine()
    machine.go.clear()
    async with serving(tmp_path) as edge, doing(edge, machine, "never") as asker:
        first = asyncio.create_task(asker.post("/do", content=b"a", headers=KEY))
        await machine.began()
        others = await asyncio.gather(*(asker.post("/do", content=b"a", headers=KEY) for _ in range(8)))
        other = await asker.post("/do", content=b"b", headers=KEY)
        machine.go.set()
        assert (await first).json() == {"did": "a", "number": "1"}
        assert [one.status_code for one in others] == [409] * 8 and other.status_code == 422
        late = await asker.post("/do", content=b"a", headers=KEY)
        assert (late.status_code, late.json()["number"], machine.done) == (200, "1", 1)


async def test_where_a_key_is_needed_none_is_a_400(tmp_path: Path) -> None:
    machine = Machine()
    async with serving(tmp_path) as edge, doing(edge, machine, "needed") as asker:
        assert (await asker.post("/do", content=b"a")).status_code == 400
        assert (await asker.post("/do", content=b"a", headers=KEY)).status_code == 200
        assert machine.done == 1


@pytest.mark.parametrize(("rule", "status"), [("again", 200), ("never", 504)])
async def test_after_a_crash_midway_it_runs_again_only_where_that_does_no_harm(
    tmp_path: Path, rule: str, status: int
) -> None:
    machine = Machine()
    machine.go.clear()
    async with serving(tmp_path) as edge:
        async with doing(edge, machine, rule) as asker:
            first = asyncio.create_task(asker.post("/do", content=b"a", headers=KEY))
            await machine.began()
            first.cancel()
            await asyncio.wait([first])
        machine.go.set()
        async with doing(edge, machine, rule) as asker:  # a new guard knows only what is on disk
            assert (await asker.post("/do", content=b"a", headers=KEY)).status_code == status


@pytest.mark.parametrize(
    ("failure", "first", "then"),
    [
        *((Unreachable("away"), 503, 200), (Full("no room"), 507, 200), (Wrong(400, "no"), 400, 200)),
        (Conflict("no"), 409, 409),
        *((OSError(), 500, 504), (TimeoutError(), 503, 504), (Doubtful("?"), 504, 504)),
    ],
)
async def test_what_failed_may_come_again_and_what_was_refused_stays_refused(
    tmp_path: Path, failure: Exception, first: int, then: int
) -> None:
    machine = Machine()
    machine.fails = [failure]
    async with serving(tmp_path) as edge, doing(edge, machine, "never") as asker:
        assert (await asker.post("/do", content=b"a", headers=KEY)).status_code == first
        assert (await asker.post("/do", content=b"a", headers=KEY)).status_code == then
