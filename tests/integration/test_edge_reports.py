"""Reports and production orders over HTTP: accepted means stored, wrong means nothing stored."""

import asyncio
import base64
import io
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from PIL import Image

from gateway.core.errors import Full, Unreachable
from tests.integration.edge_rig import NOW, PRODUCTION, PRODUCTION_ORDER, FullStore, bearer, in_review, serving

REPORTS = "/api/v1/reports"
ORDER = "/api/v1/production/order"


def picture(*, exif: bool = False, kind: str = "JPEG") -> bytes:
    out = io.BytesIO()
    image = Image.new("RGB", (64, 48), (90, 90, 90))
    if exif:
        tags = Image.Exif()
        tags[0x010E] = "secret workshop"
        image.save(out, kind, exif=tags)
    else:
        image.save(out, kind)
    return out.getvalue()


async def test_an_accepted_report_is_stored_and_wakes_the_reader(tmp_path: Path) -> None:
    async with serving(tmp_path) as edge:
        answer = await edge.client.post(REPORTS, json={"text": "三号线冲压机主轴异响", "asset": "M-07"})
        assert answer.status_code == 202
        shown = (await edge.client.get(answer.headers["location"])).json()
        assert shown["report"]["text"] == "…"  # no words before the names in them were found
        assert shown["report"]["asset_hint"] == "M-07"
        assert shown["extraction"] is None
        assert edge.woken == ["words"]


async def test_the_same_id_again_gets_the_same_answer(tmp_path: Path) -> None:
    async with serving(tmp_path) as edge:
        first = await edge.client.post(REPORTS, json={"id": "r1", "text": "noisy"})
        again = await edge.client.post(REPORTS, json={"id": "r1", "text": "noisy"})
        other = await edge.client.post(REPORTS, json={"id": "r1", "text": "something else"})
        assert first.status_code == again.status_code == 202
        assert first.content == again.content
        assert again.headers["idempotent-replayed"] == "true"
        assert other.status_code == 409
        assert (await edge.written())[0] == 1
        assert edge.woken == ["words"]


async def test_an_idempotency_key_names_a_report_for_its_sender_alone(tmp_path: Path) -> None:
    async with serving(tmp_path) as edge:
        body = {"text": "noisy"}
        keyed = {"Idempotency-Key": '"a-long-key"'}
        first = await edge.client.post(REPORTS, json=body, headers=keyed)
        bare = await edge.client.post(REPORTS, json=body, headers={"Idempotency-Key": "a-long-key"})
        elsewhere = await edge.client.post(REPORTS, json=body, headers=keyed | bearer("reports:write"))
        short = await edge.client.post(REPORTS, json=body, headers={"Idempotency-Key": "short"})
        assert first.json() == bare.json()
        assert elsewhere.json()["id"] != first.json()["id"]
        assert short.status_code == 400
        assert (await edge.written())[0] == 2


async def test_an_id_may_be_in_any_language(tmp_path: Path) -> None:
    async with serving(tmp_path) as edge:
        answer = await edge.client.post(REPORTS, json={"id": "报告-1😀", "text": "literal \\\\u0000 stays"})
        assert answer.status_code == 202
        assert answer.headers["location"].isascii()
        shown = (await edge.client.get(answer.headers["location"])).json()
        assert shown["report"]["id"] == "报告-1😀"
        kept = await edge.gateway.store.read(lambda tx: tx.report("报告-1😀"))
        assert kept is not None
        assert kept.report.text == "literal \\\\u0000 stays"


async def test_many_at_once_with_one_id_make_one_report(tmp_path: Path) -> None:
    async with serving(tmp_path) as edge:
        answers = await asyncio.gather(
            *(edge.client.post(REPORTS, json={"id": "r1", "text": "noisy"}) for _ in range(20))
        )
        assert {answer.status_code for answer in answers} == {202}
        assert len({answer.content for answer in answers}) == 1
        assert edge.woken == ["words"]


