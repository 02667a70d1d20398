"""Whom an OPC UA line trusts: each way to be wrong has its name, and tells what to do."""

import contextlib
import os
import stat
import subprocess
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtensionOID
from hypothesis import given
from hypothesis import strategies as st

from connectors.opcua.certificates import (
    Wish,
    covers_host,
    der,
    facts_of,
    fingerprint,
    make_key,
    read_certificates,
    request,
    same_fingerprint,
    self_signed,
)
from connectors.opcua.pki import MOST_REJECTED, Pki, check_time, check_uri, read_own
from connectors.opcua.trust import Peer, Trusted, grave, judge
from gateway.core.errors import Misconfigured, Refused
from tests.opcua_papers import DAY, NOW, Authority, gateway, server

ROOT, OTHER = Authority("root"), Authority("other")
MIDDLE = Authority("middle", ROOT)
ENDED = Authority("ended", days=-1)
ONE = server(ROOT)


def crls(*several: bytes) -> tuple[x509.CertificateRevocationList, ...]:
    return tuple(x509.load_der_x509_crl(one) for one in several)


def codes(peer: Peer, trust: Trusted, *tolerate: str) -> list[str]:
    return [fault.code for fault in grave(judge(peer, trust, NOW), tolerate)]


def peer(certificate: x509.Certificate, *sent: x509.Certificate, host: str = "127.0.0.1") -> Peer:
    return Peer(certificate=certificate, sent=sent, application_uri="urn:test:server", host=host)


def test_a_pinned_certificate_is_trusted_under_any_host_name() -> None:
    one = server()
    assert codes(peer(one, host="plc7.plant"), Trusted(trusted=(one,))) == []


@pytest.mark.pain(18)
def test_an_unknown_certificate_is_untrusted_and_its_fingerprint_is_told() -> None:
    [(fault, word)] = judge(peer(server()), Trusted(trusted=(server(),)), NOW)
    assert fault.code == "BadCertificateUntrusted"
    assert word is None, "nobody can decide to overlook this"
    assert "andon cert trust" in fault.told


def test_nobody_is_trusted_when_nobody_was_put_into_the_folder() -> None:
    assert codes(peer(server()), Trusted()) == ["BadCertificateUntrusted"]


def test_a_ca_is_enough_when_its_revocation_list_is_there() -> None:
    one = server(ROOT)
    assert codes(peer(one), Trusted(trusted=(ROOT.certificate,), crls=crls(ROOT.revocations()))) == []


def test_a_ca_without_a_revocation_list_is_refused_by_name_until_a_person_does_without() -> None:
    trust = Trusted(trusted=(ROOT.certificate,))
    assert codes(peer(server(ROOT)), trust) == ["BadCertificateRevocationUnknown"]
    assert codes(peer(server(ROOT)), trust, "crl") == []


def test_an_old_revocation_list_is_as_good_as_none_and_still_tells_whom_it_named() -> None:
    one = server(ROOT)
    old = ROOT.revocations(next_update=NOW - DAY)
    assert codes(peer(one), Trusted(trusted=(ROOT.certificate,), crls=crls(old))) == ["BadCertificateRevocationUnknown"]
    named = ROOT.revocations([one], next_update=NOW - DAY)
    trust = Trusted(trusted=(ROOT.certificate,), crls=crls(named))
    assert codes(peer(one), trust, "crl") == ["BadCertificateRevoked"]


def test_a_revoked_certificate_is_refused_whatever_is_tolerated_and_even_when_it_is_pinned() -> None:
    one = server(ROOT)
    lists = crls(ROOT.revocations([one]))
    everything = ("crl", "host", "uri", "expired")
    assert codes(peer(one), Trusted(trusted=(ROOT.certificate,), crls=lists), *everything) == ["BadCertificateRevoked"]
    pinned = Trusted(trusted=(one, ROOT.certificate), crls=lists)
    assert codes(peer(one), pinned, *everything) == ["BadCertificateRevoked"]


def test_a_revocation_list_that_another_ca_signed_proves_nothing() -> None:
    forged = Authority("root")
    trust = Trusted(trusted=(ROOT.certificate,), crls=crls(forged.revocations()))
    assert codes(peer(server(ROOT)), trust) == ["BadCertificateRevocationUnknown"]


