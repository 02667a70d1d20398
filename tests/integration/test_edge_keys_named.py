"""A token brings no key along: what it says of where its key lies is not looked at. And the ends of its time."""

import asyncio
import json
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

import pytest
from joserfc.jwk import ECKey, KeySet

from gateway.core.errors import Unreachable
from gateway.core.secret import SecretRef
from gateway.runtime.api_settings import Issuer
from gateway.web.fetch import DEADLINE_S
from gateway.web.introspect import Introspection
from gateway.web.keys import Keys
from tests.integration.edge_rig import ISSUER, KEY, bearer, serving, token

THEIRS = ECKey.generate_key("P-256", parameters={"kid": "k1", "use": "sig", "alg": "ES256"})


class Asked:
    """A server that gives the stranger's keys to whoever asks, and counts."""

    def __init__(self) -> None:
        self.times, self.url = 0, ""

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/keys"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        self.times += 1
        body = json.dumps(KeySet([THEIRS]).as_dict(private=False)).encode()
        writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
        await writer.drain()
        writer.close()


async def test_a_key_that_a_token_brings_or_points_to_opens_nothing(tmp_path: Path) -> None:
    public: dict[str, Any] = dict(THEIRS.as_dict(private=False))
    async with Asked() as asked, serving(tmp_path, anonymous=()) as edge:
        brought: list[dict[str, Any]] = [
            {"jwk": public},
            {"jwk": public, "kid": None},
            {"jku": asked.url},
            {"x5u": asked.url},
            {"x5c": ["MIIB"]},
            {"kid": asked.url},
            {"kid": "../../jwks.json"},
        ]
        for header in brought:
            forged = {"Authorization": f"Bearer {token('read', key=THEIRS, header=header)}"}
            assert (await edge.client.get("/api/v1/orders", headers=forged)).status_code == 401, header
        for header in brought[2:4]:  # beside a good signature they change nothing
            good = {"Authorization": f"Bearer {token('read', header=header)}"}
            assert (await edge.client.get("/api/v1/orders", headers=good)).status_code == 200, header
        assert asked.times == 0


@pytest.mark.parametrize(
    ("claim", "seconds", "status"),
    [("exp", -50, 200), ("exp", -70, 401), ("nbf", 50, 200), ("nbf", 75, 401), ("iat", 50, 200), ("iat", 75, 401)],
)
async def test_the_leeway_is_a_minute_to_both_sides(tmp_path: Path, claim: str, seconds: int, status: int) -> None:
    async with serving(tmp_path, anonymous=()) as edge:
        when = {claim: int(datetime.now(UTC).timestamp()) + seconds}
        assert (await edge.client.get("/api/v1/orders", headers=bearer("read", **when))).status_code == status


async def flood(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer without an end."""
    with suppress(ConnectionError, asyncio.CancelledError):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n")
        while True:
            writer.write(b" " * 65536)
            await writer.drain()


async def test_an_issuer_that_never_ends_its_answer_is_not_read_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASKING", "s")
    server = await asyncio.start_server(flood, "127.0.0.1", 0)
    async with server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        keys = Keys(Issuer(issuer=ISSUER, audience="andon", jwks_url=url))
        secret = SecretRef(env="ASKING")
        opaque = Issuer(issuer=ISSUER, audience="andon", introspect_url=url, client_id="g", client_secret=secret)
        asking = Introspection(opaque, lambda: datetime.now(UTC))
        for ask in (lambda: keys.of(KEY.kid), lambda: asking.claims("opaque")):
            with pytest.raises(Unreachable):
                async with asyncio.timeout(DEADLINE_S - 1):  # it is the size that ends it, not the time
                    await ask()
