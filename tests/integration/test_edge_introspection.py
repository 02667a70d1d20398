"""Tokens that their issuer is asked about: once for all who carry one, remembered for a minute at most."""

import asyncio
import base64
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import msgspec
import pytest

from gateway.core.errors import Unreachable
from gateway.core.secret import SecretRef
from gateway.runtime.api_settings import Issuer
from gateway.web.introspect import Introspection
from tests.integration.edge_rig import ISSUER, bearer, serving

LINE = "/api/v1/line"


class Authority:
    """An authorization server's introspection endpoint; `said` is what it answers to each token."""

    def __init__(self) -> None:
        self.said: dict[str, Any] = {}
        self.asked: list[tuple[str, str]] = []
        self.down = False
        self.url = ""

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        lines = dict(line.split(": ", 1) for line in head.split("\r\n")[1:] if ": " in line)
        given = {name.lower(): value for name, value in lines.items()}
        form = parse_qs((await reader.readexactly(int(given["content-length"]))).decode())
        token = form["token"][0]
        self.asked.append((token, given["authorization"]))
        await asyncio.sleep(0.05)  # so that the others come meanwhile
        body = b"<html>" if self.down else msgspec.json.encode(self.said.get(token, {"active": False}))
        writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
        await writer.drain()
        writer.close()
        await writer.wait_closed()


@pytest.fixture
async def authority() -> AsyncIterator[Authority]:
    one = Authority()
    server = await asyncio.start_server(one.answer, "127.0.0.1", 0)
    async with server:
        one.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/introspect"
        yield one


def good(**claims: Any) -> dict[str, Any]:
    return {"active": True, "aud": "andon", "scope": "read", "sub": "x", "exp": int(time.time()) + 600} | claims


@asynccontextmanager
async def edge_of(authority: Authority, folder: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Any]:
    monkeypatch.setenv("INTROSPECT", "s:e€")
    issuer = asked_at(authority)
    async with serving(folder, anonymous=(), issuer=(issuer,)) as edge:
        yield edge


def asked_at(authority: Authority) -> Issuer:
    secret = SecretRef(env="INTROSPECT")
    return Issuer(issuer=ISSUER, audience="andon", introspect_url=authority.url, client_id="gate", client_secret=secret)


async def test_many_requests_with_one_token_ask_once(
    authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority.said["opaque-1"] = good()
    headers = {"Authorization": "Bearer opaque-1"}
    async with edge_of(authority, tmp_path, monkeypatch) as edge:
        answers = await asyncio.gather(*(edge.client.get(LINE, headers=headers) for _ in range(30)))
        assert {answer.status_code for answer in answers} == {200}
        assert (await edge.client.get(LINE, headers=headers)).status_code == 200
    assert len(authority.asked) == 1
    pair = base64.b64decode(authority.asked[0][1].removeprefix("Basic ")).decode()
    assert pair == "gate:s%3Ae%E2%82%AC"


async def test_what_the_issuer_does_not_vouch_for_is_a_401(
    authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority.said = {
        "inactive": {"active": False},
        "as-text": good(active="true"),
        "another-audience": good(aud="payroll"),
        "no-audience": {"active": True, "scope": "read", "sub": "x"},
        "another-issuer": good(iss="https://evil.example"),
        "over": good(exp=int(time.time()) - 1),
        "not-yet": good(nbf=int(time.time()) + 300),
    }
    async with edge_of(authority, tmp_path, monkeypatch) as edge:
        for token in [*authority.said, "unknown"]:
            answer = await edge.client.get(LINE, headers={"Authorization": f"Bearer {token}"})
            assert answer.status_code == 401, token
        no_scope = good(scope="reports:write")
        authority.said["poor"] = no_scope
        answer = await edge.client.get(LINE, headers={"Authorization": "Bearer poor"})
        assert answer.status_code == 403


async def test_a_jwt_of_that_issuer_is_asked_about_and_one_of_another_never(
    authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with edge_of(authority, tmp_path, monkeypatch) as edge:
        stranger = await edge.client.get(LINE, headers=bearer("read", iss="https://evil.example"))
        assert (stranger.status_code, len(authority.asked)) == (401, 0)
        ours = bearer("read")
        authority.said[ours["Authorization"].removeprefix("Bearer ")] = good(iss=ISSUER)
        assert (await edge.client.get(LINE, headers=ours)).status_code == 200


async def test_while_the_issuer_is_down_nobody_is_let_in_and_asked_to_come_again(
    authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority.said["opaque-1"], authority.down = good(), True
    async with edge_of(authority, tmp_path, monkeypatch) as edge:
        answer = await edge.client.get(LINE, headers={"Authorization": "Bearer opaque-1"})
        assert answer.status_code == 503 and int(answer.headers["retry-after"]) >= 1
        authority.down = False
        assert (await edge.client.get(LINE, headers={"Authorization": "Bearer opaque-1"})).status_code == 200


async def test_an_answer_is_remembered_for_a_minute_and_never_past_the_tokens_end(
    authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INTROSPECT", "s")
    clock = [0.0]
    wall = datetime.now(UTC)
    asking = Introspection(asked_at(authority), lambda: wall, lambda: clock[0])
    authority.said = {"long": good(), "short": good(exp=int(wall.timestamp()) + 20), "no": {"active": False}}

    async def count(token: str, at: float) -> int:
        clock[0] = at
        before = len(authority.asked)
        await asking.claims(token)
        return len(authority.asked) - before

    assert [await count("long", at) for at in (0, 59, 61, 100, 122)] == [1, 0, 1, 0, 1]
    assert [await count("short", at) for at in (200, 218, 221)] == [1, 0, 1]
    assert [await count("no", at) for at in (300, 309, 311)] == [1, 0, 1]


async def test_one_caller_that_gives_up_does_not_take_the_answer_from_the_others(
    authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INTROSPECT", "s")
    authority.said["t"] = good()
    asking = Introspection(asked_at(authority), lambda: datetime.now(UTC))
    first, second = (asyncio.create_task(asking.claims("t")) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    assert (await second)["active"] is True
    assert len(authority.asked) == 1


async def test_a_flood_of_made_up_tokens_is_bounded(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INTROSPECT", "s")
    asking = Introspection(asked_at(authority), lambda: datetime.now(UTC))
    said = await asyncio.gather(*(asking.claims(f"t{number}") for number in range(100)), return_exceptions=True)
    assert sum(isinstance(one, Unreachable) for one in said) == 100 - len(authority.asked) > 0
