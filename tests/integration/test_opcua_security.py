"""A secured OPC UA line: our certificate, the server's in the trust folder; never a fall back to plain text."""

import ipaddress
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from connectors.line.opcua import Settings
from gateway.core.batch import Batch
from gateway.core.errors import Unreachable
from tests.line_rigs import Process, gather, settings_of


def certify(folder: Path, name: str, uri: str) -> None:
    """Write name.pem (key) and name.der (certificate)."""
    key = rsa.generate_private_key(65537, 2048)
    who = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    names = [x509.UniformResourceIdentifier(uri), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    usage = x509.KeyUsage(True, True, True, True, False, True, False, False, False)  # noqa: FBT003 (nine flags)
    made = (
        x509.CertificateBuilder()
        .subject_name(who)
        .issuer_name(who)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(
            x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH]), critical=False
        )
        .sign(key, hashes.SHA256())
    )
    (folder / f"{name}.der").write_bytes(made.public_bytes(serialization.Encoding.DER))
    plain = serialization.NoEncryption()
    form = serialization.PrivateFormat.PKCS8
    (folder / f"{name}.pem").write_bytes(key.private_bytes(serialization.Encoding.PEM, form, plain))


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pki")
    certify(folder, "server", "urn:test:server")
    certify(folder, "andon", "urn:andon:gateway")
    return folder


@pytest.fixture(scope="module")
def server(pki: Path) -> Iterator[Process]:
    server = Process("opcua", str(pki))
    yield server
    server.end()


def settings(server: Process, pki: Path, trust: Path) -> Settings:
    return settings_of(
        Settings,
        name="cell",
        endpoint=f"opc.tcp://127.0.0.1:{server.port}",
        certificate=str(pki / "andon.der"),
        key=str(pki / "andon.pem"),
        trust=str(trust),
        publish="100ms",
        tag=[{"asset": "M", "tag": "counter", "address": "nsu=urn:test:line;s=counter"}],
    )


def some(batches: list[Batch]) -> bool:
    return sum(batch.count for batch in batches) > 3


async def test_a_trusted_server_gives_values_on_an_encrypted_channel(
    server: Process, pki: Path, tmp_path: Path
) -> None:
    await server.start()
    (tmp_path / "server.der").write_bytes((pki / "server.der").read_bytes())
    given = settings(server, pki, tmp_path)
    assert given.security == "Basic256Sha256"
    assert some(await gather(given.open(), some))


async def test_a_server_that_is_not_in_the_trust_folder_is_refused(server: Process, pki: Path, tmp_path: Path) -> None:
    await server.start()
    certify(tmp_path, "other", "urn:test:other")
    (tmp_path / "other.pem").unlink()
    with pytest.raises(Unreachable, match="trust folder"):
        await gather(settings(server, pki, tmp_path).open(), some)


async def test_an_empty_trust_folder_is_a_fault_and_not_everybodys_friend(
    server: Process, pki: Path, tmp_path: Path
) -> None:
    await server.start()
    with pytest.raises(Unreachable, match="BadCertificateUntrusted"):
        await gather(settings(server, pki, tmp_path).open(), some)


async def test_a_plain_text_client_gets_nothing_from_a_secured_server(server: Process) -> None:
    await server.start()
    plain = settings_of(
        Settings,
        name="cell",
        endpoint=f"opc.tcp://127.0.0.1:{server.port}",
        insecure=True,
        tag=[{"asset": "M", "tag": "counter", "address": "nsu=urn:test:line;s=counter"}],
    )
    with pytest.raises(Unreachable):
        await gather(plain.open(), some)
