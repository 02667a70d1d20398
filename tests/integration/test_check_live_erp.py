"""`andon check --live` on the generic interface: no more is said than was looked at, and what to do next."""

from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner

from gateway.cli.main import andon
from tests.erp_process import SECRET, Erp, running_erp

CONFIG = """
[site]
id = "SZ1"
[store]
path = "{folder}/store"
[[asset]]
id = "M-01"
[erp.main]
protocol = "rest"
base_url = "{url}"
token_url = "{token}"
client_id = "andon-gateway"
client_secret = {{ env = "TEST_ERP_SECRET" }}
audience = "erp"
idempotency = "header"
"""
METADATA = """
[erp.main.metadata]
path = "/api/schema"
"""


@pytest.fixture(scope="module")
def plant() -> Iterator[Erp]:
    with running_erp("--client-secret", SECRET) as erp:
        yield erp


Look = Callable[[str], tuple[int, str]]


@pytest.fixture
def look(tmp_path: Path, plant: Erp, monkeypatch: pytest.MonkeyPatch) -> Look:
    monkeypatch.setenv("TEST_ERP_SECRET", SECRET)

    def looked(more: str) -> tuple[int, str]:
        file = tmp_path / "andon.toml"
        file.write_text(CONFIG.format(folder=tmp_path, url=plant.url, token=plant.ready["token_url"]) + more)
        done = CliRunner().invoke(andon, ["check", "--live", "-c", str(file), "-o", "jsonl"])
        [found] = [line for line in done.stdout.splitlines() if line.startswith("{")]
        return done.exit_code, str(msgspec.json.decode(found)["detail"])

    return looked


def test_a_mapping_that_was_compared_with_nothing_is_not_called_right(look: Look) -> None:
    code, said = look("")
    assert code == 0
    assert "compared with nothing" in said
    assert "mapping are right" not in said


def test_a_mapping_that_was_compared_is_called_right(look: Look) -> None:
    assert look(METADATA) == (0, "credentials, rights and mapping are right")


@pytest.mark.parametrize(
    ("kind", "why"), [("garbage", "is no JSON; is base_url"), ("redirect", "redirects are not followed, see base_url")]
)
def test_an_address_that_is_another_one_is_named(look: Look, plant: Erp, kind: str, why: str) -> None:
    plant.faults({"kind": kind, "count": 1})
    code, said = look("")
    assert code == 6
    assert why in said
