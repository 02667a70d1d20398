"""Vibration features on signals with known physics."""

import math

import numpy as np
import pytest
from msgspec.structs import replace

from gateway.core.asset import Asset
from gateway.diagnosis.bearing import find_bearing, orders_of
from gateway.diagnosis.explain import hot_spot, spectrum
from gateway.diagnosis.features import contract_hash, names_of
from gateway.diagnosis.spectrum import bands_of, raw_spectrum
from gateway.diagnosis.speed import refine_speed
from gateway.diagnosis.vibration import FEATURES, Vibration, features_of
from tests.diagnosis_signals import ASSET, RATE, SHAFT, frame, machine, window

_BEARING = find_bearing("6205")
assert _BEARING is not None
ORDERS = orders_of(_BEARING)
NAMES = names_of(FEATURES)


def named(samples: np.ndarray, told_hz: float = SHAFT, rate_hz: float = RATE) -> dict[str, float]:
    return dict(zip(NAMES, features_of(samples.astype(np.float32), rate_hz, told_hz, ORDERS), strict=True))


@pytest.mark.parametrize(("order", "part"), [(ORDERS.bpfo, "outer"), (ORDERS.bpfi, "inner"), (2 * ORDERS.bsf, "ball")])
def test_strikes_are_found_at_the_part_that_makes_them(order: float, part: str) -> None:
    found = named(machine(order=order, strength=6))
    scores = {name: found[f"{name}_z"] for name in ("outer", "inner", "ball")}
    assert max(scores, key=lambda name: scores[name]) == part
    assert scores[part] > 5


def test_a_healthy_machine_has_no_part_that_stands_out() -> None:
    for seed in range(5):
        found = named(machine(seed=seed))
        assert max(found["outer_z"], found["inner_z"], found["ball_z"]) < 5
        assert abs(found["kurtosis"]) < 0.15


@pytest.mark.parametrize("wrong", [0.95, 0.98, 1.0, 1.03, 1.05])
def test_a_wrong_nameplate_speed_is_refined_from_the_signal(wrong: float) -> None:
    raw = raw_spectrum(machine(), RATE, SHAFT * wrong)
    speed = refine_speed(raw, SHAFT * wrong)
    assert speed.hz == pytest.approx(SHAFT, rel=0.002)
    assert speed.confidence > 0.5


def test_noise_alone_leaves_the_speed_as_it_was_told() -> None:
    noise = np.random.default_rng(3).standard_normal(25_600).astype(np.float32)
    assert refine_speed(raw_spectrum(noise, RATE, 25.0), 25.0).confidence < 0.5


def test_the_velocity_is_that_of_the_sine() -> None:
    time = np.arange(25_600) / RATE
    g = 0.1 * np.sin(2 * np.pi * 50 * time)  # 0.1 g at 50 Hz: 3.12 mm/s peak
    found = named(g.astype(np.float32), told_hz=50.0)
    assert math.exp(found["velocity"]) == pytest.approx(0.1 * 9806.65 / (2 * math.pi * 50) / math.sqrt(2), rel=0.01)
    assert found["share_x1"] > 0.99


@pytest.mark.parametrize(
    ("spoilt", "measure", "least"),
    [
        (np.zeros_like, "flat", 0.99),
        (lambda x: np.clip(x, -0.01, 0.01), "clip", 0.2),
        (lambda x: x + np.where(np.arange(x.size) > x.size // 2, 1.0, 0.0), "jump", 2.0),
        (lambda x: x + np.sin(2 * np.pi * 50 * np.arange(x.size) / RATE), "hum", 0.9),
        (lambda x: x + 2 * np.sin(2 * np.pi * 1.5 * np.arange(x.size) / RATE), "low_share", 0.9),
    ],
)
def test_a_lying_sensor_shows_in_its_own_measure(spoilt: object, measure: str, least: float) -> None:
    assert callable(spoilt)
    sound = machine()
    assert named(sound)[measure] < least / 3
    assert named(spoilt(sound))[measure] >= least


def test_a_dead_sensor_gives_numbers_only_for_the_sensor() -> None:
    found = named(np.zeros(25_600, np.float32))
    assert math.isnan(found["outer_z"]) and math.isnan(found["kurtosis"])
    assert found["flat"] == 1.0


@pytest.mark.parametrize(
    "unusable",
    [
        window(None),
        window(machine(seconds=0.4)),  # twelve turns
        window(machine(rate_hz=2000), rate_hz=2000),
        window(np.full(25_600, np.nan, np.float32)),
    ],
)
def test_a_window_without_a_usable_waveform_gives_none(unusable: object) -> None:
    assert Vibration().encode([unusable], [ASSET]) == [None]  # type: ignore[list-item]  # parametrised windows


def test_without_a_speed_there_are_no_orders() -> None:
    bare = Asset(id="M-01", bearing="6205")
    assert Vibration().encode([window(machine())], [bare]) == [None]
    [told] = Vibration().encode([window(machine(), speed=SHAFT * 60)], [bare])
    assert told is not None


def test_without_a_bearing_the_rest_is_still_measured() -> None:
    [found] = Vibration().encode([window(machine())], [Asset(id="M-01", speed_rpm=SHAFT * 60)])
    assert found is not None
    values = dict(zip(NAMES, found, strict=True))
    assert math.isnan(values["outer_z"]) and not math.isnan(values["kurtosis"])


def test_bands_are_wide_enough_for_a_fast_shaft() -> None:
    for low, high in bands_of(12_000, 60.0, 22.0):
        assert high - low >= 22 * 60
        assert high <= 0.46 * 12_000


def test_the_spectrum_for_people_marks_the_line_that_stands_out() -> None:
    seen = spectrum(window(machine(order=ORDERS.bpfo, strength=6)), ASSET)
    assert seen is not None
    assert seen.orders[-1] <= 12
    assert seen.speed_rpm == pytest.approx(SHAFT * 60, rel=0.002)
    bearing = {mark.name: mark.level for mark in seen.marks if mark.name in {"BPFO", "BPFI", "2BSF", "FTF"}}
    assert max(bearing, key=lambda name: bearing[name]) == "BPFO"
    assert spectrum(window(None), ASSET) is None


def test_the_hot_spot_is_where_it_is_hot() -> None:
    spot = hot_spot(replace(window(None), frame=frame()))
    assert spot is not None
    assert (spot.row, spot.column) == (pytest.approx(24, abs=2), pytest.approx(38, abs=2))
    assert spot.background_c == pytest.approx(22, abs=0.5)
    assert hot_spot(window(None)) is None


def test_the_contract_hash_changes_with_the_contract() -> None:
    assert contract_hash("vibration", FEATURES) != contract_hash("vibration", FEATURES[::-1])
