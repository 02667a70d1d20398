"""One token for all: fetched once, renewed early, replaced after a 401, never shown."""

import asyncio
import base64
import time
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from urllib.parse import parse_qs

import httpx2
import pytest

from connectors.erp.oauth import ClientCredentials, Grant, NoToken
from tests.erp_process import SECRET, Erp, running_erp


@pytest.fixture(scope="module")
def process() -> Iterator[Erp]:
    with running_erp() as erp:
        yield erp


@pytest.fixture
def plant(process: Erp) -> Erp:
    process.faults()
    process.tokens(expires_in=300, fail=0, html=0, delay=0, require_audience=False, refresh="", rotate=True)
    return process


def grant(plant: Erp, **fields: str) -> Grant:
    given = {"token_url": plant.ready["token_url"], "client_id": plant.ready["client_id"], "client_secret": SECRET}
    return Grant(**{**given, "audience": "erp", **fields})  # type: ignore[arg-type]  # a table of test values


def connect() -> httpx2.AsyncClient:
    return httpx2.AsyncClient(trust_env=False)


def middle(low: float, high: float) -> float:
    return (low + high) / 2


class Clock:
    """A monotonic clock that a test sets."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


@asynccontextmanager
async def client(plant: Erp, asked: Grant, clock: Clock | None = None) -> AsyncIterator[httpx2.AsyncClient]:
    auth = ClientCredentials(connect, asked, clock or Clock(), dice=middle)
    limits = httpx2.Limits(max_connections=100)
    async with httpx2.AsyncClient(base_url=plant.url, auth=auth, limits=limits, trust_env=False, timeout=30) as asker:
        yield asker
    await auth.close()


async def _ask(asker: httpx2.AsyncClient) -> int:
    return (await asker.get("/api/orders", params={"reference": "x"})).status_code


async def test_fifty_tasks_need_one_token_and_after_a_revocation_one_more(plant: Erp) -> None:
    before = plant.state()["token_requests"]
    plant.tokens(delay=0.1)
    async with client(plant, grant(plant)) as asker:
        assert await asyncio.gather(*(_ask(asker) for _ in range(50))) == [200] * 50
        assert plant.state()["token_requests"] == before + 1
        plant.revoke()
        assert await asyncio.gather(*(_ask(asker) for _ in range(50))) == [200] * 50
        assert plant.state()["token_requests"] == before + 2


async def test_a_server_that_refuses_every_token_gets_two_requests_and_the_caller_the_401(plant: Erp) -> None:
    plant.faults({"kind": "unauthorized"})
    before = plant.state()["token_requests"]
    async with client(plant, grant(plant)) as asker:
        assert await _ask(asker) == 401
    assert plant.state()["token_requests"] == before + 2


async def test_a_token_is_renewed_early_behind_the_requests_and_the_old_one_used_while_that_fails(plant: Erp) -> None:
    clock = Clock()
    before = plant.state()["token_requests"]
    async with client(plant, grant(plant), clock) as asker:
        await _ask(asker)
        clock.seconds += 239
        await _ask(asker)
        assert plant.state()["token_requests"] == before + 1
        clock.seconds += 2
        plant.tokens(fail=1)
        assert await _ask(asker) == 200
        await plant.until(lambda state: state["token_requests"] == before + 2)
        assert await _ask(asker) == 200
        assert plant.state()["token_requests"] == before + 2, "no pause after a renewal that failed"
        await _until_asked(plant, asker, clock, before + 3)


async def _until_asked(plant: Erp, asker: httpx2.AsyncClient, clock: Clock, count: int) -> None:
    """Ask on while the clock runs, until so many tokens were asked for."""
    deadline = time.monotonic() + 20
    while plant.state()["token_requests"] < count:
        assert time.monotonic() < deadline
        clock.seconds += 1
        assert await _ask(asker) == 200


async def test_a_slow_token_endpoint_delays_no_request_while_the_old_token_lives(plant: Erp) -> None:
    clock = Clock()
    async with client(plant, grant(plant), clock) as asker:
        await _ask(asker)
        clock.seconds += 241
        plant.tokens(delay=60)  # longer than any deadline of ours
        assert await _ask(asker) == 200
    plant.tokens(delay=0)


async def test_a_token_that_ended_is_not_used_when_no_other_comes(plant: Erp) -> None:
    clock = Clock()
    async with client(plant, grant(plant), clock) as asker:
        await _ask(asker)
        clock.seconds += 301
        plant.tokens(fail=1)
        with pytest.raises(NoToken, match="503"):
            await _ask(asker)


@pytest.mark.parametrize("life", [0, 300])
async def test_without_a_life_a_token_is_good_for_five_minutes(plant: Erp, life: int) -> None:
    clock = Clock()
    plant.tokens(expires_in=life)
    before = plant.state()["token_requests"]
    async with client(plant, grant(plant), clock) as asker:
        await _ask(asker)
        clock.seconds += 200
        await _ask(asker)
        assert plant.state()["token_requests"] == before + 1
        clock.seconds += 60
        await _ask(asker)
        await plant.until(lambda state: state["token_requests"] == before + 2)


@pytest.mark.parametrize("method", ["basic", "form"])
async def test_both_ways_to_authenticate_take_any_secret(plant: Erp, method: str) -> None:
    async with client(plant, grant(plant, client_auth=method)) as asker:
        assert await _ask(asker) == 200


async def test_the_audience_is_sent_with_every_token_request(plant: Erp) -> None:
    plant.tokens(require_audience=True)
    async with client(plant, grant(plant)) as asker:
        assert await _ask(asker) == 200
        plant.revoke()
        assert await _ask(asker) == 200
    async with client(plant, grant(plant, audience="", resource="erp")) as asker:
        assert await _ask(asker) == 200


async def test_a_caller_that_gives_up_does_not_take_the_token_from_the_others(plant: Erp) -> None:
    plant.tokens(delay=0.2)
    before = plant.state()["token_requests"]
    async with client(plant, grant(plant)) as asker:
        first, others = asyncio.create_task(_ask(asker)), [asyncio.create_task(_ask(asker)) for _ in range(5)]
        await asyncio.sleep(0)
        await plant.until(lambda _: True)
        first.cancel()
        assert await asyncio.gather(*others) == [200] * 5
    assert plant.state()["token_requests"] == before + 1


@pytest.mark.parametrize("wrong", ["client_secret", "client_id", "token_url"])
async def test_an_error_shows_neither_the_secret_nor_the_body(plant: Erp, wrong: str) -> None:
    bad = {"client_secret": "geheim-123", "client_id": "nobody", "token_url": plant.url + "/api/nothing"}[wrong]
    async with client(plant, grant(plant, **{wrong: bad})) as asker:
        with pytest.raises(NoToken) as caught:
            await _ask(asker)
    assert "geheim" not in str(caught.value) and SECRET not in str(caught.value)


@pytest.mark.parametrize(("url", "said"), [("http://127.0.0.1:9/token", r"\(ConnectError\); see token_url")])
async def test_a_token_endpoint_that_is_not_there_is_named_by_what_happened(plant: Erp, url: str, said: str) -> None:
    async with client(plant, grant(plant, token_url=url)) as asker:
        with pytest.raises(NoToken, match=said):
            await _ask(asker)


async def test_a_page_instead_of_a_token_is_no_token(plant: Erp) -> None:
    plant.tokens(html=1)
    async with client(plant, grant(plant)) as asker:
        with pytest.raises(NoToken, match="no JSON"):
            await _ask(asker)


@pytest.mark.parametrize(
    "content",
    [
        b"[]",
        b"{}",
        b'{"access_token": ""}',
        b'{"access_token": "a", "token_type": "mac"}',
        b'{"access_token": "a\\r\\nx: y", "token_type": "Bearer"}',
        b'{"access_token": 5, "token_type": "Bearer"}',
        b"\xff\xfe",
    ],
)
async def test_an_answer_that_is_no_token_is_refused(content: bytes) -> None:
    transport = httpx2.MockTransport(lambda _: httpx2.Response(200, content=content))
    auth = ClientCredentials(
        lambda: httpx2.AsyncClient(transport=transport), Grant("http://localhost/token", "id", "secret")
    )
    with pytest.raises(NoToken):
        await auth.token()


def test_what_is_shown_of_a_grant_has_no_secret() -> None:
    assert "secret" not in repr(Grant("http://localhost/token", "id", "secret"))


def test_the_token_request_is_form_encoded() -> None:
    headers, body = Grant("u", "i d", "s:%€", scope="a b", resource="urn:r").request()
    assert parse_qs(body.decode()) == {"grant_type": ["client_credentials"], "scope": ["a b"], "resource": ["urn:r"]}
    assert base64.b64decode(headers["authorization"].removeprefix("Basic ")) == b"i%20d:s%3A%25%E2%82%AC"


def test_fifty_threads_need_one_token_and_after_a_revocation_one_more(plant: Erp) -> None:
    before = plant.state()["token_requests"]
    plant.tokens(delay=0.1)
    auth = ClientCredentials(connect, grant(plant))
    with httpx2.Client(base_url=plant.url, auth=auth, trust_env=False, timeout=60) as asker:

        def ask(_: int) -> int:
            return asker.get("/api/orders", params={"reference": "x"}).status_code

        with ThreadPoolExecutor(50) as crew:
            assert list(crew.map(ask, range(50))) == [200] * 50
            assert plant.state()["token_requests"] == before + 1
            plant.revoke()
            assert list(crew.map(ask, range(50))) == [200] * 50
            assert plant.state()["token_requests"] == before + 2


async def test_tasks_and_threads_wait_for_the_same_token(plant: Erp) -> None:
    before = plant.state()["token_requests"]
    plant.tokens(delay=0.2)
    auth = ClientCredentials(connect, grant(plant))
    with ThreadPoolExecutor(20) as crew:
        loop = asyncio.get_running_loop()
        threads = [loop.run_in_executor(crew, auth.token_here) for _ in range(20)]
        tokens = await asyncio.gather(*threads, *(auth.token() for _ in range(20)))
    assert len({token.value for token in tokens}) == 1
    assert plant.state()["token_requests"] == before + 1


async def test_a_closed_connection_gives_up_its_fetch_and_begins_no_other(plant: Erp) -> None:
    plant.tokens(delay=60)
    auth = ClientCredentials(connect, grant(plant))
    waiting = asyncio.create_task(auth.token())
    await asyncio.sleep(0)
    await auth.close()
    with pytest.raises(NoToken, match="closed"):
        await waiting
    with pytest.raises(NoToken, match="closed"):
        await auth.token()
