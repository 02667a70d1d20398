"""The simulated ERP keeps its own promises: tests that lean on it may believe it."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
from joserfc import jwt
from joserfc.jwk import KeySet
from standardwebhooks import Webhook

from tests.erp_process import SECRET, Erp, running_erp

ORDER = {"reference": "AN31W2CDJ6P70E2N64BQ", "title": "M-07: bearing", "equipment": "M-07", "priority": 2}
HOOK = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


@pytest.fixture(scope="module")
def process() -> Iterator[Erp]:
    with running_erp() as erp:
        yield erp


@pytest.fixture
def erp(process: Erp) -> Erp:
    process.faults()
    process.habits(profile="header", strict=False, retention=86400.0, search_lag=0.0, precondition="etag")
    process.habits(needs_match=False, patches_new=False, atomic=False, writes=True, rate=0)
    process.tokens(expires_in=300, algorithm="RS256")
    return process


def token(erp: Erp, audience: str = "erp") -> str:
    form = {"grant_type": "client_credentials", "client_id": erp.ready["client_id"], "client_secret": SECRET}
    answer = erp.http.post(erp.ready["token_url"], data={**form, "audience": audience})
    assert answer.status_code == 200, answer.text
    assert answer.headers["cache-control"] == "no-store"
    return str(answer.json()["access_token"])


def post(erp: Erp, body: object, key: str | None) -> httpx2.Response:
    headers = {"authorization": f"Bearer {token(erp)}"} | ({"idempotency-key": f'"{key}"'} if key else {})
    return erp.http.post(erp.url + "/api/orders", json=body, headers=headers)


def test_a_key_gives_the_same_answer_and_refuses_another_body(erp: Erp) -> None:
    body = {**ORDER, "reference": "K1"}
    first, second = post(erp, body, "K1"), post(erp, body, "K1")
    assert (first.status_code, second.status_code) == (201, 201)
    assert first.content == second.content and second.headers["idempotent-replayed"] == "true"
    assert post(erp, {**body, "title": "another"}, "K1").status_code == 422
    assert post(erp, body, None).status_code == 400
    assert erp.commits("K1") == 1


def test_a_key_whose_first_request_still_runs_is_a_conflict(erp: Erp) -> None:
    erp.faults({"kind": "slow", "seconds": 1.0, "count": 1})
    body = {**ORDER, "reference": "K2"}
    bearer = {"authorization": f"Bearer {token(erp)}", "idempotency-key": "K2"}
    with ThreadPoolExecutor(4) as pool:
        send = [pool.submit(erp.http.post, erp.url + "/api/orders", json=body, headers=bearer) for _ in range(4)]
        assert sorted(answer.result().status_code for answer in send) == [201, 409, 409, 409]


def test_without_keys_every_post_is_another_order(erp: Erp) -> None:
    erp.habits(profile="lookup")
    body = {**ORDER, "reference": "K3"}
    assert [post(erp, body, "K3").status_code for _ in range(2)] == [201, 201]
    assert erp.commits("K3") == 2 and erp.state()["duplicates"] >= 1


def test_what_is_wrong_is_named_as_problem_details(erp: Erp) -> None:
    answer = post(erp, {**ORDER, "title": "x" * 81, "priority": 9}, "K4")
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert [fault["field"] for fault in answer.json()["errors"]] == ["title", "priority"]
    assert post(erp, ORDER | {"reference": "K4"}, "K4").status_code == 201  # a refusal does not use the key up


def test_an_unknown_field_is_a_server_error_when_it_is_strict(erp: Erp) -> None:
    erp.habits(strict=True)
    answer = post(erp, {**ORDER, "x_colour": "red"}, "K5")
    assert answer.status_code == 500 and "Traceback" in answer.text


def test_a_change_needs_the_version_that_was_read(erp: Erp) -> None:
    number = post(erp, {**ORDER, "reference": "K6"}, "K6").json()["number"]
    bearer = {"authorization": f"Bearer {token(erp)}"}
    place = f"{erp.url}/api/orders/{number}"
    tag = erp.http.get(place, headers=bearer).headers["etag"]
    done = {"status": "CLOSED", "closing_code": "BEARING_REPLACED"}
    first = erp.http.patch(place, json=done, headers={**bearer, "if-match": tag})
    assert first.json()["closing_code"] == "BEARING_REPLACED"
    again = erp.http.patch(place, json=done, headers={**bearer, "if-match": tag})
    assert again.status_code == 412


def ask(erp: Erp, method: str, path: str, body: object = None, **headers: str) -> httpx2.Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    bearer = {"authorization": f"Bearer {token(erp)}"}
    return erp.http.request(method, f"{erp.url}{path}", json=body, headers={**bearer, **named})


def test_a_change_without_a_version_is_refused_where_that_is_its_habit(erp: Erp) -> None:
    number = post(erp, {**ORDER, "reference": "P1"}, "P1").json()["number"]
    erp.habits(needs_match=True)
    place = f"/api/orders/{number}"
    assert ask(erp, "PATCH", place, {"title": "new"}).status_code == 428
    tag = ask(erp, "GET", place).headers["etag"]
    changed = ask(erp, "PATCH", place, {"title": "new", "material": None}, if_match=tag)
    assert changed.status_code == 200 and changed.headers["etag"] != tag
    assert ask(erp, "PATCH", place, {"title": "newer"}, if_match=tag).status_code == 412
    erp.habits(precondition="timestamp")
    stale = {"title": "newer", "updated_at": "2026-01-01T00:00:00.000Z"}
    assert ask(erp, "PATCH", place, stale).status_code == 409
    assert ask(erp, "PATCH", place, {**stale, "updated_at": changed.json()["updated_at"]}).status_code == 200


def test_an_order_under_a_key_of_the_client_is_made_once_and_then_written_over(erp: Erp) -> None:
    body = {**ORDER, "reference": "P2"}
    only_new = {"if_none_match": "*"}
    assert ask(erp, "PUT", "/api/orders/P2", body, **only_new).status_code == 201
    assert ask(erp, "PUT", "/api/orders/P2", body, **only_new).status_code == 412
    assert ask(erp, "PUT", "/api/orders/P2", {**body, "title": "another"}).status_code == 200
    assert ask(erp, "GET", "/api/orders/P2").json()["title"] == "another"
    assert ask(erp, "PATCH", "/api/orders/P3", {**ORDER, "reference": "P3"}).status_code == 404
    erp.habits(patches_new=True)
    assert ask(erp, "PATCH", "/api/orders/P3", {**ORDER, "reference": "P3"}).status_code == 201
    assert (erp.commits("P2"), erp.commits("P3")) == (1, 1)


def test_a_number_that_the_client_chose_is_given_once(erp: Erp) -> None:
    erp.habits(profile="lookup")
    chosen = {**ORDER, "reference": "P4", "number": "P4"}
    first, second = (ask(erp, "POST", "/api/orders", chosen) for _ in range(2))
    assert (first.status_code, second.status_code) == (201, 409)
    assert first.json()["number"] == "P4" and ask(erp, "GET", "/api/orders/P4").status_code == 200
    assert erp.commits("P4") == 1


def test_a_batch_has_a_reply_for_each_order_and_may_be_refused_as_a_whole(erp: Erp) -> None:
    rows: list[dict[str, Any]] = [
        {"key": f"B{at}", "order": {**ORDER, "reference": f"B{at}", "priority": 9 if at == 1 else 1}} for at in range(3)
    ]
    told = ask(erp, "POST", "/api/orders/batch", {"orders": rows})
    assert told.status_code == 207 and [one["status"] for one in told.json()["results"]] == [201, 422, 201]
    again = ask(erp, "POST", "/api/orders/batch", {"orders": rows}).json()["results"]
    assert [one["order"]["number"] for one in (again[0], again[2])] == [
        one["order"]["number"] for one in (told.json()["results"][0], told.json()["results"][2])
    ]
    erp.habits(atomic=True)
    rows = [{"key": f"C{row['key']}", "order": {**row["order"], "reference": f"C{row['key']}"}} for row in rows]
    assert ask(erp, "POST", "/api/orders/batch", {"orders": rows}).status_code == 422
    assert [erp.commits(key) for key in ("B0", "B1", "B2", "CB0")] == [1, 0, 1, 0]


def test_who_has_begun_is_not_taken_back(erp: Erp) -> None:
    numbers = [post(erp, {**ORDER, "reference": key}, key).json()["number"] for key in ("X1", "X2")]
    erp.edit(numbers[0], status="IN_PROGRESS")
    told = [ask(erp, "POST", f"/api/orders/{number}/cancel", {"reason": "false alarm"}) for number in numbers]
    assert [answer.status_code for answer in told] == [409, 200]
    assert ask(erp, "PATCH", f"/api/orders/{numbers[1]}", {"title": "late"}).status_code == 409


def test_what_an_order_may_hold_is_described_and_a_dry_run_makes_none(erp: Erp) -> None:
    schema = ask(erp, "GET", "/api/schema").json()
    openapi = ask(erp, "GET", "/api/openapi.json").json()
    assert openapi["components"]["schemas"]["Order"] == schema and schema["properties"]["title"]["maxLength"] == 80
    assert ask(erp, "POST", "/api/orders?dry_run=true", {**ORDER, "reference": "D1"}).status_code == 200
    assert ask(erp, "POST", "/api/orders?dry_run=true", {"reference": "D1"}).status_code == 422
    assert erp.commits("D1") == 0
    erp.habits(writes=False)
    assert "POST" not in ask(erp, "OPTIONS", "/api/orders").headers["allow"]
    assert ask(erp, "POST", "/api/orders", ORDER).status_code == 403


def test_a_second_with_too_many_requests_says_so(erp: Erp) -> None:
    erp.habits(rate=1)
    told = [ask(erp, "GET", "/api/orders?reference=none")]
    while told[-1].status_code == 200 and len(told) < 200:
        told.append(ask(erp, "GET", "/api/orders?reference=none"))
    assert told[0].headers["ratelimit-policy"] == '"second";q=1;w=1'
    assert told[-1].status_code == 429 and told[-1].headers["retry-after"] == "1"
    assert told[-1].headers["ratelimit"] == '"second";r=0;t=1'


def test_nobody_gets_in_without_a_token_or_with_one_for_elsewhere(erp: Erp) -> None:
    for headers in ({}, {"authorization": "Bearer x"}, {"authorization": f"Bearer {token(erp, 'andon')}"}):
        answer = erp.http.get(erp.url + "/api/orders", headers=headers)
        assert answer.status_code == 401 and "invalid_token" in answer.headers["www-authenticate"]


@pytest.mark.parametrize("algorithm", ["RS256", "ES256"])
def test_its_tokens_for_others_are_signed_by_its_published_keys(erp: Erp, algorithm: str) -> None:
    erp.tokens(algorithm=algorithm)
    metadata = erp.http.get(erp.ready["metadata_url"]).json()
    assert metadata["issuer"] == erp.url and metadata["token_endpoint"] == erp.ready["token_url"]
    given = token(erp, "andon")

    def keys() -> KeySet:
        return KeySet.import_key_set(erp.http.get(metadata["jwks_uri"]).json())

    read = jwt.decode(given, keys(), algorithms=[algorithm])
    assert read.header["typ"] == "at+jwt"
    assert (read.claims["iss"], read.claims["aud"], read.claims["sub"]) == (erp.url, "andon", "andon-gateway")
    erp._post("rotate", {})
    assert jwt.decode(given, keys(), algorithms=[algorithm]).claims == read.claims
    newer = jwt.decode(token(erp, "andon"), keys(), algorithms=[algorithm])
    assert newer.header["kid"] != read.header["kid"]


def test_the_same_seed_makes_the_same_trouble(erp: Erp) -> None:
    def answers() -> list[int]:
        erp.faults({"kind": "refuse", "probability": 0.5}, seed=42)
        return [post(erp, {**ORDER, "reference": "seed"}, f"seed-{number}").status_code for number in range(12)]

    first = answers()
    erp.faults({"kind": "refuse", "probability": 0.5}, seed=42)
    assert {201, 422} == set(first)
    assert [code == 422 for code in first] == [code == 422 for code in answers()]


def test_a_fault_that_is_not_known_is_refused_with_what_is(erp: Erp) -> None:
    for rule in ({"kind": "explode"}, {"kind": "cut", "when": "now"}):
        answer = erp.http.post(erp.url + "/_control/faults", json={"faults": [rule]})
        assert (answer.status_code == 400 and "lost_reply" in answer.text) or "when" in answer.text


def test_its_page_lists_the_orders_and_shows_markup_as_text(erp: Erp) -> None:
    post(erp, {**ORDER, "reference": "K7", "title": "<script>alert(1)</script>"}, "K7")
    page = erp.http.get(erp.url + "/").text
    assert "K7" in page and "<script>" not in page


def test_an_erp_on_a_file_knows_its_orders_and_keys_after_a_restart(tmp_path: Path) -> None:
    body = {**ORDER, "reference": "K8"}
    numbers = []
    for _ in range(2):
        with running_erp("--db", str(tmp_path / "erp.db")) as erp:
            numbers.append(post(erp, body, "K8").json()["number"])
            assert erp.commits("K8") == 1
    assert numbers[0] == numbers[1]


class Ear:
    """A receiver of webhooks that answers what it is told to, in order."""

    def __init__(self, *answers: int) -> None:
        self.answers = list(answers)
        self.heard: list[tuple[dict[str, str], bytes]] = []
        self.enough = asyncio.Event()

    @asynccontextmanager
    async def open(self) -> AsyncIterator[str]:
        server = await asyncio.start_server(self._hear, "127.0.0.1", 0)
        async with server:
            yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/hook"

    async def _hear(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:] if line)}
        self.heard.append((headers, await reader.readexactly(int(headers["content-length"]))))
        writer.write(f"HTTP/1.1 {self.answers.pop(0)} X\r\ncontent-length: 0\r\nconnection: close\r\n\r\n".encode())
        await writer.drain()
        writer.close()
        if not self.answers:
            self.enough.set()


async def test_a_change_of_an_order_is_told_signed_and_again_until_it_is_taken() -> None:
    ear = Ear(500, 204)
    async with ear.open() as url:
        erp: Erp
        with running_erp("--webhook", url, "--webhook-secret", HOOK) as erp:
            number = (await asyncio.to_thread(post, erp, ORDER, "K9")).json()["number"]
            await asyncio.to_thread(erp._post, "order", {"number": number, "status": "CLOSED", "closing_code": "B1"})
            async with asyncio.timeout(15):
                await ear.enough.wait()
            assert (await erp.until(lambda state: state["webhooks"]["sent"] == 1))["webhooks"]["failed"] == 0
    (first, body), (second, same) = ear.heard
    assert body == same and first["webhook-id"] == second["webhook-id"]
    told: dict[str, Any] = Webhook(HOOK).verify(body, second)
    assert told["type"] == "order.status"
    assert told["data"] | {"at": ""} == {
        "key": ORDER["reference"],
        "number": number,
        "status": "CLOSED",
        "closing_code": "B1",
        "at": "",
    }
    assert json.loads(body)["data"]["at"].endswith("+00:00")