WRONG: list[tuple[str, Any, int, set[str]]] = [
    ("not JSON", b"{", 400, set()),
    ("not UTF-8", b'{"text": "\xff"}', 400, set()),
    ("a list", b"[]", 400, {""}),
    ("no text", b"{}", 400, {"text"}),
    ("empty text", b'{"text": ""}', 400, {"text"}),
    ("blank text", b'{"text": "  \\n"}', 400, {"text"}),
    ("three faults at once", b'{"text": 7, "asset": "", "colour": 1}', 400, {"text", "asset", "colour"}),
    ("a time without zone", b'{"text": "x", "reported_at": "2026-01-01T10:00:00"}', 400, {"reported_at"}),
    ("an unknown asset", b'{"text": "x", "asset": "M-99"}', 400, {"asset"}),
    ("an id with a line break", b'{"text": "x", "id": "a\\r\\nSet-Cookie: b"}', 400, {"id"}),
    ("an id with a slash", b'{"text": "x", "id": "a/b"}', 400, {"id"}),
    ("the character NUL", b'{"text": "x\\u0000"}', 400, set()),
    ("half a character", b'{"text": "\\ud83d"}', 400, set()),
    ("too long", b'{"text": "' + b"x" * 10_001 + b'"}', 400, {"text"}),
    ("a photo that is none", b'{"text": "x", "photo": {"base64": "AAAA"}}', 400, {"photo"}),
    ("a photo that is not base64", b'{"text": "x", "photo": {"base64": "***"}}', 400, {"photo.base64"}),
    ("a photo by two names", b'{"text": "x", "photo": {}}', 400, {"photo"}),
    ("a photo that is not there", b'{"text": "x", "photo": {"sha256": "' + b"0" * 64 + b'"}}', 422, set()),
    ("deep nesting", b'{"text": ' + b"[" * 5000 + b"]" * 5000 + b"}", 400, {"text"}),
]


async def test_a_wrong_report_is_named_and_nothing_is_stored(tmp_path: Path) -> None:
    async with serving(tmp_path) as edge:
        for case, content, status, fields in WRONG:
            answer = await edge.client.post(REPORTS, content=content, headers={"Content-Type": "application/json"})
            problem = answer.json()
            assert answer.status_code == status, case
            assert answer.headers["content-type"] == "application/problem+json", case
            assert problem["status"] == status and problem["type"].startswith("urn:andon:problem:"), case
            assert {fault["field"] for fault in problem.get("errors", ())} == fields, (case, problem)
        assert await edge.written() == (0, 0, 0)
        assert edge.woken == []


async def test_what_is_no_request_of_ours_is_a_problem_too(tmp_path: Path) -> None:
    async with serving(tmp_path, max_body=1000) as edge:
        client = edge.client
        big = b'{"text": "' + b"x" * 20_000_000 + b'"}'

        async def pieces() -> Any:
            for start in range(0, len(big), 65536):
                yield big[start : start + 65536]

        kind = {"Content-Type": "application/json"}
        cases = [
            (await client.get("/nowhere"), 404),
            (await client.get("/api/v1/reports/none"), 404),
            (await client.delete(REPORTS), 405),
            (await client.post(REPORTS, content=b"x", headers={"Content-Type": "text/plain"}), 415),
            (await client.post(REPORTS, content=big, headers=kind), 413),
            (await client.post(REPORTS, content=pieces(), headers=kind), 413),
            (await client.get("/api/v1/reports?limit=0"), 400),
            (await client.get("/api/v1/reports?limit=many"), 400),
            (await client.get("/api/v1/orders?state=LOST"), 400),
            (await client.get("/api/v1/orders?asset=%00"), 400),
            (await client.get("/api/v1/orders/%00"), 400),
        ]
        for answer, status in cases:
            assert answer.status_code == status, answer.request.url
            assert answer.headers["content-type"] == "application/problem+json", answer.request.url
            assert answer.json()["status"] == status
            assert "default-src 'none'" in answer.headers["content-security-policy"]
        assert "allow" in cases[2][0].headers
        assert cases[6][0].json()["errors"][0]["field"] == "limit"


async def test_a_full_disk_answers_507_and_goes_on_when_there_is_room(tmp_path: Path) -> None:
    errors = [Full("the disk is full"), Unreachable("the database is away", after=timedelta(seconds=9)), TimeoutError()]
    async with serving(tmp_path, stores=lambda store: FullStore(store, errors)) as edge:
        full, away, late, taken = [await edge.client.post(REPORTS, json={"id": "r", "text": "noisy"}) for _ in range(4)]
        assert (full.status_code, away.status_code, late.status_code, taken.status_code) == (507, 503, 503, 202)
        assert full.json()["type"] == "urn:andon:problem:full"
        assert int(full.headers["retry-after"]) >= 1
        assert away.headers["retry-after"] == "9"
        assert (await edge.written())[0] == 1


