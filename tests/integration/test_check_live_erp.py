"""`andon check --live` on the generic interface: no more is said than was looked at, and what to do next."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

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


Found = tuple[int, list[dict[str, Any]]]
Look = Callable[[str], Found]


@pytest.fixture
def look(tmp_path: Path, plant: Erp, monkeypatch: pytest.MonkeyPatch) -> Look:
    monkeypatch.setenv("TEST_ERP_SECRET", SECRET)
    plant.habits(tells="allow", writes=True)

    def looked(more: str) -> Found:
        file = tmp_path / "andon.toml"
        file.write_text(CONFIG.format(folder=tmp_path, url=plant.url, token=plant.ready["token_url"]) + more)
        done = CliRunner().invoke(andon, ["check", "--live", "-c", str(file), "-o", "jsonl"])
        return done.exit_code, [msgspec.json.decode(line) for line in done.stdout.splitlines() if line[:1] == "{"]

    return looked


def marked(found: list[dict[str, Any]], word: str) -> str:
    """Give how the finding about something is marked: ok, BAD or ?."""
    [row] = [row for row in found if f" {word}" in f" {row['detail']}"]
    return "BAD" if not row["ok"] else "ok" if row["proven"] else "?"


def test_a_mapping_that_was_compared_with_nothing_is_not_called_right(look: Look) -> None:
    code, found = look("")
    assert code == 0
    assert marked(found, "compared with nothing") == "?"
    assert not any("mapping are right" in row["detail"] for row in found)


def test_a_mapping_that_was_compared_is_called_right_and_rights_that_were_not_asked_for_are_not(look: Look) -> None:
    code, found = look(METADATA)
    assert (code, found[0]["detail"]) == (0, "credentials and mapping are right")
    probed = look(f'{METADATA}\n[erp.main.probe]\npath = "/api/orders"\n')[1]
    assert probed[0]["detail"] == "credentials, rights and mapping are right"


@pytest.mark.parametrize(
    ("kind", "why"), [("garbage", "is no JSON; is base_url"), ("redirect", "redirects are not followed, see base_url")]
)
def test_an_address_that_is_another_one_is_named(look: Look, plant: Erp, kind: str, why: str) -> None:
    plant.faults({"kind": kind, "count": 1})
    code, found = look("")
    assert code == 6
    assert why in found[0]["detail"]


CHANGE = """
[erp.main.read]
path = "{read}"
[erp.main.amend]
path = "{amend}"
[erp.main.cancel]
path = "{cancel}"
method = "{method}"
"""
RIGHT = {
    "read": "/api/orders/{number}",
    "amend": "/api/orders/{number}",
    "cancel": "/api/orders/{number}/cancel",
    "method": "POST",
}
WRONG = {
    "read, another address": ("read", {"read": "/api/order/{number}"}),
    "read, another word": ("read", {"read": "/api/orders/{number}/details"}),
    "amend, another address": ("amend", {"amend": "/api/ordrs/{number}"}),
    "cancel, another address": ("cancel", {"cancel": "/api/orders/{number}/cancle"}),
    "cancel, another method": ("cancel", {"method": "DELETE"}),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_way_that_is_wrong_is_named_and_nothing_is_written(look: Look, plant: Erp, case: str) -> None:
    what, change = WRONG[case]
    before = plant.state()
    code, found = look(METADATA + CHANGE.format(**{**RIGHT, **change}))
    assert (code, marked(found, f"{what},")) == (6, "BAD"), found
    assert all(marked(found, f"{other},") != "BAD" for other in ("read", "amend", "cancel") if other != what), found
    after = plant.state()
    assert (after["posts"], after["commits"]) == (before["posts"], before["commits"])
    assert {row["method"] for row in after["journal"][len(before["journal"]) :]} <= {"GET", "OPTIONS"}


def test_ways_that_the_erp_tells_of_are_right_and_what_they_carry_is_not_proven(look: Look) -> None:
    code, found = look(METADATA + CHANGE.format(**RIGHT))
    assert (code, [marked(found, f"{what},") for what in ("create", "read", "amend", "cancel")]) == (0, ["ok"] * 4)
    assert marked(found, "not proven without writing: that the ERP takes what is sent") == "?"


@pytest.mark.parametrize(
    ("tells", "read", "amend", "cancel"),
    [("missing", "ok", "?", "?"), ("nothing", "?", "?", "?")],
)
def test_what_an_erp_does_not_tell_is_said_to_be_not_proven(
    look: Look, plant: Erp, tells: str, read: str, amend: str, cancel: str
) -> None:
    plant.habits(tells=tells)
    code, found = look(METADATA + CHANGE.format(**RIGHT))
    assert (code, [marked(found, f"{what},") for what in ("read", "amend", "cancel")]) == (0, [read, amend, cancel])
    wrong = CHANGE.format(**{**RIGHT, "amend": "/api/ordrs/{number}"})
    code, found = look(METADATA + wrong)
    assert marked(found, "amend,") == ("BAD" if tells == "missing" else "?"), found


def test_who_is_not_let_in_is_told_that_and_nothing_else(look: Look, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_ERP_SECRET", "wrong")
    code, found = look(METADATA + CHANGE.format(**RIGHT))
    assert (code, len(found)) == (6, 1) and "see client_id, client_secret" in found[0]["detail"]


def test_a_user_who_may_only_read_is_named_without_a_probe(look: Look, plant: Erp) -> None:
    plant.habits(writes=False)
    code, found = look(METADATA)
    assert (code, marked(found, "create,")) == (6, "BAD"), found
