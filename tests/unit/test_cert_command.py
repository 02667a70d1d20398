"""`andon cert`: made right, shown, trusted after a look at the fingerprint, never overwritten."""

import json
import stat
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from cryptography.hazmat.primitives import serialization

from connectors.opcua.certificates import der, fingerprint, read_certificates
from connectors.opcua.pki import Pki, read_own
from gateway.cli.cert import cli
from gateway.core.errors import Misconfigured, Refused
from tests.opcua_papers import Authority, server


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*words: object, answer: str | None = None) -> Result:
    return CliRunner().invoke(cli, [str(word) for word in words], input=answer, catch_exceptions=True)


def rows(result: Result) -> list[dict[str, object]]:
    return [json.loads(line) for line in result.output.splitlines()]


@pytest.mark.pain(18)
def test_new_makes_a_certificate_whose_uri_is_the_applications_and_says_what_comes_next(here: Path) -> None:
    done = run("new", "pki", "--uri", "urn:plant:gw7", "--host", "gw7", "--host", "10.0.0.7", "--days", "100")
    assert done.exit_code == 0, done.output
    assert 'pki = "pki"' in done.output and "andon cert trust" in done.output
    papers = read_own(Pki(Path("pki")).certificate, Pki(Path("pki")).key, None)
    assert papers.uri == "urn:plant:gw7"
    assert fingerprint(papers.chain[0]) in done.output
    assert "PRIVATE" not in done.output
    assert stat.S_IMODE((here / "pki/own/private/andon.pem").stat().st_mode) == 0o600
    again = run("new", "pki")
    assert isinstance(again.exception, Refused)


def test_new_can_keep_the_key_under_a_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEY_WORD", "sesame")
    done = run("new", "--password-env", "KEY_WORD")
    assert 'key_password = { env = "KEY_WORD" }' in done.output
    pki = Pki(Path("pki"))
    with pytest.raises(Misconfigured):
        read_own(pki.certificate, pki.key, None)
    read_own(pki.certificate, pki.key, "sesame")
    assert "sesame" not in done.output


def test_new_makes_a_request_that_a_ca_can_sign_and_the_answer_fits(here: Path) -> None:
    done = run("new", "--csr", "--uri", "urn:plant:gw7")
    assert done.exit_code == 0
    subprocess.run(
        [
            "openssl",
            "req",
            "-x509",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-keyout",
            "ca.key",
            "-out",
            "ca.pem",
            "-subj",
            "/CN=ca",
        ],
        check=True,
        capture_output=True,
    )
    signing = ["openssl", "x509", "-req", "-in", "pki/own/certs/andon.csr", "-CA", "ca.pem", "-CAkey", "ca.key"]
    subprocess.run(
        [*signing, "-CAcreateserial", "-copy_extensions", "copy", "-outform", "der", "-out", "pki/own/certs/andon.der"],
        check=True,
        capture_output=True,
    )
    assert read_own(here / "pki/own/certs/andon.der", here / "pki/own/private/andon.pem", None).uri == "urn:plant:gw7"


def test_show_tells_fingerprint_end_and_what_it_fits() -> None:
    run("new")
    [row] = rows(run("show"))
    assert (row["room"], row["bits"]) == ("own", 2048)
    assert row["fits"] == "Basic256Sha256, Aes128_Sha256_RsaOaep, Aes256_Sha256_RsaPss"
    Path("server.der").write_bytes(der(server()))
    [row] = rows(run("show", "server.der"))
    assert row["uri"] == "urn:test:server"
    assert str(row["fingerprint"]) in run("show", "server.der", "-o", "table").output


def test_trust_wants_the_fingerprint_or_a_yes() -> None:
    run("new")
    one = server()
    Path("server.der").write_bytes(der(one))
    refused = run("trust", "server.der")
    assert isinstance(refused.exception, Refused)
    assert fingerprint(one) in refused.output
    wrong = run("trust", "server.der", "--fingerprint", fingerprint(server()))
    assert isinstance(wrong.exception, Refused)
    assert Pki(Path("pki")).trust().trusted == ()
    assert run("trust", "server.der", "--fingerprint", fingerprint(one)).exit_code == 0
    assert Pki(Path("pki")).trust().trusted == (one,)


def test_a_stranger_is_trusted_by_name_rejected_again_and_removed() -> None:
    run("new")
    pki, one = Pki(Path("pki")), server()
    assert "nothing was rejected" in run("trust").output
    kept = pki.reject(one)
    assert kept is not None
    assert kept.name in run("trust").output
    assert run("trust", kept.name, "--fingerprint", fingerprint(one)).exit_code == 0
    assert not kept.exists()
    assert run("trust", "--reject", "test server").exit_code == 0
    assert (pki.trust().trusted, kept.exists()) == ((), True)
    assert run("trust", "--remove", fingerprint(one)).exit_code == 0
    assert [room for room, _, _ in pki.listed()] == ["own"]
    assert isinstance(run("trust", "--remove", "Andon").exception, Refused), "our own is not removed"


def test_a_ca_is_taken_as_issuer_or_as_trusted_and_brings_its_list() -> None:
    run("new")
    pki, ca = Pki(Path("pki")), Authority("plant ca")
    Path("ca.pem").write_bytes(ca.certificate.public_bytes(serialization.Encoding.PEM))
    Path("ca.crl").write_bytes(ca.revocations())
    assert isinstance(run("trust", "--crl", "ca.crl").exception, Refused)
    assert run("trust", "ca.pem", "--issuer", "--fingerprint", fingerprint(ca.certificate)).exit_code == 0
    assert run("trust", "--crl", "ca.crl").exit_code == 0
    trust = pki.trust()
    assert (trust.trusted, trust.issuers, len(trust.crls)) == ((), (ca.certificate,), 1)
    assert read_certificates(next(pki.issuers.iterdir()).read_bytes()) == [ca.certificate]


def test_one_thing_at_a_time() -> None:
    assert run("trust", "a", "--fetch", "opc.tcp://x:1").exit_code == 2
    assert run("trust", "--fetch", "http://x").exit_code == 2
    assert run("doctor", "opc.tcp://127.0.0.1:4840", "--policy", "Basic256").exit_code == 1
