"""What the settings put into headers: named before the start when no header can carry it, and never shown."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from connectors.erp.rest.settings import Settings
from connectors.erp.tryton.settings import Settings as Tryton
from gateway.core.errors import Misconfigured
from gateway.core.secret import SecretRef
from gateway.core.units import decode

HERE = {"name": "main", "base_url": "http://127.0.0.1:9"}
REST = {**HERE, "auth": "none", "idempotency": "header"}


def rest(**more: Any) -> Settings:
    return msgspec.convert({**REST, **more}, Settings, dec_hook=decode)


@pytest.mark.parametrize("value", ["a\r\nx-other: b", "größe", "a\x00b"])
async def test_a_header_that_cannot_be_sent_is_named_before_the_start(value: str) -> None:
    with pytest.raises(Misconfigured, match=r"headers\.x-plant cannot be sent") as told:
        rest(headers={"x-plant": value}).open()
    assert value not in str(told.value)


@pytest.mark.parametrize("name", ["x plant", "x:plant", "x-plänt", "", "x\r\ny"])
def test_a_name_that_no_header_has_is_refused(name: str) -> None:
    with pytest.raises(msgspec.ValidationError, match="headers"):
        rest(headers={name: "1"})
    with pytest.raises(msgspec.ValidationError):
        rest(find={"path": "/orders", "headers": {name: "1"}})


async def test_a_key_that_no_header_can_carry_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRYTON_KEY", "schlüssel\n0123456789")
    settings = msgspec.convert(
        {**HERE, "database": "plant", "key": {"env": "TRYTON_KEY"}, "company": 1, "origin": "quality.inspection,1"},
        Tryton,
        dec_hook=decode,
    )
    with pytest.raises(Misconfigured, match=r"^key cannot be sent") as told:
        settings.open()
    assert "schl" not in str(told.value)


@pytest.mark.parametrize(("content", "why"), [(b"\xff\xfe-secret", "is not UTF-8"), (b" \n", "is empty")])
def test_a_file_that_holds_no_secret_is_named(tmp_path: Path, content: bytes, why: str) -> None:
    (tmp_path / "secret").write_bytes(content)
    with pytest.raises(Misconfigured, match=why) as told:
        SecretRef(file=str(tmp_path / "secret")).reveal()
    assert told.value.__cause__ is None


def test_a_variable_that_is_no_text_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ERP_SECRET", "\udcff-secret")
    with pytest.raises(Misconfigured, match="ERP_SECRET is not UTF-8"):
        SecretRef(env="ERP_SECRET").reveal()
