"""The simulated sensors: accelerometer that fails, camera, log."""

import string
from typing import get_args

import numpy as np
import pytest

from simulators.defect import Warmth
from simulators.faults import FAULTS, HEALTHY
from simulators.line import centikelvin
from simulators.logs import Facts, LogBook, phrases
from simulators.machine import Machine
from simulators.rig import plain_rig, random_rig
from simulators.seeds import generator
from simulators.sensor import Sensor, SensorFault, Trouble
from simulators.thermal import Heat, ThermalCamera

RATE = 12_800


def measured(trouble: Trouble, severity: float = 0.8) -> tuple[np.ndarray, np.ndarray]:
    """What a sensor says of noise of 0.1 g with and without a trouble."""
    rig = plain_rig("M-01", rate_hz=RATE)
    fault = SensorFault(severity, rig, generator(1), trouble)
    true = 0.1 * np.random.default_rng(1).standard_normal(RATE * 6)
    well, ill = Sensor(rig, 1), Sensor(rig, 1)
    blocks = np.split(true, 12)
    return np.concatenate([well.push(b, None) for b in blocks]), np.concatenate([ill.push(b, fault) for b in blocks])


def test_a_flat_sensor_says_one_number() -> None:
    assert np.ptp(measured("flat")[1]) == 0


def test_a_clipping_sensor_stays_at_its_rails() -> None:
    _, ill = measured("clipping")
    assert np.mean(np.isclose(np.abs(ill), np.abs(ill).max(), rtol=0.3)) > 0.3


def test_hum_stands_at_the_mains_frequency() -> None:
    _, ill = measured("hum")
    spectrum = np.abs(np.fft.rfft(ill))
    assert np.argmax(spectrum) == 50 * 6


def test_jumps_and_drift_move_the_mean_and_a_good_sensor_does_not() -> None:
    for trouble in ("jumps", "drift"):
        well, ill = measured(trouble)
        steady, moving = (np.ptp([block.mean() for block in np.split(signal, 60)]) for signal in (well, ill))
        assert moving > 10 * steady, trouble


def test_a_loose_plug_drops_out_now_and_then() -> None:
    _, ill = measured("dropouts")
    assert 0.02 < np.mean(ill == 0) < 0.9


def test_every_trouble_is_drawn_sometimes() -> None:
    rig = plain_rig("M-01")
    assert {SensorFault(0.5, rig, generator(n)).trouble for n in range(60)} == set(get_args(Trouble))


def test_a_damaged_bearing_shows_as_a_hot_spot() -> None:
    rig = plain_rig("M-01")
    shots = {}
    for fault in (HEALTHY, "bearing_inner_race", "overheating"):
        machine = Machine(rig, 1, tau_s=1)
        machine.inject(fault, 0.9)
        machine.read(6 * RATE)
        shots[fault] = machine.picture()
    assert shots[HEALTHY].shape == (48, 64)
    assert shots["bearing_inner_race"].max() > shots[HEALTHY].max() + 4
    assert shots["overheating"].max() > shots[HEALTHY].max() + 10
    # The room does not warm: only the machine does.
    assert np.median(shots["overheating"][:4]) == pytest.approx(np.median(shots[HEALTHY][:4]), abs=1)


def test_a_part_warms_two_thirds_of_the_way_in_its_time_constant() -> None:
    heat = Heat(plain_rig("M-01"), tau_s=10)
    heat.push(0.7, 1.0, Warmth(), 0.0, 0.1)
    cold = heat.now.bearing
    for _ in range(100):
        heat.push(0.7, 1.0, Warmth(bearing=20), 1.0, 0.1)
    assert heat.now.bearing - cold == pytest.approx(20 * (1 - np.exp(-1)), rel=0.02)


def test_cameras_differ_in_shape_and_see_warm_machines_in_their_room() -> None:
    shapes = set()
    for index in range(12):
        rig = random_rig(3, index)
        machine = Machine(rig, 1)
        machine.read(round(rig.rate_hz))
        picture = machine.picture()
        shapes.add(picture.shape)
        assert picture.dtype == np.float32
        assert rig.ambient_c - 5 < picture.min() < picture.max() < 130
    assert len(shapes) > 2


def test_pictures_travel_as_hundredths_of_a_kelvin() -> None:
    assert centikelvin(np.array([[0.0, 27.0]], dtype=np.float32)).tolist() == [[27315, 30015]]


def facts(fault: str, severity: float = 0.9) -> Facts:
    return Facts("M-01", fault, severity, 61.2, 22.0, 6.3, 1480.0, 74.0)


@pytest.mark.parametrize("fault", [HEALTHY, *FAULTS])
def test_every_wording_can_be_written(fault: str) -> None:
    lines = LogBook("M-01", 1).push(facts(fault), 3000)
    assert len(lines) > 100
    assert all("{" not in line.text and 3 <= line.severity <= 6 for line in lines)


def test_wordings_use_only_known_facts() -> None:
    fields = {"asset", "temp", "ambient", "vib", "rpm", "load", "n", "limit"}
    for lines in phrases().topics.values():
        for _, text in lines:
            assert {name for _, name, _, _ in string.Formatter().parse(text) if name} <= fields


def test_a_log_tells_of_trouble_more_often_when_there_is_some_but_not_only_then() -> None:
    def warnings(fault: str) -> int:
        return sum(line.severity <= 4 for line in LogBook("M-01", 1).push(facts(fault), 3000))

    assert warnings("bearing_ball") > 5 * warnings(HEALTHY) > 0


def test_a_log_cannot_tell_the_bearing_defects_apart() -> None:
    heard = phrases().heard
    assert heard["bearing_outer_race"] == heard["bearing_inner_race"] == heard["bearing_ball"]


def test_the_camera_of_one_seed_takes_the_same_picture_again() -> None:
    rig = plain_rig("M-01")
    heat = Heat(rig)
    heat.push(0.7, 1.0, Warmth(), 0.0, 1.0)
    first, again = (ThermalCamera(rig, 3).picture(heat.now) for _ in range(2))
    assert np.array_equal(first, again)
