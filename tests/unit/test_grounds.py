"""What a diagnosis says that it stood on: the row that was judged, the baseline before the window, the spectra."""

import numpy as np
import pytest
from msgspec.structs import replace

from gateway.core.capsule import Grounds
from gateway.core.diagnosis import Diagnosis, Fault
from gateway.core.ports import Grounded
from gateway.core.window import Window
from gateway.diagnosis.bearing import find_bearing, orders_of
from gateway.diagnosis.diagnoser import FusedDiagnoser
from gateway.diagnosis.explain import grounds_of
from gateway.diagnosis.rule import open_rule
from tests.diagnosis_signals import ASSET, PLANT, RATE, SHAFT, frame, machine, window

BEARING = find_bearing("6205")
assert BEARING is not None
BPFO = orders_of(BEARING).bpfo
JUDGED = Grounds(b"baseline", b"features")


@pytest.fixture
def diagnoser() -> FusedDiagnoser:
    return open_rule(PLANT)


def story() -> list[Window]:
    sound = [window(machine(seed=number), number, speed=SHAFT * 60) for number in range(5)]
    return sound + [
        window(machine(order=BPFO, strength=6.0, seed=number), number, speed=SHAFT * 60) for number in range(5, 9)
    ]


def sick(judged: list[tuple[Diagnosis, Grounds | None]]) -> list[tuple[Diagnosis, Grounds]]:
    return [(seen, grounds) for seen, grounds in judged if grounds is not None]


def test_only_a_fault_has_grounds_unless_every_window_is_asked_for(diagnoser: FusedDiagnoser) -> None:
    judged = diagnoser.judge(story())
    assert isinstance(diagnoser, Grounded)
    assert [grounds is not None for _, grounds in judged] == [
        seen.fault not in {None, Fault.HEALTHY} for seen, _ in judged
    ]
    assert len(sick(judged)) >= 3
    assert all(grounds is not None for _, grounds in open_rule(PLANT).judge(story(), every=True))
    assert [seen for seen, _ in judged] == open_rule(PLANT).diagnose(story())


def test_a_window_and_its_baseline_give_the_same_again(diagnoser: FusedDiagnoser) -> None:
    played = story()
    for (seen, grounds), one in zip(diagnoser.judge(played), played, strict=True):
        if grounds is None:
            continue
        fresh = open_rule(PLANT)
        fresh.restore(grounds.baseline)
        [(again, other)] = fresh.judge([one])
        assert again == seen and other == grounds


def test_the_features_alone_give_the_verdict_again(diagnoser: FusedDiagnoser) -> None:
    for seen, grounds in sick(diagnoser.judge(story())):
        verdict = open_rule(PLANT).decide(grounds.features)
        assert (verdict.fault, verdict.probabilities) == (seen.fault, seen.probabilities)
    with pytest.raises(ValueError, match="1 features"):
        diagnoser.decide(b"\0" * 8)


def test_the_line_of_the_fault_stands_out_of_the_envelope_spectrum() -> None:
    [one] = [window(machine(order=BPFO, strength=6.0), speed=SHAFT * 60)]
    grounds = grounds_of(one, ASSET, JUDGED)
    marks = {mark.name: mark for mark in grounds.marks}
    assert marks["BPFO"].hz == pytest.approx(BPFO * SHAFT, rel=0.02)
    assert marks["BPFO"].level == max(marks[name].level for name in ("BPFO", "BPFI", "2BSF", "FTF"))
    assert marks["1X"].amplitude == pytest.approx(0.02, rel=0.15)
    envelope, amplitude = (np.frombuffer(spectrum.values, "<f4") for spectrum in grounds.spectra)
    assert [spectrum.of for spectrum in grounds.spectra] == ["envelope", "amplitude"]
    place = round(marks["1X"].hz / grounds.spectra[1].step_hz)
    assert amplitude[place - 1 : place + 2].max() == pytest.approx(marks["1X"].amplitude, abs=1e-6)
    assert envelope.size * grounds.spectra[0].step_hz >= 12 * SHAFT


def test_the_spectra_of_a_long_window_are_small_and_keep_their_peaks() -> None:
    short, long = (
        grounds_of(window(machine(seconds=seconds), speed=SHAFT * 60), ASSET, JUDGED) for seconds in (2.0, 120.0)
    )
    assert all(len(spectrum.values) <= 32 * 1024 for spectrum in long.spectra)
    peaks = [float(np.frombuffer(one.spectra[1].values, "<f4").max()) for one in (short, long)]
    assert peaks[1] == pytest.approx(peaks[0], rel=0.2)
    assert long.spectra[1].step_hz > RATE / (120 * RATE)


def test_what_cannot_be_shown_does_not_lose_the_grounds() -> None:
    silent = window(np.zeros(round(2 * RATE), np.float32), speed=SHAFT * 60)
    for one in (window(None), silent, replace(silent, waveforms=())):
        assert grounds_of(one, ASSET, JUDGED) == JUDGED
    hot = grounds_of(replace(window(None), frame=frame(hot_k=30.0)), ASSET, JUDGED)
    assert hot.spot is not None and hot.spot.peak_c - hot.spot.background_c > 20
    assert hot.baseline == b"baseline"