def test_a_chain_is_climbed_over_what_the_server_sent_and_over_the_issuers() -> None:
    lists = crls(ROOT.revocations(), MIDDLE.revocations())
    one = server(MIDDLE)
    assert codes(peer(one, MIDDLE.certificate), Trusted(trusted=(ROOT.certificate,), crls=lists)) == []
    trust = Trusted(trusted=(ROOT.certificate,), issuers=(MIDDLE.certificate,), crls=lists)
    assert codes(peer(one), trust) == []
    assert codes(peer(one), Trusted(trusted=(ROOT.certificate,), crls=lists)) == ["BadCertificateUntrusted"]


def test_a_ca_among_the_issuers_alone_is_not_trusted() -> None:
    trust = Trusted(issuers=(ROOT.certificate,), crls=crls(ROOT.revocations()))
    assert codes(peer(server(ROOT)), trust) == ["BadCertificateUntrusted"]


def test_a_chain_that_does_not_reach_a_root_says_which_ca_is_missing() -> None:
    trust = Trusted(trusted=(MIDDLE.certificate,), crls=crls(MIDDLE.revocations()))
    assert codes(peer(server(MIDDLE)), trust) == ["BadCertificateChainIncomplete"]


def test_a_ca_of_the_same_name_with_another_key_signs_nothing() -> None:
    false = Authority("root")
    trust = Trusted(trusted=(false.certificate,), crls=crls(false.revocations()))
    assert codes(peer(server(ROOT)), trust) == ["BadCertificateUntrusted"]


def test_a_certificate_that_is_no_ca_signs_nobody() -> None:
    leaf = server()
    forged = Authority("test server")
    child = server(forged, uri="urn:test:server")
    assert codes(peer(child), Trusted(trusted=(leaf,))) == ["BadCertificateUntrusted"]


@pytest.mark.parametrize(
    ("given", "code", "word"),
    [
        (server(ends=NOW - DAY, begins=NOW - 2 * DAY), "BadCertificateTimeInvalid", "expired"),
        (server(begins=NOW + DAY), "BadCertificateTimeInvalid", None),
        (server(uri="urn:another"), "BadCertificateUriInvalid", "uri"),
    ],
)
def test_a_pinned_certificate_must_still_be_valid_and_name_the_application(
    given: x509.Certificate, code: str, word: str | None
) -> None:
    [(fault, tolerated_by)] = judge(peer(given), Trusted(trusted=(given,)), NOW)
    assert (fault.code, tolerated_by) == (code, word)


def test_a_host_that_the_certificate_does_not_name_is_refused_when_only_a_ca_vouches() -> None:
    trust = Trusted(trusted=(ROOT.certificate,), crls=crls(ROOT.revocations()))
    found = judge(peer(server(ROOT, hosts=["plc7", "10.0.0.7"]), host="10.0.0.8"), trust, NOW)
    [(fault, word)] = found
    assert (fault.code, word) == ("BadCertificateHostNameInvalid", "host")
    assert "plc7, 10.0.0.7" in fault.told
    assert codes(peer(server(ROOT, hosts=["PLC7"]), host="plc7"), trust) == []


def test_an_ended_ca_is_told_apart_from_an_ended_server() -> None:
    trust = Trusted(trusted=(ENDED.certificate,), crls=crls(ENDED.revocations()))
    [(fault, _)] = judge(peer(server(ENDED)), trust, NOW)
    assert "the CA CN=ended" in fault.told


def test_a_key_below_2048_bits_is_refused() -> None:
    weak = server(key=rsa.generate_private_key(65537, 1024))  # noqa: S505  (it is refused)
    assert codes(peer(weak), Trusted(trusted=(weak,))) == ["BadCertificatePolicyCheckFailed"]


@pytest.mark.parametrize("bits", [2048, 3072, 4096])
def test_our_certificate_says_what_part_6_wants(bits: int) -> None:
    key = make_key(bits)
    wish = Wish(application_uri="urn:plant:andon", hosts=("gw7", "10.0.0.9"), days=10)
    made = self_signed(wish, key, NOW)
    facts = facts_of(made)
    assert (facts.uri, facts.hosts, facts.bits, facts.signature) == (
        "urn:plant:andon",
        ("gw7", "10.0.0.9"),
        bits,
        "sha256",
    )
    assert facts.not_after == (NOW + 10 * DAY).replace(microsecond=0)
    assert not facts.ca
    usage = made.extensions.get_extension_for_class(x509.KeyUsage).value
    assert usage.digital_signature and usage.content_commitment and usage.key_encipherment and usage.data_encipherment
    assert covers_host(made, "GW7") and covers_host(made, "10.0.0.9") and not covers_host(made, "gw8")


