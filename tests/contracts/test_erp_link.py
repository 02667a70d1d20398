"""The REST adapter over a link that fails: silence, trickling, garbage, resets, certificates."""

import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from time import monotonic
from urllib.parse import urlsplit

import pytest

from connectors.erp.rest import Settings
from gateway.core.delivery import Delivered, Uncertain, Unsent
from gateway.core.errors import Misconfigured, Unreachable
from gateway.core.ports import ErpAdapter
from gateway.core.secret import SecretRef
from gateway.core.units import Duration
from tests.erp_papers import certificate
from tests.erp_process import SECRET, Erp, make_order, running_erp
from tests.faulty_link import Faults, FaultyLink


@pytest.fixture(scope="module")
def process() -> Iterator[Erp]:
    with running_erp() as erp:
        yield erp


@pytest.fixture
def plant(process: Erp, monkeypatch: pytest.MonkeyPatch) -> Erp:
    monkeypatch.setenv("TEST_ERP_SECRET", SECRET)
    process.faults()
    return process


@pytest.fixture
async def link(plant: Erp) -> AsyncIterator[FaultyLink]:
    place = urlsplit(plant.url)
    async with FaultyLink(str(place.hostname), int(place.port or 0)).open() as link:
        yield link


def settings(plant: Erp, base_url: str, **fields: object) -> Settings:
    given: dict[str, object] = {
        "name": "main",
        "base_url": base_url,
        "token_url": plant.ready["token_url"],
        "client_id": plant.ready["client_id"],
        "client_secret": SecretRef(env="TEST_ERP_SECRET"),
        "audience": "erp",
        "idempotency": "header",
        "timeout": Duration(1.0),
    }
    return Settings(**{**given, **fields})  # type: ignore[arg-type]  # a table of test values


@asynccontextmanager
async def adapter(plant: Erp, base_url: str, **fields: object) -> AsyncIterator[ErpAdapter]:
    erp = settings(plant, base_url, **fields).open()
    try:
        yield erp
    finally:
        await erp.close()


CASES = {
    "a request that is swallowed": (Faults(swallow_request=True), 0),
    "a reply that is swallowed": (Faults(swallow_reply=True), 1),
    "a reply of one byte every 0.3 s": (Faults(trickle=0.3), 1),
    "a reply of garbage": (Faults(garbage=True), 1),
    "a reply cut in its head": (Faults(cut_reply_after=10), 1),
    "a reply cut in its body": (Faults(cut_reply_after=200), 1),
    "connections that are reset": (Faults(refuse=True), None),
}


@pytest.mark.parametrize("name", CASES)
async def test_a_failing_link_is_doubt_in_time_and_heals(plant: Erp, link: FaultyLink, name: str) -> None:
    faults, commits = CASES[name]
    order = make_order(name)
    async with adapter(plant, f"http://127.0.0.1:{link.port}") as erp:
        link.faults = faults
        began = monotonic()
        [outcome] = await erp.deliver([order])
        assert monotonic() - began < 2.5
        if commits is not None:
            assert isinstance(outcome, Uncertain)
            await plant.until(lambda state: state["commits"].get(order.key, 0) == commits)
        link.faults = Faults()
        [again] = await erp.deliver([order])
        assert isinstance(again, Delivered)
    assert plant.commits(order.key) == 1


@asynccontextmanager
async def guarded(
    plant: Erp, files: tuple[Path, Path], client: tuple[Path, Path] | None = None
) -> AsyncIterator[FaultyLink]:
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(*files)
    if client is not None:
        tls.verify_mode = ssl.CERT_REQUIRED
        tls.load_verify_locations(client[0])
    place = urlsplit(plant.url)
    async with FaultyLink(str(place.hostname), int(place.port or 0)).open(tls) as link:
        yield link


async def test_a_trusted_certificate_is_enough(plant: Erp, tmp_path: Path) -> None:
    files = certificate(tmp_path, "good")
    async with (
        guarded(plant, files) as link,
        adapter(plant, f"https://localhost:{link.port}", ca_file=str(files[0])) as erp,
    ):
        [outcome] = await erp.deliver([make_order("good certificate")])
        assert isinstance(outcome, Delivered)


@pytest.mark.parametrize(
    ("name", "fields", "trusted"),
    [("expired", {"days": -1}, True), ("another", {"host": "other.example"}, True), ("self-signed", {}, False)],
)
async def test_a_certificate_that_is_not_right_gets_nothing(
    plant: Erp, tmp_path: Path, name: str, fields: dict[str, object], *, trusted: bool
) -> None:
    files = certificate(tmp_path, name, **fields)  # type: ignore[arg-type]  # a table of test values
    order = make_order(f"certificate {name}")
    ca_file = str(files[0]) if trusted else None
    async with (
        guarded(plant, files) as link,
        adapter(plant, f"https://localhost:{link.port}", ca_file=ca_file) as erp,
    ):
        [outcome] = await erp.deliver([order])
        assert isinstance(outcome, Unsent) and "the certificate is not accepted" in outcome.cause
        with pytest.raises(Unreachable, match="certificate"):
            await erp.verify()
    assert plant.commits(order.key) == 0


async def test_a_client_shows_its_own_certificate_where_that_is_asked_for(plant: Erp, tmp_path: Path) -> None:
    server, client = certificate(tmp_path, "server"), certificate(tmp_path, "client")
    order = make_order("client certificate")
    async with guarded(plant, server, client) as link:
        url = f"https://localhost:{link.port}"
        async with adapter(plant, url, ca_file=str(server[0])) as nobody:
            [outcome] = await nobody.deliver([order])
            assert isinstance(outcome, Unsent | Uncertain)
        own = {"cert_file": str(client[0]), "key_file": str(client[1])}
        async with adapter(plant, url, ca_file=str(server[0]), **own) as known:
            [outcome] = await known.deliver([order])
            assert isinstance(outcome, Delivered) and outcome.created
    with pytest.raises(Misconfigured, match="cert_file"):
        settings(plant, "https://localhost", cert_file=str(server[1])).open()


def test_a_ca_file_that_is_not_there_is_a_fault_at_start(plant: Erp, tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match="ca_file"):
        settings(plant, "https://localhost", ca_file=str(tmp_path / "none.pem")).open()
