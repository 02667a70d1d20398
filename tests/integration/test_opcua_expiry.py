"""The ends of a line's certificates: in the metrics, and in health 30 days before."""

from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path

from prometheus_client import CollectorRegistry, generate_latest

from connectors.line.opcua.settings import Settings
from connectors.opcua.pki import Pki, read_chain
from gateway.cli.doctor import listen
from gateway.core.batch import Batch, TagState
from gateway.core.ports import NOTHING
from gateway.runtime.certificates import Certificates
from tests import opcua_papers
from tests.integration.sim_process import running
from tests.line_rigs import settings_of, until
from tests.opcua_papers import NOW


class Papered:
    """A source that has papers."""

    name = "press"

    def __init__(self, ends: Mapping[str, datetime]) -> None:
        self.ends = ends

    def expiries(self) -> Mapping[str, datetime]:
        return self.ends

    async def batches(self, memory: Mapping[str, bytes] = NOTHING) -> AsyncIterator[Batch]:
        yield Batch(self.name, 0, NOW, memory=dict(memory))

    def tags(self) -> Sequence[TagState]:
        return []

    async def close(self) -> None: ...


def test_days_are_counted_and_a_warning_comes_30_days_before_the_end() -> None:
    source = Papered({"own": NOW + timedelta(days=400), "server": NOW + timedelta(days=29)})
    certificates = Certificates({"press": source}, lambda: NOW)
    registry = CollectorRegistry()
    registry.register(certificates)
    text = generate_latest(registry).decode()
    assert 'andon_certificate_days_left{source="press",whose="own"} 400.0' in text
    assert 'andon_certificate_days_left{source="press",whose="server"} 29.0' in text
    [warning] = certificates.warnings()
    assert warning.startswith("line.press: the server's certificate ends on") and "in 29 days" in warning
    source.ends = {"own": NOW - timedelta(days=1)}
    assert "our certificate ended on" in certificates.warnings()[0]
    assert len(certificates.warnings()) == 2, "what was seen of a server that is away stays known"


async def test_a_live_source_knows_both_ends_and_its_own_before_it_is_live(tmp_path: Path) -> None:
    pki: Pki = opcua_papers.gateway(tmp_path / "pki")
    with running("opcua", "--asset", "M-01", "--pki", str(tmp_path / "simulator")) as simulator:
        pki.put(read_chain(tmp_path / "simulator" / "own" / "certs" / "server.der")[0])
        tag = {"asset": "M-01", "tag": "speed", "address": "nsu=urn:andon:line;s=M-01.speed"}
        fixed = {"name": "cell", "endpoint": simulator.ready["endpoint"], "tag": [tag], "publish": "100ms"}
        source = settings_of(Settings, **fixed, pki=str(pki.folder)).open()
        certificates = Certificates({"cell": source}, lambda: NOW)
        assert set(certificates.ends()) == {("cell", "own")}
        batches = source.batches()
        try:
            assert (await anext(aiter(batches))).source == "cell"
            await until(lambda: set(certificates.ends()) == {("cell", "own"), ("cell", "server")})
        finally:
            await source.close()
        assert certificates.warnings() == []
        soon = opcua_papers.gateway(tmp_path / "soon", days=10)
        soon.put(read_chain(tmp_path / "simulator" / "own" / "certs" / "server.der")[0])
        looked = await listen(settings_of(Settings, **fixed, pki=str(soon.folder)))
    assert [found.part for found in looked] == ["line.cell.M-01/speed", "line.cell"]
    assert [found.ok for found in looked] == [True, False]
    assert "our certificate ends on" in looked[1].detail
