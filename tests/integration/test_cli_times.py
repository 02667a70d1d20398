"""What commands print: times with their zone, numbers with the right word, the version."""

import re
from datetime import datetime, timedelta, timezone
from importlib.metadata import version
from pathlib import Path

import pytest
from click.testing import CliRunner

from gateway.cli.common import stamp
from gateway.cli.main import andon
from gateway.core.plural import plural
from tests.cli_plant import Plant
from tests.integration.edge_rig import episode
from tests.set_aside import BEHIND, fill_all, put_aside

NAKED = re.compile(r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d(:\d\d)?(?![\d:Z.+]| UTC)")
ZONED = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\dZ")


@pytest.fixture
def plant(tmp_path: Path) -> Plant:
    plant = Plant(tmp_path)
    config = Path(plant.config)
    config.write_text(f'{config.read_text()}\n[api]\ntoken_folder = "{tmp_path}/tokens"\n')
    return plant


def test_a_time_in_a_table_carries_its_zone(plant: Plant) -> None:
    plant.write(fill_all)
    plant.write(put_aside)
    plant.write(lambda tx: tx.put_episode(episode()))
    assert plant.say("tokens", "create", "mes", "--scope", "read").exit_code == 0
    for words in (
        ("audit", "list"), ("dlq", "list"), ("episodes", "list"), ("orders", "show", BEHIND.key), ("review", "list"),
        ("tokens", "list"),
    ):  # fmt: skip
        told = plant.say(*words, "-o", "table").stdout
        assert ZONED.search(told), (words, told)
        assert not NAKED.search(told), (words, told)


def test_a_time_of_another_zone_is_printed_in_utc() -> None:
    at = datetime(2026, 3, 18, 15, 30, tzinfo=timezone(timedelta(hours=8)))
    assert (stamp(at), stamp(None)) == ("2026-03-18 07:30:00Z", "")


@pytest.mark.parametrize(
    ("number", "said"), [(0, "0 batches"), (1, "1 batch"), (2, "2 batches"), (10_000, "10000 batches")]
)
def test_one_is_not_many(number: int, said: str) -> None:
    assert plural(number, "batch", "batches") == said


def test_a_plant_of_one_asset_has_one_asset(plant: Plant) -> None:
    said = plant.say("check").stdout
    assert "1 asset, 0 line sources, 2 ERPs" in said


@pytest.mark.parametrize("word", ["--version", "-V"])
def test_the_version_is_said_by_option_too(word: str) -> None:
    assert CliRunner().invoke(andon, [word]).stdout.strip() == f"andon {version('andon-gateway')}"