async def test_an_unexpected_error_says_nothing_of_its_insides(tmp_path: Path) -> None:
    async with serving(tmp_path, stores=lambda store: FullStore(store, [RuntimeError("password=hunter2")])) as edge:
        answer = await edge.client.post(REPORTS, json={"text": "noisy"})
        assert answer.status_code == 500
        assert answer.headers["content-type"] == "application/problem+json"
        assert "hunter2" not in answer.text


@pytest.mark.parametrize("door", ["base64", "multipart"])
async def test_a_photo_is_kept_without_its_metadata(tmp_path: Path, door: str) -> None:
    content = picture(exif=True)
    async with serving(tmp_path) as edge:
        if door == "base64":
            body = {"id": "r1", "text": "burr", "photo": {"base64": base64.b64encode(content).decode()}}
            answer = await edge.client.post(REPORTS, json=body)
        else:
            files = {"photo": ("p.jpg", content, "image/jpeg")}
            answer = await edge.client.post(REPORTS, data={"id": "r1", "text": "burr", "asset": ""}, files=files)
        assert answer.status_code == 202, answer.text
        sha = (await edge.client.get("/api/v1/reports/r1")).json()["report"]["photo"]
        shown = await edge.client.get(f"/api/v1/evidence/{sha}")
        assert shown.headers["content-type"] == "image/jpeg"
        assert "sandbox" in shown.headers["content-security-policy"]
        assert b"secret workshop" not in shown.content
        assert Image.open(io.BytesIO(shown.content)).size == (64, 48)
        by_hash = await edge.client.post(REPORTS, json={"text": "same photo", "photo": {"sha256": sha}})
        assert by_hash.status_code == 202


async def test_a_form_with_faults_names_them_all(tmp_path: Path) -> None:
    async with serving(tmp_path) as edge:
        files = {"photo": ("p.gif", picture(kind="GIF"), "image/gif")}
        faulty = await edge.client.post(REPORTS, data={"text": "", "colour": "red"}, files=files)
        gif = await edge.client.post(REPORTS, data={"text": "burr"}, files=files)
        assert {fault["field"] for fault in faulty.json()["errors"]} == {"text", "colour"}
        assert gif.json()["errors"][0]["field"] == "photo"
        assert (await edge.written())[0] == 0


async def test_a_production_order_is_taken_once(tmp_path: Path) -> None:
    scope = bearer("production:write read")
    async with serving(tmp_path) as edge:
        first = await edge.client.post(ORDER, json=PRODUCTION, headers=scope)
        again = await edge.client.post(ORDER, json=PRODUCTION, headers=scope)
        other = await edge.client.post(ORDER, json=PRODUCTION | {"quantity": 7}, headers=scope)
        assert (first.status_code, again.status_code, other.status_code) == (202, 202, 409)
        assert first.content == again.content
        listed = (await edge.client.get("/api/v1/production/orders")).json()["items"]
        assert [row["order_id"] for row in listed] == ["PO-1"]
        held = await edge.gateway.store.read(lambda tx: tx.production_order("PO-1"))
        assert held == PRODUCTION_ORDER
        trail = await edge.gateway.store.read(lambda tx: list(tx.audit()))
        assert [(line.event, line.subject, line.detail) for line in trail] == [("production.taken", "PO-1", "erp-1")]


ODD_IDS = ("WH/MO/00012", "/PO/", "a//b", "a/../b", "50%/2F", "订单 7?x=1#y", "..")


@pytest.mark.parametrize("order_id", ODD_IDS)
async def test_a_production_order_is_found_by_any_id_that_is_taken(tmp_path: Path, order_id: str) -> None:
    scope = bearer("production:write read")
    async with serving(tmp_path) as edge:
        for taken in (order_id, "PO-1"):
            answer = await edge.client.post(ORDER, json=PRODUCTION | {"order_id": taken}, headers=scope)
            assert answer.status_code == 202
        name = quote(order_id, safe="").replace(".", "%2E")
        shown = await edge.client.get(f"/api/v1/production/orders/{name}", headers=scope)
        assert (shown.status_code, shown.json()["order"]["order_id"]) == (200, order_id)
        told = (await edge.client.get(f"/api/v1/production/joborder/{name}", headers=scope)).json()
        [response] = told["ShowJobResponseList"]["DataArea"]["JobResponseList"]
        assert response["ID"] == order_id
        for absent in ("PO-2", f"{name}x", f"x%2F{name}"):
            nobody = await edge.client.get(f"/api/v1/production/orders/{absent}", headers=scope)
            assert (nobody.status_code, nobody.json()["detail"]) == (404, "no such production order")


