"""Laws of the features: gain does not matter, speed and rate scale away, a baseline is robust."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.diagnosis.baseline import ENOUGH, FREEZE, Memory, Normal, distance, take
from gateway.diagnosis.bearing import find_bearing, orders_of
from gateway.diagnosis.features import names_of
from gateway.diagnosis.vibration import FEATURES, features_of
from tests.diagnosis_signals import RATE, SHAFT, START, machine

_BEARING = find_bearing("6205")
assert _BEARING is not None
ORDERS = orders_of(_BEARING)
NAMES = names_of(FEATURES)
LEVELS = {"velocity", "velocity_x1", "velocity_x2", "high_floor"}
_SAMPLES = machine(order=ORDERS.bpfo, strength=2)
_PLAIN = features_of(_SAMPLES, RATE, SHAFT, ORDERS)


@given(st.floats(-3, 3))
@settings(max_examples=12, deadline=None)
def test_gain_changes_levels_alone(exponent: float) -> None:
    gain = np.float32(10**exponent)
    louder = features_of(_SAMPLES * gain, RATE, SHAFT, ORDERS)
    for name, before, after in zip(NAMES, _PLAIN, louder, strict=True):
        expected = before + np.log(gain) if name in LEVELS else before
        assert np.isclose(after, expected, atol=0.03, rtol=0.02), name


@given(st.floats(12, 55), st.sampled_from([10_000.0, 12_000.0, 16_000.0, 25_600.0]))
@settings(max_examples=10, deadline=None)
def test_strikes_are_found_at_any_speed_and_rate(shaft: float, rate: float) -> None:
    samples = machine(order=ORDERS.bpfi, strength=8, shaft_hz=shaft, rate_hz=rate, seconds=max(2.0, 40 / shaft))
    found = dict(zip(NAMES, features_of(samples, rate, shaft * 1.02, ORDERS), strict=True))
    assert found["inner_z"] > 5
    assert found["inner_z"] > max(found["outer_z"], found["ball_z"])


@given(st.lists(st.floats(-1, 1), min_size=7, max_size=40), st.floats(-50, 50))
def test_a_baseline_shrugs_at_one_odd_window(values: list[float], odd: float) -> None:
    calm, shaken = Normal(25.0), Normal(25.0)
    for value in values[:FREEZE]:
        take(calm, np.array([value]))
    for value in [odd, *values][:FREEZE]:
        take(shaken, np.array([value]))
    assert -1 <= shaken.location[0] <= 1
    assert shaken.location[0] <= max(values) and shaken.location[0] >= min(values)
    assert abs(distance(shaken, np.array([3.0]), np.array([1.0]))[0]) <= 15


@given(st.integers(0, 100))
def test_a_baseline_freezes_and_a_window_counts_once(repeats: int) -> None:
    memory = Memory()
    for _ in range(repeats):
        memory.learn(START, 25.0, np.array([1.0, np.nan]))
    assert sum(normal.count for normal in memory.normals) == min(repeats, 1)
    young = memory.normal_at(25.0)
    if young is not None:
        assert young.count < ENOUGH
        assert np.isnan(distance(young, np.array([1.0, 2.0]), np.array([1.0, 1.0]))).all()
