"""What is refused on the way into an OPC UA server, in whose words, and that nothing was said before."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path

import pytest
from asyncua import Server, ua
from cryptography import x509

from connectors.line.opcua.checkup import Step, examine
from connectors.line.opcua.settings import Settings
from connectors.opcua.certificates import Wish, der, key_bytes, make_key, self_signed
from connectors.opcua.pki import Pki, read_chain
from connectors.opcua.security import make_client
from gateway.core.errors import Misconfigured, Unreachable
from simulators.papers import Papers
from tests import opcua_papers
from tests.line_rigs import free_port, settings_of
from tests.opcua_papers import DAY, NOW

SESAME = "open-sesame-7"
HELLO, OPEN = b"HEL", b"OPN"
CREATE_SESSION = b"\x01\x00\xcd\x01"
URI = "urn:test:line"
Tweak = Callable[[Server], None]


@pytest.fixture
def pki(tmp_path: Path) -> Pki:
    return opcua_papers.gateway(tmp_path / "pki")


@pytest.fixture(autouse=True)
def password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANDON_TEST_PASSWORD", SESAME)


class Rig:
    """One asyncua server for all tests here, for building its nodes takes seconds; secured anew for each."""

    def __init__(self) -> None:
        self._server = Server()
        asyncio.run(self._server.init())

    @asynccontextmanager
    async def serving(
        self, papers: Papers | None, tweak: Tweak = lambda _: None, policies: list[ua.SecurityPolicyType] | None = None
    ) -> AsyncIterator[str]:
        """Serve in this process; `tweak` may change what is offered."""
        server = self._server
        server.iserver.endpoints.clear()
        server._policies.clear()
        url = f"opc.tcp://127.0.0.1:{free_port()}"
        server.set_endpoint(url)
        await server.set_application_uri(URI)
        if papers is None:
            server.iserver.certificate = server.iserver.private_key = None
            server.set_security_policy([ua.SecurityPolicyType.NoSecurity])
        else:
            await papers.apply(server, URI, "127.0.0.1")
        if policies is not None:
            server.set_security_policy(policies)
        await server.start()
        tweak(server)
        try:
            yield url
        finally:
            await server.stop()


@pytest.fixture(scope="module")
def rig() -> Rig:
    return Rig()


class Tap:
    """A TCP link that keeps what the client says."""

    def __init__(self) -> None:
        self.said = b""

    @asynccontextmanager
    async def on(self, url: str) -> AsyncIterator[str]:
        host, port = url.removeprefix("opc.tcp://").split(":")
        writers: list[asyncio.StreamWriter] = []

        async def meet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            above, below = await asyncio.open_connection(host, int(port))
            writers.extend((writer, below))
            await asyncio.gather(self._pass(reader, below, keep=True), self._pass(above, writer, keep=False))

        server = await asyncio.start_server(meet, "127.0.0.1", 0)
        try:
            yield f"opc.tcp://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        finally:
            server.close()
            for writer in writers:
                writer.close()
                with suppress(OSError):
                    await writer.wait_closed()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, keep: bool) -> None:
        with suppress(OSError):
            while chunk := await reader.read(65536):
                self.said += chunk if keep else b""
                writer.write(chunk)
                await writer.drain()
        writer.close()


def settings(url: str, pki: Pki, **more: object) -> Settings:
    return settings_of(Settings, name="cell", endpoint=url, pki=str(pki.folder), tags="none", **more)


def trust(pki: Pki, papers: Papers) -> None:
    pki.put(read_chain(papers.certificate)[0])


def place(papers: Papers, shown: x509.Certificate) -> None:
    """Give a server a certificate that was made elsewhere."""
    for room in ("own/certs", "own/private"):
        (papers.folder / room).mkdir(parents=True)
    papers.certificate.write_bytes(der(shown))
    papers.key.write_bytes(key_bytes(opcua_papers.KEY, None))


async def enter(given: Settings) -> None:
    """Go in and out again."""
    async with AsyncExitStack() as leaving:
        client = await make_client(given)
        leaving.callback(client.disconnect_socket)
        await client.connect()
        await client.disconnect()


@pytest.mark.pain(18)
async def test_a_server_that_offers_plain_text_alone_is_refused_and_hears_nothing(rig: Rig, pki: Pki) -> None:
    user = {"name": "andon", "password": {"env": "ANDON_TEST_PASSWORD"}}
    tap = Tap()
    async with rig.serving(None) as url, tap.on(url) as tapped:
        with pytest.raises(Unreachable, match=r"does not offer Basic256Sha256 .* it offers None"):
            await enter(settings(tapped, pki, user=user))
    assert tap.said.startswith(HELLO), "it was asked for its endpoints"
    assert CREATE_SESSION not in tap.said
    assert b"andon" not in tap.said.lower().replace(b"urn:andon:gateway", b""), "neither user nor certificate"
    assert SESAME.encode() not in tap.said


async def test_a_policy_that_is_not_offered_is_named_beside_those_that_are(rig: Rig, pki: Pki, tmp_path: Path) -> None:
    papers = Papers(tmp_path / "server")
    async with rig.serving(papers, policies=[ua.SecurityPolicyType.Aes256Sha256RsaPss_Sign]) as url:
        with pytest.raises(Unreachable, match=r"it offers Aes256_Sha256_RsaPss \(Sign\)"):
            await enter(settings(url, pki))
        trust(pki, papers)
        await enter(settings(url, pki, policy="Aes256_Sha256_RsaPss", mode="Sign"))


async def test_an_unknown_server_is_kept_to_be_looked_at_and_hears_no_password(
    rig: Rig, pki: Pki, tmp_path: Path
) -> None:
    papers = Papers(tmp_path / "server", user="andon", password=SESAME)
    user = {"name": "andon", "password": {"env": "ANDON_TEST_PASSWORD"}}
    tap = Tap()
    async with rig.serving(papers) as url, tap.on(url) as tapped:
        given = settings(tapped, pki, user=user)
        with pytest.raises(Unreachable, match="BadCertificateUntrusted"):
            await enter(given)
        assert tap.said.count(OPEN) == 1, "the question for the endpoints, and no channel"
        [(room, _, kept)] = [entry for entry in pki.listed() if entry[0] == "rejected"]
        assert room == "rejected"
        pki.put(kept)
        await enter(given)
    assert SESAME.encode() not in tap.said


async def test_a_server_of_the_plants_ca_needs_its_revocation_list_and_is_out_once_it_stands_there(
    rig: Rig, pki: Pki, tmp_path: Path
) -> None:
    ca, papers = opcua_papers.Authority("plant"), Papers(tmp_path / "server")
    shown = opcua_papers.server(ca, uri=URI)
    place(papers, shown)
    async with rig.serving(papers) as url:
        with pytest.raises(Unreachable, match=r"BadCertificateUntrusted.*signed by CN=plant, which is not known"):
            await enter(settings(url, pki))
        pki.put(ca.certificate)
        with pytest.raises(Unreachable, match="BadCertificateRevocationUnknown"):
            await enter(settings(url, pki))
        await enter(settings(url, pki, tolerate=["crl"]))
        pki.put_list(ca.revocations(), "plant.crl")
        await enter(settings(url, pki))
        pki.put_list(ca.revocations([shown]), "plant.crl")
        with pytest.raises(Unreachable, match="BadCertificateRevoked"):
            await enter(settings(url, pki, tolerate=["crl"]))


async def test_another_key_under_the_same_name_is_a_stranger(rig: Rig, pki: Pki, tmp_path: Path) -> None:
    first, second = Papers(tmp_path / "first"), Papers(tmp_path / "second")
    async with rig.serving(first) as url:
        trust(pki, first)
        await enter(settings(url, pki))
    async with rig.serving(second) as url:
        with pytest.raises(Unreachable, match="BadCertificateUntrusted"):
            await enter(settings(url, pki))


async def test_one_who_shows_a_certificate_without_its_key_is_found_out(rig: Rig, pki: Pki, tmp_path: Path) -> None:
    true, false = Papers(tmp_path / "true"), Papers(tmp_path / "false")
    async with rig.serving(true):
        trust(pki, true)

    def lie(server: Server) -> None:
        for endpoint in server.iserver.endpoints:
            endpoint.ServerCertificate = true.certificate.read_bytes()

    async with rig.serving(false, lie) as url:
        with pytest.raises((Unreachable, ua.UaError, ConnectionError, TimeoutError)):
            await enter(settings(url, pki, timeout="1s"))


@pytest.mark.pain(18)
async def test_a_server_that_does_not_know_us_is_told_from_one_that_we_do_not_know(
    rig: Rig, pki: Pki, tmp_path: Path
) -> None:
    papers = Papers(tmp_path / "server", strict=True)
    async with rig.serving(papers) as url:
        trust(pki, papers)
        with pytest.raises(Unreachable, match=r"rejects our certificate: trust it there .*urn:test:andon"):
            await enter(settings(url, pki))
        [rejected] = (papers.folder / "rejected").iterdir()
        rejected.rename(papers.folder / "trusted" / "certs" / "andon.der")
        await enter(settings(url, pki))


@pytest.mark.parametrize("mode", ["Sign", "SignAndEncrypt"])
async def test_a_password_never_travels_in_clear(rig: Rig, pki: Pki, tmp_path: Path, mode: str) -> None:
    """The server asks for it unencrypted: hidden by an encrypted channel, refused on one that is signed only."""

    def ask_plainly(server: Server) -> None:
        for endpoint in server.iserver.endpoints:
            for token in endpoint.UserIdentityTokens:
                token.SecurityPolicyUri = "http://opcfoundation.org/UA/SecurityPolicy#None"

    papers = Papers(tmp_path / "server", user="andon", password=SESAME)
    user = {"name": "andon", "password": {"env": "ANDON_TEST_PASSWORD"}}
    tap = Tap()
    async with rig.serving(papers, ask_plainly) as url, tap.on(url) as tapped:
        trust(pki, papers)
        given = settings(tapped, pki, mode=mode, user=user)
        if mode == "Sign":
            with pytest.raises(Unreachable, match="password in clear"):
                await enter(given)
        else:
            await enter(given)
        assert SESAME.encode() not in tap.said
        if mode == "Sign":
            await enter(settings(tapped, pki, mode=mode, user=user, insecure_password=True))
            assert SESAME.encode() in tap.said, "a person wrote that it may"


async def test_a_password_that_nobody_can_seal_is_not_sent(rig: Rig) -> None:
    """Some servers ask on their plain endpoint for a sealed password, and show no certificate to seal it with."""

    def want_sealed(server: Server) -> None:
        for endpoint in server.iserver.endpoints:
            endpoint.ServerCertificate = None
            for token in endpoint.UserIdentityTokens:
                token.SecurityPolicyUri = "http://opcfoundation.org/UA/SecurityPolicy#Basic256Sha256"

    user = {"name": "andon", "password": {"env": "ANDON_TEST_PASSWORD"}}
    tap = Tap()
    async with rig.serving(None, want_sealed) as url, tap.on(url) as tapped:
        fixed = {"name": "cell", "endpoint": tapped, "insecure": True, "tags": "none"}
        with pytest.raises(Unreachable, match="shows none: take a policy"):
            await enter(settings_of(Settings, **fixed, user=user, insecure_password=True))
    assert SESAME.encode() not in tap.said


@pytest.mark.parametrize("level", [logging.DEBUG, logging.INFO])
async def test_the_library_never_logs_a_password_whatever_the_level_was(
    rig: Rig, pki: Pki, tmp_path: Path, caplog: pytest.LogCaptureFixture, level: int
) -> None:
    papers = Papers(tmp_path / "server", user="andon", password=SESAME)
    user = {"name": "andon", "password": {"env": "ANDON_TEST_PASSWORD"}}
    async with rig.serving(papers) as url:
        trust(pki, papers)
        caplog.set_level(level)
        for name in ("asyncua", "asyncua.client", "asyncuagds"):
            logging.getLogger(name).setLevel(level)
        await enter(settings(url, pki, user=user))
    ours = [record for record in caplog.records if not record.name.startswith("asyncua.server")]
    assert SESAME not in " ".join(record.getMessage() for record in ours)
    for name in (
        "asyncua.client.ua_client.UaClient",
        "asyncua.client.client",
        "asyncua.uaprotocol",
        "asyncuagds.validate",
    ):
        assert logging.getLogger(name).getEffectiveLevel() >= logging.WARNING, name


def ended(folder: Path) -> Pki:
    """Papers of ours that have ended."""
    key = make_key(2048)
    pki = Pki(folder)
    made = self_signed(Wish(application_uri="urn:test:andon", days=1), key, NOW - 3 * DAY)
    pki.write_own(key, None, der(made), asked=False)
    return pki


async def test_our_own_ended_certificate_is_told_before_anybody_is_asked(tmp_path: Path) -> None:
    pki = ended(tmp_path / "pki")
    with pytest.raises(Unreachable, match=r"our certificate ended on .*andon cert new"):
        await enter(settings("opc.tcp://127.0.0.1:1", pki))


def test_papers_that_are_not_there_are_a_fault_at_the_start(tmp_path: Path) -> None:
    given = settings("opc.tcp://127.0.0.1:1", Pki(tmp_path / "none"))
    with pytest.raises(Misconfigured, match=r"andon\.der is not there: andon cert new"):
        given.open()


async def steps_of(given: Settings) -> dict[str, Step]:
    """Look, and give the worst step of each part."""
    found: dict[str, Step] = {}
    async for step in examine(given):
        if step.what not in found or step.how == "BAD":
            found[step.what] = step
    return found


@pytest.mark.pain(18)
async def test_the_doctor_names_the_missing_step_one_after_the_other(rig: Rig, tmp_path: Path) -> None:
    folder = tmp_path / "pki"
    papers = Papers(tmp_path / "server", strict=True, user="andon", password=SESAME)
    async with rig.serving(papers) as url:
        given = settings(url, Pki(folder))
        assert "andon cert new" in (await steps_of(given))["our certificate"].told
        pki = opcua_papers.gateway(folder)
        found = await steps_of(given)
        assert "andon cert trust" in found["server's certificate"].told
        assert "session" not in found, "no password and no certificate go to a stranger"
        trust(pki, papers)
        assert "rejects our certificate" in (await steps_of(given))["session"].told
        (papers.folder / "trusted" / "certs" / "a.der").write_bytes(pki.certificate.read_bytes())
        assert "not anonymous" in (await steps_of(given))["session"].told
        wrong = settings(url, pki, user={"name": "somebody", "password": {"env": "ANDON_TEST_PASSWORD"}})
        assert "does not let this user name" in (await steps_of(wrong))["session"].told
        right = settings(url, pki, user={"name": "andon", "password": {"env": "ANDON_TEST_PASSWORD"}})
        pki.key.chmod(0o644)
        assert "chmod 600" in (await steps_of(right))["our key"].told
        pki.key.chmod(0o600)
        assert {step.how for step in (await steps_of(right)).values()} == {"ok"}


async def test_the_doctor_tells_a_server_that_is_not_there_and_a_policy_that_is_not_offered(rig: Rig, pki: Pki) -> None:
    found = await steps_of(settings(f"opc.tcp://127.0.0.1:{free_port()}", pki, timeout="1s"))
    assert "Address, port, firewall?" in found["server"].told
    async with rig.serving(None) as url:
        assert "it offers None" in (await steps_of(settings(url, pki)))["policy"].told


async def test_the_doctor_tells_clocks_apart_and_certificates_that_end_soon(rig: Rig, pki: Pki, tmp_path: Path) -> None:
    papers = Papers(tmp_path / "server")
    soon = opcua_papers.server(uri=URI, ends=NOW + 12 * DAY)
    place(papers, soon)
    async with rig.serving(papers) as url:
        trust(pki, papers)
        found = await steps_of(settings(url, pki))
        client = await make_client(settings(url, pki))
    assert (found["server's certificate"].how, found["clocks"].how) == ("warn", "ok")
    assert "days left" in found["server's certificate"].told
    assert client.expiries["server"] == soon.not_valid_after_utc
    assert set(client.expiries) == {"own", "server"}