async def test_an_id_with_slashes_is_found_without_escaping_too(tmp_path: Path) -> None:
    scope = bearer("production:write read")
    async with serving(tmp_path) as edge:
        await edge.client.post(ORDER, json=PRODUCTION | {"order_id": "WH/MO/00012"}, headers=scope)
        shown = await edge.client.get("/api/v1/production/orders/WH/MO/00012?x=1", headers=scope)
        assert shown.json()["order"]["order_id"] == "WH/MO/00012"


async def test_a_wrong_production_order_names_every_fault(tmp_path: Path) -> None:
    cases: list[tuple[dict[str, Any], set[str]]] = [
        ({}, {"order_id", "material_code", "quantity", "due_date"}),
        (PRODUCTION | {"quantity": 0}, {"quantity"}),
        (PRODUCTION | {"quantity": -1, "order_id": "", "due_date": "tomorrow"}, {"quantity", "order_id", "due_date"}),
        (PRODUCTION | {"due_date": "2026-02-31"}, {"due_date"}),
        (PRODUCTION | {"due_date": "2026-12-01T25:00:00Z"}, {"due_date"}),
        (PRODUCTION | {"extra": 1}, {"extra"}),
    ]
    async with serving(tmp_path) as edge:
        for body, fields in cases:
            answer = await edge.client.post(ORDER, json=body, headers=bearer("production:write"))
            assert answer.status_code == 400
            assert {fault["field"] for fault in answer.json()["errors"]} == fields, body
        assert await edge.written() == (0, 0, 0)


@pytest.mark.parametrize("said", ["gestern", "01.12.2026", "2026-12-01T08:00", "2026-02-30"])
async def test_a_date_that_is_none_is_answered_with_one_that_is(tmp_path: Path, said: str) -> None:
    async with serving(tmp_path) as edge:
        for field in ("due_date", "start_date"):
            answer = await edge.client.post(ORDER, json=PRODUCTION | {field: said}, headers=bearer("production:write"))
            [fault] = answer.json()["errors"]
            assert (answer.status_code, fault["field"]) == (400, field)
            assert "2026-12-01T08:00:00+08:00" in fault["message"] and "regex" not in fault["message"], fault


async def test_a_review_leads_to_one_order_and_keeps_its_answer(tmp_path: Path) -> None:
    async with serving(tmp_path) as edge:
        await edge.gateway.store.write(in_review("r1"))
        await edge.gateway.store.write(in_review("r2"))
        listed = (await edge.client.get("/api/v1/review")).json()["items"]
        assert [row["report"]["id"] for row in listed] == ["r1", "r2"]
        ruling = {"decision": "correct", "asset": "M-07", "failure_modes": ["NOI"], "due": NOW.isoformat()}
        first = await edge.client.post("/api/v1/review/r1", json=ruling)
        again = await edge.client.post("/api/v1/review/r1", json=ruling)
        other = await edge.client.post("/api/v1/review/r1", json={"decision": "dismiss"})
        gone = await edge.client.post("/api/v1/review/r9", json={"decision": "confirm"})
        odd = await edge.client.post("/api/v1/review/r2", json={"decision": "confirm", "asset": "M-07"})
        dismissed = await edge.client.post("/api/v1/review/r2", json={"decision": "dismiss"})
        assert first.status_code == again.status_code == dismissed.status_code == 200
        assert first.json() == again.json()
        assert (other.status_code, gone.status_code, odd.status_code) == (409, 404, 422)
        shown = (await edge.client.get("/api/v1/reports/r1")).json()
        assert shown["order_key"] == first.json()["order_key"]
        assert shown["extraction"]["asset"] == "M-07" and shown["extraction"]["failure_modes"] == ["NOI"]
        assert len((await edge.client.get("/api/v1/orders")).json()["items"]) == 1
        assert (await edge.client.get("/api/v1/review")).json()["items"] == []
        assert edge.woken == ["delivery", "delivery"]
