"""The simulated machine: what its defects do to the signal, and that it is repeatable."""

from dataclasses import replace

import numpy as np
import pytest

from simulators.bearings import CATALOGUE, named
from simulators.faults import FAULTS, make
from simulators.machine import Machine
from simulators.path import Filter, Mode, low_pass, response
from simulators.rig import Rig, plain_rig, random_rig
from simulators.seeds import generator

RATE = 12_800
CONTROLS = (2.48, 4.08, 5.3)  # no sum of shaft, cage and race orders lies near


def quiet_rig(**changes: object) -> Rig:
    """A rig whose speed stands still, so that orders are sharp."""
    rig = plain_rig("M-01", rate_hz=RATE)
    return replace(rig, speed_wander=0.0, load_wander=0.0, slip=0.0, compliance=0.0, load_wave=0.0, **changes)


def run(rig: Rig, fault: str = "healthy", severity: float = 0.8, *, seed: int = 1, seconds: float = 8) -> np.ndarray:
    machine = Machine(rig, seed)
    machine.inject(fault, severity)
    machine.read(round(rig.rate_hz))
    return machine.read(round(seconds * rig.rate_hz))


def amplitude(signal: np.ndarray, order: float, shaft_hz: float, rate: float = RATE) -> float:
    """Amplitude of the strongest line within 1 % of an order."""
    spectrum = np.abs(np.fft.rfft(signal * np.hanning(len(signal)))) * 4 / len(signal)
    frequency = np.fft.rfftfreq(len(signal), 1 / rate)
    near = np.abs(frequency - order * shaft_hz) < max(0.01 * order * shaft_hz, 2 / (len(signal) / rate))
    return float(spectrum[near].max())


def envelope_level(signal: np.ndarray, order: float, shaft_hz: float, rate: float = RATE) -> float:
    """Height in dB of an order of the squared envelope above the local floor."""
    spectrum = np.fft.fft(signal)
    frequency = np.fft.fftfreq(len(signal), 1 / rate)
    spectrum[(frequency < 1000) | (frequency > 5500)] = 0
    envelope = np.abs(np.fft.ifft(spectrum)) ** 2
    line = np.abs(np.fft.rfft(envelope - envelope.mean()))
    along = np.fft.rfftfreq(len(signal), 1 / rate)
    hz = order * shaft_hz
    near, around = np.abs(along - hz) < 0.008 * hz, np.abs(along - hz) < 0.12 * hz
    return float(20 * np.log10(line[near].max() / np.median(line[around & ~near])))


@pytest.mark.parametrize(
    ("designation", "orders"),
    [("6205", (3.585, 5.415, 2.357, 0.398)), ("6203", (3.053, 4.947, 1.994, 0.382))],
)
def test_kinematics_agree_with_the_book(designation: str, orders: tuple[float, ...]) -> None:
    bearing = named(designation)
    assert (bearing.bpfo, bearing.bpfi, bearing.bsf, bearing.ftf) == pytest.approx(orders, abs=0.001)


def test_every_bearing_has_balls_that_fit_on_its_pitch_circle() -> None:
    for designation, bearing in CATALOGUE.items():
        assert bearing.balls * bearing.ball_mm < np.pi * bearing.pitch_mm, designation
        assert bearing.bpfo + bearing.bpfi == pytest.approx(bearing.balls)


@pytest.mark.parametrize(
    ("fault", "order"), [("bearing_outer_race", "bpfo"), ("bearing_inner_race", "bpfi"), ("bearing_ball", "bsf")]
)
def test_a_bearing_defect_draws_a_line_at_its_order_and_a_healthy_bearing_none(fault: str, order: str) -> None:
    rig = quiet_rig()
    multiple = getattr(rig.bearing, order) * (2 if order == "bsf" else 1)
    shaft = rig.speed_rpm / 60
    assert envelope_level(run(rig, fault), multiple, shaft) > 20
    assert envelope_level(run(rig), multiple, shaft) < 14
    assert max(envelope_level(run(rig, fault), control, shaft) for control in CONTROLS) < 14


def test_an_inner_race_defect_is_modulated_by_the_shaft_and_an_outer_race_one_hardly() -> None:
    rig = quiet_rig()
    shaft = rig.speed_rpm / 60
    sidebands = {}
    for fault, order in (("bearing_outer_race", rig.bearing.bpfo), ("bearing_inner_race", rig.bearing.bpfi)):
        signal = run(rig, fault, 1.0)
        sidebands[fault] = envelope_level(signal, order - 1, shaft) - envelope_level(signal, order, shaft)
    assert sidebands["bearing_inner_race"] > sidebands["bearing_outer_race"] + 3


def test_slip_lowers_the_order_of_the_outer_race() -> None:
    rig = replace(quiet_rig(), slip=0.02)
    signal, shaft = run(rig, "bearing_outer_race", 1.0), rig.speed_rpm / 60
    assert envelope_level(signal, rig.bearing.bpfo * 0.98, shaft) > envelope_level(signal, rig.bearing.bpfo, shaft)


def test_impacts_grow_from_barely_visible_to_obvious() -> None:
    def kurtosis(severity: float) -> float:
        signal = run(quiet_rig(), "bearing_outer_race", severity, seconds=4)
        return float(np.mean((signal - signal.mean()) ** 4) / np.var(signal) ** 2)

    faint, strong = kurtosis(0.02), kurtosis(1.0)
    assert faint < 3.6
    assert strong > 5