def test_openssl_reads_our_certificate_and_our_request(tmp_path: Path) -> None:
    key = make_key(2048)
    wish = Wish(application_uri="urn:plant:andon", hosts=("gw7",))
    (tmp_path / "a.der").write_bytes(der(self_signed(wish, key, NOW)))
    (tmp_path / "a.csr").write_bytes(request(wish, key).public_bytes(serialization.Encoding.PEM))
    text = subprocess.check_output(
        ["openssl", "x509", "-inform", "der", "-in", tmp_path / "a.der", "-noout", "-text"], text=True
    )
    for wanted in (
        "URI:urn:plant:andon",
        "DNS:gw7",
        "CA:FALSE",
        "sha256WithRSA",
        "Data Encipherment",
        "Client Authent",
    ):
        assert wanted in text, wanted
    asked = subprocess.check_output(
        ["openssl", "req", "-in", tmp_path / "a.csr", "-noout", "-text", "-verify"], text=True
    )
    assert "URI:urn:plant:andon" in asked


def test_the_key_is_its_owners_alone_and_nothing_is_overwritten(tmp_path: Path) -> None:
    pki = gateway(tmp_path / "pki")
    assert stat.S_IMODE(pki.key.stat().st_mode) == 0o600
    assert stat.S_IMODE(pki.key.parent.stat().st_mode) == 0o700
    before = pki.key.read_bytes()
    with pytest.raises(Refused, match="ever overwritten"):
        gateway(tmp_path / "pki")
    assert pki.key.read_bytes() == before


def test_a_key_with_a_password_opens_with_it_alone(tmp_path: Path) -> None:
    key = make_key(2048)
    pki = Pki(tmp_path)
    pki.write_own(key, "open sesame", der(self_signed(Wish(application_uri="urn:plant:a"), key, NOW)), asked=False)
    assert read_own(pki.certificate, pki.key, "open sesame").uri == "urn:plant:a"
    for wrong, told in ((None, "key_password"), ("guess", "password is wrong")):
        with pytest.raises(Misconfigured, match=told) as fault:
            read_own(pki.certificate, pki.key, wrong)
        assert "open sesame" not in str(fault.value)


def test_our_own_papers_are_looked_at_before_they_are_shown(tmp_path: Path) -> None:
    one, other = gateway(tmp_path / "one"), gateway(tmp_path / "other")
    with pytest.raises(Misconfigured, match="is not the key of"):
        read_own(one.certificate, other.key, None)
    with pytest.raises(Misconfigured, match="is not there: andon cert new"):
        read_own(tmp_path / "none.der", one.key, None)
    papers = read_own(one.certificate, one.key, None)
    check_uri(papers, None)
    check_uri(papers, "urn:test:andon")
    with pytest.raises(Misconfigured, match="leave application_uri out"):
        check_uri(papers, "urn:another")
    check_time(papers, NOW)
    with pytest.raises(Misconfigured, match="ended on"):
        check_time(papers, NOW + timedelta(days=4000))


def test_strangers_are_kept_to_be_looked_at_but_never_without_end(tmp_path: Path) -> None:
    pki = gateway(tmp_path)
    last = None
    for number in range(MOST_REJECTED + 5):
        last = server()
        path = pki.reject(last)
        assert path is not None
        os.utime(path, (number, number))
    kept = [one for room, _, one in pki.listed() if room == "rejected"]
    assert len(kept) == MOST_REJECTED
    assert last in kept


def test_what_is_trusted_leaves_the_rejected_and_can_go_back(tmp_path: Path) -> None:
    pki, one = gateway(tmp_path), server()
    pki.reject(one)
    [(room, _, found)] = pki.find(fingerprint(one)[:20], "rejected")
    assert (room, found) == ("rejected", one)
    pki.put(one)
    assert [room for room, _, other in pki.listed() if other == one] == ["trusted"]
    assert pki.trust().trusted == (one,)


