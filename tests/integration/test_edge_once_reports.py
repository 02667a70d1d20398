"""Idempotency-Key on every POST of ours: reports with their photos too; what a key is worth to somebody else."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from litestar import Request

from gateway.runtime.api_settings import Issuer
from gateway.web.app import litestar_app
from gateway.web.auth import SIGNED
from gateway.web.once import AGAIN, NEEDED, NEVER
from tests.integration.edge_rig import ISSUER, KEY, PRODUCTION, bearer, jwks, serving
from tests.integration.test_edge_reach import routes
from tests.integration.test_edge_reports import picture

REPORTS = "/api/v1/reports"
KEYED = {"Idempotency-Key": '"report-0001"'}
OWN_MEANS = {
    "/api/v1/line/{asset}/{tag}": "its key is committed with the values",
    "/ui/settings": "a cookie, and nothing of ours is changed",
}


async def test_every_post_route_takes_a_key_or_has_its_own_means(tmp_path: Path) -> None:
    async with serving(tmp_path) as edge:
        bare = [
            path
            for method, path, handler in routes(litestar_app(edge.gateway))
            if method == "POST" and handler.opt.get("scope") != SIGNED
            if handler.opt.get("once") not in {AGAIN, NEVER, NEEDED}
        ]
        assert set(bare) == set(OWN_MEANS)


async def test_a_report_under_its_key_gets_its_first_answer_also_after_a_restart(tmp_path: Path) -> None:
    async with serving(tmp_path) as edge:
        first = await edge.client.post(REPORTS, json={"text": "noisy"}, headers=KEYED)
    async with serving(tmp_path) as edge:
        again = await edge.client.post(REPORTS, json={"text": "noisy"}, headers=KEYED)
        other = await edge.client.post(REPORTS, json={"text": "leaks"}, headers=KEYED)
        assert [one.status_code for one in (first, again, other)] == [202, 202, 422]
        assert first.content == again.content and first.headers["location"] == again.headers["location"]
        assert again.headers["idempotent-replayed"] == "true"
        assert other.json()["type"] == "urn:andon:problem:idempotency-key-reused"
        assert (await edge.written())[0] == 1


async def test_a_form_with_a_photo_is_the_same_under_another_boundary(tmp_path: Path) -> None:
    async with serving(tmp_path) as edge:
        photo, larger = picture(), picture(exif=True)
        sent = [
            await edge.client.post(REPORTS, data={"text": text}, files={"photo": ("a.png", content)}, headers=KEYED)
            for text, content in (("burr", photo), ("burr", photo), ("burr", larger), ("dent", photo))
        ]
        kinds = {one.request.headers["content-type"] for one in sent}
        assert len(kinds) == len(sent), "each try has a boundary of its own"
        assert [one.status_code for one in sent] == [202, 202, 422, 422]
        assert sent[0].json() == sent[1].json()


async def test_a_photo_that_is_too_large_is_refused_with_a_key_as_without(tmp_path: Path) -> None:
    async with serving(tmp_path, max_photo=1000, max_body=1000) as edge:
        for headers in ({}, KEYED):
            answer = await edge.client.post(
                REPORTS, data={"text": "burr"}, files={"photo": ("a.png", bytes(5000))}, headers=headers
            )
            assert answer.status_code == 413
        assert (await edge.client.post(REPORTS, json={"text": "burr"}, headers=KEYED)).status_code == 202


async def test_a_key_of_one_issuers_subject_is_nothing_to_the_same_name_of_another(tmp_path: Path) -> None:
    both = tuple(
        Issuer(issuer=name, audience="andon", jwks_file=str(jwks(tmp_path))) for name in (ISSUER, "https://two.example")
    )
    async with serving(tmp_path, issuer=both) as edge:
        order = "/api/v1/production/order"
        mine = bearer("production:write") | KEYED
        theirs = bearer("production:write", iss="https://two.example") | KEYED
        first = await edge.client.post(order, json=PRODUCTION, headers=mine)
        other = await edge.client.post(order, json=PRODUCTION | {"order_id": "PO-2"}, headers=theirs)
        assert (first.status_code, other.status_code) == (202, 202)
        assert other.json()["order_id"] == "PO-2" and "idempotent-replayed" not in other.headers
        assert KEY.kid == "k1"


async def test_while_a_report_is_taken_in_the_same_key_is_a_409(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from gateway.web import reports  # noqa: PLC0415

    held, go = asyncio.Event(), asyncio.Event()
    taken = reports.taken

    async def slow(request: Request[Any, Any, Any], *more: Any) -> Any:
        held.set()
        await go.wait()
        return await taken(request, *more)

    monkeypatch.setattr(reports, "taken", slow)
    async with serving(tmp_path) as edge:
        first = asyncio.create_task(edge.client.post(REPORTS, json={"text": "noisy"}, headers=KEYED))
        async with asyncio.timeout(10):
            await held.wait()
        second = await edge.client.post(REPORTS, json={"text": "noisy"}, headers=KEYED)
        go.set()
        assert ((await first).status_code, second.status_code) == (202, 409)
        assert second.json()["type"] == "urn:andon:problem:still-running"
