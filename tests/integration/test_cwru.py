"""Real bearing recordings, not trained on (design choices did look at them): damaged before the gateway came."""

import csv
import os
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest

from gateway.core.artifact import read_manifest
from gateway.core.asset import Asset, Plant, Site
from gateway.core.diagnosis import Diagnosis, Fault
from gateway.core.window import Window
from gateway.diagnosis.diagnoser import open_diagnoser
from gateway.diagnosis.fusion import FAMILIES
from gateway.diagnosis.rule import open_rule
from tests.diagnosis_signals import Floats, window

pytestmark = pytest.mark.data

BUNDLE = Path(str(files("gateway") / "bundle"))
WINDOW_S = 2.0
ORDER = 0.6  # the confidence from which an order is made by default
TYPES = {"OR": Fault.BEARING_OUTER, "IR": Fault.BEARING_INNER, "B": Fault.BEARING_BALL}


@dataclass(frozen=True, slots=True)
class Record:
    name: str
    label: str
    samples: Floats
    rate_hz: float
    rpm: float


class Silent:
    name = "log"

    def __init__(self) -> None:
        self.names: Sequence[str] = read_manifest(BUNDLE).features["log"]

    def encode(self, windows: Sequence[Window], assets: Sequence[Asset]) -> list[list[float] | None]:
        return [None for _ in windows]


@pytest.fixture(scope="module")
def folder() -> Path:
    named = os.environ.get("ANDON_DATA")
    place = Path(named) / "cwru" if named else None
    if place is None or not (place / "meta.csv").is_file():
        pytest.skip("ANDON_DATA names no directory with cwru/meta.csv (recordings of the CWRU Bearing Data Center)")
    return place


def records(folder: Path, group: str, channel: str, names: set[str] | None = None) -> list[Record]:
    with (folder / "meta.csv").open(encoding="utf-8") as lines, np.load(folder / f"{group}.npz") as waves:
        return [
            Record(
                row["file"],
                row["label"],
                waves[f"{group}_{row['file']}_{channel}"].astype(np.float32) * np.float32(row[f"lsb_{channel}"]),
                float(row["fs"]),
                float(row["rpm_nominal"]),
            )
            for row in csv.DictReader(lines)
            if row["group"] == group and (names is None or row["file"] in names)
        ]


def play(record: Record, bearing: str, *, count: int = 10, by_rule: bool = False) -> list[Diagnosis]:
    """Play a record in a loop to a gateway that has never seen the machine."""
    plant = Plant(Site(), (Asset(id="M-01", bearing=bearing, speed_rpm=record.rpm),))
    diagnoser = open_rule(plant) if by_rule else open_diagnoser(BUNDLE, plant, [Silent()])
    size = round(WINDOW_S * record.rate_hz)
    turns = np.arange(size)
    return diagnoser.diagnose(
        [
            window(record.samples[(turns + n * size) % record.samples.size], n, rate_hz=record.rate_hz)
            for n in range(count)
        ]
    )


def is_bearing(seen: Diagnosis, confidence: float = 0.5) -> bool:
    return seen.fault is not None and FAMILIES[seen.fault] == "bearing" and seen.confidence >= confidence


@pytest.mark.parametrize(("name", "fault"), [("105", "IR"), ("130", "OR"), ("118", "B")])
def test_a_damaged_bearing_is_found_with_the_confidence_of_an_order(folder: Path, name: str, fault: str) -> None:
    [record] = records(folder, "12k_DE", "DE", {name})
    seen = play(record, "6205")
    hits = [one for one in seen if is_bearing(one)]
    assert len(hits) >= 3
    assert max(one.confidence * (0.9 + 0.2 * one.severity) for one in hits) >= ORDER
    assert {one.fault for one in hits} == {TYPES[fault]}
    assert not [one for one in seen if one.fault is not None and FAMILIES[one.fault] not in {"bearing", "healthy"}]


def test_the_healthy_record_gives_no_trouble(folder: Path) -> None:
    [record] = records(folder, "normal48k", "DE")
    seen = play(record, "6205", count=15)
    assert all(one.fault in {Fault.HEALTHY, None} or one.confidence < 0.5 for one in seen)


@pytest.mark.parametrize(
    ("group", "channel", "bearing", "least"), [("12k_DE", "DE", "6205", 0.80), ("12k_FE", "FE", "6203", 0.74)]
)
def test_the_damaged_part_is_named_on_a_rig_never_seen(
    folder: Path, group: str, channel: str, bearing: str, least: float
) -> None:
    hits: list[bool] = []
    for record in records(folder, group, channel):
        for seen in play(record, bearing, count=5):
            parts = {fault: seen.probabilities[fault] for fault in TYPES.values()}
            hits.append(max(parts, key=lambda fault: parts[fault]) is TYPES[record.label])
    assert float(np.mean(hits)) >= least
