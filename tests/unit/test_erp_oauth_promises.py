"""OAuth2 towards an ERP, promise by promise: certificates as proof, jitter, extras, one more try and no other."""

import asyncio
import hashlib
import json
import ssl
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qs

import httpx2
import pytest

from connectors.erp.grant import Grant
from connectors.erp.oauth import ClientCredentials, NoToken
from connectors.erp.place import Reach
from gateway.core.units import Duration
from tests.erp_papers import certificate
from tests.erp_process import SECRET, Erp, running_erp

ALL = {"scope": ["orders"], "audience": ["erp"], "resource": ["urn:plant"]}


@dataclass
class Server:
    """A token endpoint and a resource over real sockets, and TLS where `papers` are given.

    A token is bound to the certificate that it was asked with (RFC 8705), and counts once while `each_once` is set.
    """

    known: str = ""
    life: int = 300
    each_once: bool = False
    asked: list[dict[str, list[str]]] = field(default_factory=list)
    bound: dict[str, str] = field(default_factory=dict)
    url: str = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            length = int(
                next((line[15:] for line in head.lower().split("\r\n") if line.startswith("content-length")), 0)
            )
            body = (await reader.readexactly(length)).decode()
            tls: ssl.SSLObject | None = writer.get_extra_info("ssl_object")
            paper = tls.getpeercert(binary_form=True) if tls is not None else None
            shown = hashlib.sha256(paper).hexdigest() if paper else ""
            status, said = self._answer(head, parse_qs(body), shown)
            content = json.dumps(said).encode()
            writer.write(
                f"HTTP/1.1 {status} Said\r\ncontent-length: {len(content)}\r\nconnection: close\r\n\r\n".encode()
            )
            writer.write(content)
            await writer.drain()
        except (ssl.SSLError, ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    def _answer(self, head: str, form: dict[str, list[str]], shown: str) -> tuple[int, dict[str, object]]:
        if head.startswith("POST /token"):
            self.asked.append(form)
            if self.known and (shown != self.known or form.get("client_id") != ["me"]):
                return 401, {"error": "invalid_client"}
            value = f"token-{len(self.asked)}"
            self.bound[value] = shown
            turned = {"refresh_token": f"turned-{len(self.asked)}"} if "refresh_token" in form else {}
            return 200, {"access_token": value, "token_type": "Bearer", "expires_in": self.life, **turned}
        value = next(
            (line[22:] for line in head.split("\r\n") if line.lower().startswith("authorization: bearer ")), ""
        )
        there = self.bound.get(value)
        if self.each_once:
            self.bound.pop(value, None)
        return (200, {}) if there is not None and there == shown else (401, {})


@asynccontextmanager
async def listening(server: Server, tls: ssl.SSLContext | None = None) -> AsyncIterator[Server]:
    async with await asyncio.start_server(server.serve, "127.0.0.1", 0, ssl=tls) as listener:
        port = listener.sockets[0].getsockname()[1]
        server.url = f"http{'s' if tls else ''}://localhost:{port}"
        yield server


def reach(server: Server, **papers: str) -> Reach:
    return Reach(base_url=server.url, timeout=Duration(10), connect=Duration(5), connections=4, **papers)


def credentials(server: Server, clock: Callable[[], float], first: str = "") -> ClientCredentials:
    extras = {"scope": "orders", "audience": "erp", "resource": "urn:plant"}
    grant = Grant(f"{server.url}/token", "me", "secret", refreshes=bool(first), **extras)
    return ClientCredentials(lambda: httpx2.AsyncClient(trust_env=False), grant, clock, refresh_token=first)


async def test_a_certificate_proves_the_client_and_binds_its_tokens(tmp_path: Path) -> None:
    ours, mine, other = (certificate(tmp_path, name) for name in ("server", "mine", "other"))
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(*ours)
    tls.verify_mode = ssl.CERT_REQUIRED
    for known in (mine, other):
        tls.load_verify_locations(known[0])
    der = ssl.PEM_cert_to_DER_cert(mine[0].read_text())
    async with listening(Server(known=hashlib.sha256(der).hexdigest()), tls) as server:
        grant = Grant(f"{server.url}/token", "me", client_auth="tls")
        for papers, status in ((mine, 200), (other, 0), (None, 0)):
            shown = {} if papers is None else {"cert_file": str(papers[0]), "key_file": str(papers[1])}
            place = reach(server, ca_file=str(ours[0]), **shown)
            auth = ClientCredentials(lambda place=place: place.new_client(None, {}), grant)  # type: ignore[misc]  # bound at once
            async with place.new_client(auth, {}) as asker:
                if status:
                    assert (await asker.get("/orders")).status_code == status
                else:
                    with pytest.raises(NoToken):
                        await asker.get("/orders")
        # Only its id went along: no secret, and no other proof.
        assert server.asked[0] == {"grant_type": ["client_credentials"], "client_id": ["me"]}
        token = await ClientCredentials(
            lambda: reach(server, ca_file=str(ours[0]), cert_file=str(mine[0]), key_file=str(mine[1])).new_client(
                None, {}
            ),
            grant,
        ).token()
        stolen = reach(server, ca_file=str(ours[0]), cert_file=str(other[0]), key_file=str(other[1]))
        async with stolen.new_client(None, {"authorization": f"Bearer {token.value}"}) as thief:
            assert (await thief.get("/orders")).status_code == 401


@pytest.mark.parametrize("first", ["", "consented"])
async def test_scope_audience_and_resource_go_with_every_token_request(first: str) -> None:
    now = [0.0]
    async with listening(Server(each_once=True)) as server:
        auth = credentials(server, lambda: now[0], first)
        async with httpx2.AsyncClient(auth=auth, base_url=server.url, trust_env=False) as asker:
            assert (await asker.get("/orders")).status_code == 200
            assert (await asker.get("/orders")).status_code == 200  # the token is used up: a 401, and one more
            now[0] += 301  # past its end
            assert (await asker.get("/orders")).status_code == 200
        assert len(server.asked) == 3
        for number, form in enumerate(server.asked):
            assert {name: form.get(name) for name in ALL} == ALL, number
        if first:
            assert [form["refresh_token"] for form in server.asked] == [["consented"], ["turned-1"], ["turned-2"]]


async def test_a_token_is_renewed_at_75_to_85_percent_of_its_life_and_not_by_all_gateways_at_once() -> None:
    async with listening(Server(life=1000)) as server:
        renewals = []
        for _ in range(40):
            # Its clock stands at nothing, so that times are shares of the life.
            token = await credentials(server, lambda: 0.0).token()
            assert token.ends_at == 1000
            renewals.append(token.renew_at)
    assert all(750 <= at <= 850 for at in renewals)
    assert len(set(renewals)) > 30 and max(renewals) - min(renewals) > 50


@pytest.fixture
def plant() -> Iterator[Erp]:
    with running_erp() as erp:
        yield erp


def test_a_thread_tries_once_more_after_a_401_and_then_stops(plant: Erp) -> None:
    plant.faults({"kind": "unauthorized"})
    grant = Grant(plant.ready["token_url"], plant.ready["client_id"], SECRET, audience="erp")
    auth = ClientCredentials(lambda: httpx2.AsyncClient(trust_env=False), grant)
    before = plant.state()
    with httpx2.Client(base_url=plant.url, auth=auth, trust_env=False, timeout=60) as asker:
        assert asker.get("/api/orders").status_code == 401
    after = plant.state()
    assert after["token_requests"] == before["token_requests"] + 2
    assert after["requests"] == before["requests"] + 2
