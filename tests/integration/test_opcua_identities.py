"""Every policy, mode and kind of user against servers that are not ours: as expected, or refused with the reason."""

import asyncio
import itertools
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
from asyncua import ua

from connectors.line.opcua.settings import Settings
from connectors.opcua.pki import Pki, read_chain
from connectors.opcua.secured import POLICIES
from connectors.opcua.security import make_client
from gateway.core.errors import Unreachable
from tests import opcua_papers
from tests.integration.sim_process import running
from tests.line_rigs import settings_of
from tests.node_opcua import NodeOpcua

pytestmark = pytest.mark.timeout(120)
PASSWORDS = {"ANDON_TEST_PASSWORD": "secret", "ANDON_TEST_WRONG": "guess"}
WAYS = list(itertools.product(POLICIES, ["Sign", "SignAndEncrypt"]))
IDENTITIES = ["anonymous", "user", "wrong user", "certificate", "wrong certificate"]


@dataclass(frozen=True)
class Peer:
    """A server with what is needed to talk to it. `takes` are the identities that it lets in."""

    url: str
    pki: Pki
    certificates: Path
    takes: frozenset[str]

    def settings(self, identity: str, **more: object) -> Settings:
        """The settings of a line with an identity."""
        users: dict[str, object] = {
            "user": {"name": "andon", "password": {"env": "ANDON_TEST_PASSWORD"}},
            "wrong user": {"name": "andon", "password": {"env": "ANDON_TEST_WRONG"}},
            "certificate": self._certified("known"),
            "wrong certificate": self._certified("unknown"),
        }
        given = {"user": users[identity]} if identity in users else {}
        fixed = {"name": "cell", "endpoint": self.url, "pki": str(self.pki.folder), "tags": "none"}
        return settings_of(Settings, **fixed, **given, **more)

    def _certified(self, name: str) -> dict[str, str]:
        return {"certificate": str(self.certificates / f"{name}.der"), "key": str(self.certificates / f"{name}.pem")}


@pytest.fixture(scope="module", autouse=True)
def passwords() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in PASSWORDS.items():
            patch.setenv(name, value)
        yield


@pytest.fixture(scope="module")
def papers(tmp_path_factory: pytest.TempPathFactory) -> tuple[Pki, Path]:
    folder = tmp_path_factory.mktemp("papers")
    for name in ("known", "unknown"):
        opcua_papers.user(folder, name)
    return opcua_papers.gateway(folder / "pki"), folder


@pytest.fixture(scope="module")
def asyncua_peer(papers: tuple[Pki, Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Peer]:
    pki, folder = papers
    own = tmp_path_factory.mktemp("simulator")
    for room, one in (("trusted", pki.certificate), ("users", folder / "known.der")):
        (own / room / "certs").mkdir(parents=True)
        (own / room / "certs" / one.name).write_bytes(one.read_bytes())
    options = ["--pki", str(own), "--strict", "--user", "andon", "--password-env", "ANDON_TEST_PASSWORD"]
    with running("opcua", "--asset", "M-01", *options) as simulator:
        pki.put(read_chain(own / "own" / "certs" / "server.der")[0])
        yield Peer(str(simulator.ready["endpoint"]), pki, folder, frozenset({"user", "certificate"}))


@pytest.fixture(scope="module")
def node_peer(papers: tuple[Pki, Path]) -> Iterator[Peer]:
    pki, folder = papers
    server = NodeOpcua("--secure", "--strict")
    try:
        server.trust(pki.certificate)
        users = server.pki / "users" / "trusted" / "certs"
        users.mkdir(parents=True)
        (users / "known.der").write_bytes((folder / "known.der").read_bytes())
        asyncio.run(server.start())
        pki.put(read_chain(server.certificate)[0])
        yield Peer(server.url, pki, folder, frozenset({"anonymous", "user", "certificate"}))
    finally:
        server.clean()


async def enter(settings: Settings) -> list[str]:
    """Go in, read the namespaces, leave."""
    client = await make_client(settings)
    try:
        await client.connect()
        return list(await client.get_namespace_array())
    finally:
        with suppress(ua.UaError, OSError):
            await client.disconnect()
        client.disconnect_socket()


async def as_expected(peer: Peer, identity: str, policy: str, mode: str) -> None:
    settings = peer.settings(identity, policy=policy, mode=mode)
    if identity in peer.takes:
        assert "http://opcfoundation.org/UA/" in await enter(settings)
        return
    with pytest.raises(Unreachable, match=r"not anonymous|does not (let this|take this|trust the) ") as refused:
        await enter(settings)
    assert refused.value.after is not None, "a wrong user, tried quickly, locks the account"
    assert PASSWORDS["ANDON_TEST_WRONG"] not in str(refused.value)


@pytest.mark.parametrize("identity", IDENTITIES)
@pytest.mark.parametrize(("policy", "mode"), WAYS)
async def test_asyncua_lets_in_whom_it_should(asyncua_peer: Peer, identity: str, policy: str, mode: str) -> None:
    await as_expected(asyncua_peer, identity, policy, mode)


@pytest.mark.peer
@pytest.mark.parametrize("identity", IDENTITIES)
@pytest.mark.parametrize(("policy", "mode"), WAYS)
async def test_node_opcua_lets_in_whom_it_should(node_peer: Peer, identity: str, policy: str, mode: str) -> None:
    await as_expected(node_peer, identity, policy, mode)