def test_imbalance_grows_with_the_square_of_the_speed() -> None:
    rig = quiet_rig(unbalance_mm_s=0.0, coupling_mm_s=0.0)
    heights = []
    for pace in (0.5, 1.0):
        machine = Machine(rig, 1, pace=pace)
        machine.inject("imbalance", 1.0)
        heights.append(amplitude(machine.read(8 * RATE), 1, rig.speed_rpm / 60 * pace))
    assert heights[1] / heights[0] == pytest.approx(4, rel=0.1)


def test_misalignment_shows_at_twice_the_shaft_above_all() -> None:
    rig = quiet_rig()
    signal, shaft = run(rig, "misalignment", 0.9), rig.speed_rpm / 60
    healthy = run(rig)
    assert amplitude(signal, 2, shaft) > 5 * amplitude(healthy, 2, shaft)
    assert amplitude(signal, 2, shaft) > max(amplitude(signal, order, shaft) for order in (1, 3, 4))


def test_looseness_shows_half_orders_and_many_harmonics() -> None:
    rig = quiet_rig()
    signal, healthy, shaft = run(rig, "looseness", 0.9), run(rig), rig.speed_rpm / 60
    for order in (0.5, 1.5, 3, 4):
        assert amplitude(signal, order, shaft) > 2.5 * amplitude(healthy, order, shaft), order


def test_lack_of_grease_raises_the_high_floor_without_a_line_and_heats_the_bearing() -> None:
    rig = quiet_rig()
    shaft = rig.speed_rpm / 60
    machine = Machine(rig, 1, tau_s=2)
    machine.read(RATE * 4)
    before = machine.temperatures.bearing
    machine.inject("overheating", 0.9)
    machine.read(RATE * 8)
    signal, healthy = machine.read(8 * RATE), run(rig)

    def high(wave: np.ndarray) -> float:
        return float(np.abs(np.fft.rfft(wave))[len(wave) // 4 :].mean())

    assert high(signal) > 1.8 * high(healthy)
    assert max(envelope_level(signal, order, shaft) for order in (rig.bearing.bpfo, rig.bearing.bpfi)) < 14
    assert machine.temperatures.bearing > before + 10


@pytest.mark.parametrize("fault", FAULTS)
def test_the_same_seed_gives_the_same_samples_and_another_seed_others(fault: str) -> None:
    rig = random_rig(4, 2)
    first, again, other = (run(rig, fault, seed=seed, seconds=1) for seed in (3, 3, 4))
    assert np.array_equal(first, again)
    if first.std() > 0:
        assert not np.array_equal(first, other)


def test_the_size_of_the_blocks_does_not_change_the_samples() -> None:
    rig = plain_rig("M-01")
    whole, pieces = Machine(rig, 5), Machine(rig, 5)
    for machine in (whole, pieces):
        machine.inject("bearing_ball", 0.8)
    together = whole.read(6400)
    apart = np.concatenate([pieces.read(count) for count in (1, 999, 1281, 4119)])
    assert np.array_equal(together, apart)


def test_filtering_block_by_block_is_filtering_the_whole() -> None:
    signal = np.random.default_rng(1).standard_normal(5000)
    kernel = response((Mode(2500, 0.03, 1.0),), RATE)
    filtered = Filter(kernel)
    apart = np.concatenate([filtered.push(block) for block in np.split(signal, [100, 130, 2700])])
    assert apart == pytest.approx(np.convolve(signal, kernel)[:5000], abs=1e-9)
    assert low_pass(4000, RATE).sum() == pytest.approx(1)


def test_a_fault_with_a_ramp_grows_and_clearing_heals() -> None:
    machine = Machine(plain_rig("M-01"), 1)
    machine.inject("imbalance", 0.8, ramp_s=4)
    severities = []
    for _ in range(6):
        machine.read(RATE)
        severities.append(machine.severity)
    assert severities == pytest.approx([0.2, 0.4, 0.6, 0.8, 0.8, 0.8])
    machine.clear()
    assert (machine.fault, machine.severity) == ("healthy", 0.0)


@pytest.mark.parametrize(("fault", "severity"), [("rust", 0.5), ("imbalance", 1.5), ("imbalance", -0.1)])
def test_an_unknown_fault_or_severity_is_refused(fault: str, severity: float) -> None:
    with pytest.raises(ValueError, match=r"known:|between 0 and 1"):
        make(fault, severity, plain_rig("M-01"), generator(1))


def test_rigs_differ_and_stay_within_what_plants_have() -> None:
    rigs = [random_rig(1, index) for index in range(60)]
    assert len({rig.designation for rig in rigs}) > 10
    assert len({rig.rate_hz for rig in rigs}) > 4
    for rig in rigs:
        assert 600 <= rig.speed_rpm <= 3600
        assert abs(rig.nameplate_rpm / rig.speed_rpm - 1) <= 0.03
        assert 0.1 <= rig.gain <= 10
        assert all(800 <= mode.frequency_hz <= 6000 for mode in rig.modes)
        assert rig == random_rig(1, int(rig.name[1:]))
