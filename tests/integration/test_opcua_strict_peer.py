"""A strict node-opcua server and the gateway: each missing act of trust by its name, until both have been done."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from connectors.line.opcua.checkup import examine
from connectors.line.opcua.settings import Settings
from tests import opcua_papers
from tests.line_rigs import settings_of
from tests.node_opcua import NodeOpcua

pytestmark = [pytest.mark.peer, pytest.mark.timeout(120)]


@pytest.fixture
def server() -> Iterator[NodeOpcua]:
    server = NodeOpcua("--secure", "--strict")
    asyncio.run(server.start())
    yield server
    server.clean()


async def told(given: Settings) -> dict[str, str]:
    """What the doctor says is wrong, by part."""
    return {step.what: step.told async for step in examine(given) if step.how == "BAD"}


@pytest.mark.pain(18)
async def test_both_acts_of_trust_are_named_one_after_the_other(server: NodeOpcua, tmp_path: Path) -> None:
    pki = opcua_papers.gateway(tmp_path / "pki")
    given = settings_of(Settings, name="cell", endpoint=server.url, pki=str(pki.folder), tags="none")
    first = await told(given)
    assert list(first) == ["server's certificate"]
    assert "BadCertificateUntrusted" in first["server's certificate"]
    [(_, _, stranger)] = pki.find("NodeOPCUA", "rejected")
    pki.put(stranger)
    second = await told(given)
    assert list(second) == ["session"]
    assert "rejects our certificate: trust it there" in second["session"]
    assert "urn:test:andon" in second["session"]
    for rejected in (server.pki / "rejected").iterdir():
        rejected.unlink()
    server.trust(pki.certificate)
    await server.kill()
    await server.start()
    assert await told(given) == {}