def test_a_flat_folder_of_certificates_counts_as_trusted(tmp_path: Path) -> None:
    one = server(ROOT)
    (tmp_path / "crl").mkdir()
    (tmp_path / "server.der").write_bytes(der(one))
    (tmp_path / "ca.pem").write_bytes(ROOT.certificate.public_bytes(serialization.Encoding.PEM))
    (tmp_path / "crl" / "ca.crl").write_bytes(ROOT.revocations())
    trust = Pki(tmp_path).trust()
    assert (len(trust.trusted), len(trust.crls)) == (2, 1)
    assert codes(peer(one), trust) == []
    kept = Pki(tmp_path).reject(server())
    assert kept is not None and kept.parent == tmp_path / "rejected"
    assert len(Pki(tmp_path).trust().trusted) == 2, "who was turned away is not trusted"


def test_a_revocation_list_lies_with_its_ca_and_a_newer_one_takes_its_place(tmp_path: Path) -> None:
    pki, one = gateway(tmp_path), server(ROOT)
    with pytest.raises(Refused, match="trust that CA first"):
        pki.put_list(ROOT.revocations(), "root.crl")
    pki.put(ROOT.certificate)
    first = pki.put_list(ROOT.revocations(), "root.crl")
    assert pki.put_list(ROOT.revocations([one]), "root.crl") == first
    assert codes(peer(one), pki.trust()) == ["BadCertificateRevoked"]
    with pytest.raises(Refused, match="is not a revocation list"):
        pki.put_list(b"nothing", "x")


def test_a_file_that_is_no_certificate_is_named(tmp_path: Path) -> None:
    pki = gateway(tmp_path)
    (pki.trusted / "broken.der").write_bytes(b"\x30\x03abc")
    with pytest.raises(Misconfigured, match=r"broken\.der is not a certificate"):
        pki.trust()


def test_a_chain_is_read_from_der_as_servers_send_it_and_from_pem() -> None:
    chain = [server(MIDDLE), MIDDLE.certificate, ROOT.certificate]
    assert read_certificates(b"".join(map(der, chain))) == chain
    pem = b"".join(one.public_bytes(serialization.Encoding.PEM) for one in chain)
    assert read_certificates(pem) == chain
    with pytest.raises(ValueError, match="no certificate"):
        read_certificates(b"")


def test_a_fingerprint_is_compared_as_people_write_it() -> None:
    one = server()
    assert same_fingerprint(fingerprint(one).lower().replace(":", " "), one)
    assert not same_fingerprint("", one)
    assert not same_fingerprint(fingerprint(one)[:40], one)


@given(st.binary(max_size=200))
def test_what_a_server_shows_is_a_certificate_or_a_fault_and_nothing_else(content: bytes) -> None:
    with contextlib.suppress(ValueError):
        read_certificates(content)


@given(st.integers(0, 2000), st.integers(0, 255))
def test_a_certificate_with_a_flipped_byte_is_judged_or_a_fault(place: int, byte: int) -> None:
    content = bytearray(der(ONE))
    content[place % len(content)] = byte
    with contextlib.suppress(ValueError):
        [leaf, *_] = read_certificates(bytes(content))
        found = codes(peer(leaf), Trusted(trusted=(ONE, ROOT.certificate), crls=crls(ROOT.revocations())))
        assert found or leaf == ONE


def test_extensions_that_are_garbage_are_a_fault() -> None:
    key = make_key(2048)
    who = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "odd")])
    garbage = x509.UnrecognizedExtension(ExtensionOID.SUBJECT_ALTERNATIVE_NAME, b"\x01garbage")
    made = (
        x509.CertificateBuilder()
        .subject_name(who)
        .issuer_name(who)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(NOW)
        .not_valid_after(NOW + DAY)
        .add_extension(garbage, critical=False)
        .sign(key, hashes.SHA256())
    )
    with pytest.raises(ValueError):  # noqa: PT011  (the library's own words)
        read_certificates(der(made))


def test_a_key_that_is_not_rsa_is_judged_and_refused() -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    who = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "curve")])
    made = (
        x509.CertificateBuilder()
        .subject_name(who)
        .issuer_name(who)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(NOW - DAY)
        .not_valid_after(NOW + DAY)
        .sign(key, hashes.SHA256())
    )
    [leaf] = read_certificates(der(made))
    assert facts_of(leaf).bits == 0
    assert codes(peer(leaf), Trusted(trusted=(leaf,)), "uri") == ["BadCertificatePolicyCheckFailed"]
