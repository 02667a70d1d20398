"""What an OPC UA line's settings take and refuse of policies, passwords and certificates."""

import pytest

from connectors.line.opcua import Settings
from gateway.core.errors import Misconfigured
from tests.line_rigs import settings_of

PAPERS = {"pki": "pki"}
NAMED = {"name": "andon", "password": {"env": "SOME_PASSWORD"}}
CERTIFIED = {"certificate": "a.der", "key": "a.pem"}


def line(**more: object) -> Settings:
    return settings_of(Settings, name="cell", endpoint="opc.tcp://h:4840", tags="none", **more)


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("Basic256Sha256", "Basic256Sha256"),
        ("Aes128_Sha256_RsaOaep", "Aes128_Sha256_RsaOaep"),
        ("Aes128Sha256RsaOaep", "Aes128_Sha256_RsaOaep"),
        ("Aes256_Sha256_RsaPss", "Aes256_Sha256_RsaPss"),
        ("Aes256Sha256RsaPss", "Aes256_Sha256_RsaPss"),
    ],
)
def test_policies_are_taken_as_the_standard_and_as_libraries_spell_them(written: str, meant: str) -> None:
    assert line(policy=written, **PAPERS).security == meant


def test_secured_is_what_nobody_has_to_ask_for() -> None:
    assert line(**PAPERS).security == "Basic256Sha256"
    assert line(**PAPERS).mode == "SignAndEncrypt"
    assert line(insecure=True).security == "None"


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({}, "needs pki"),
        ({"policy": "None"}, "plain text"),
        ({"policy": "Basic128Rsa15", **PAPERS}, "Basic128Rsa15 is refused, its padding can be broken"),
        ({"policy": "Basic256", **PAPERS}, "Basic256 is refused, it signs with SHA-1"),
        ({"policy": "basic128rsa15", "insecure": True}, "refused"),
        ({"policy": "ECC_nistP256", **PAPERS}, "not known; take one of Basic256Sha256"),
        ({"certificate": "a.der", "key": "a.pem"}, "needs pki .*, or trust"),
        ({"insecure": True, "user": NAMED}, "sends the password in clear"),
        ({"insecure": True, "user": CERTIFIED, "insecure_password": True}, "cannot prove a user certificate"),
        ({"user": {"name": "andon"}, **PAPERS}, "user is "),
        ({"user": {**NAMED, **CERTIFIED}, **PAPERS}, "user is "),
        ({"user": {"name": "andon", "password": "secret"}, **PAPERS}, "Expected `object"),
        ({"tolerate": ["everything"], **PAPERS}, "Invalid enum value"),
    ],
)
def test_what_is_not_safe_is_a_fault_with_its_reason(given: dict[str, object], told: str) -> None:
    with pytest.raises((ValueError, TypeError), match=told):
        line(**given)


def test_what_a_person_wrote_out_is_taken() -> None:
    assert line(insecure=True, insecure_password=True, user=NAMED).security == "None"
    assert line(user=CERTIFIED, **PAPERS).user is not None


def test_the_parts_of_the_folder_can_be_named_one_by_one() -> None:
    given = line(certificate="own.der", key="own.pem", trust="trusted")
    assert [str(part) for part in (given.certificate_file, given.key_file, given.trust_folder)] == [
        "own.der",
        "own.pem",
        "trusted",
    ]
    mixed = line(pki="pki", trust="elsewhere")
    assert (str(mixed.key_file), str(mixed.trust_folder)) == ("pki/own/private/andon.pem", "elsewhere")


def test_a_secret_that_is_not_there_is_a_fault_at_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SOME_PASSWORD", raising=False)
    with pytest.raises(Misconfigured, match="SOME_PASSWORD is not set"):
        line(user=NAMED, **PAPERS).open()
