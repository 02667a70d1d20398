"""The diagnoser with the shipped bundle, and the rule."""

import shutil
from collections.abc import Sequence
from datetime import timedelta
from importlib.resources import files
from pathlib import Path

import msgspec
import numpy as np
import pytest

from gateway.core.artifact import read_manifest
from gateway.core.asset import Asset
from gateway.core.diagnosis import Fault
from gateway.core.errors import Misconfigured, Refused
from gateway.core.ports import Diagnoser, Modality
from gateway.core.window import Window
from gateway.diagnosis.assemble import layout_of
from gateway.diagnosis.bearing import find_bearing, orders_of
from gateway.diagnosis.diagnoser import FusedDiagnoser, open_diagnoser
from gateway.diagnosis.fusion import FAULTS, decide, part_of, read_calibration
from gateway.diagnosis.process import Process
from gateway.diagnosis.rule import Rule, open_rule
from gateway.diagnosis.thermal import open_thermal
from gateway.diagnosis.training.trees import refuse_leak, split
from gateway.diagnosis.vibration import Vibration
from tests.diagnosis_signals import ASSET, PLANT, SHAFT, frame, machine, window

BUNDLE = Path(str(files("gateway") / "bundle"))
_BEARING = find_bearing("6205")
assert _BEARING is not None
ORDERS = orders_of(_BEARING)


class Silent:
    """The log of a machine that writes none."""

    name = "log"

    def __init__(self) -> None:
        self.names: Sequence[str] = read_manifest(BUNDLE).features["log"]

    def encode(self, windows: Sequence[Window], assets: Sequence[Asset]) -> list[list[float] | None]:
        return [None for _ in windows]


class Trapped(Silent):
    """A log whose third window breaks the reader."""

    def encode(self, windows: Sequence[Window], assets: Sequence[Asset]) -> list[list[float] | None]:
        if any(one.journal == (3,) for one in windows):
            raise ZeroDivisionError("inner detail")
        return [None for _ in windows]


@pytest.fixture
def diagnoser() -> FusedDiagnoser:
    return open_diagnoser(BUNDLE, PLANT, [Silent()])


def healthy(count: int, first: int = 0) -> list[Window]:
    return [window(machine(seed=100 + n), n, speed=SHAFT * 60) for n in range(first, first + count)]


def damaged(count: int, first: int, strength: float = 6.0) -> list[Window]:
    return [
        window(machine(order=ORDERS.bpfo, strength=strength, seed=200 + n), n, speed=SHAFT * 60)
        for n in range(first, first + count)
    ]


def test_a_healthy_machine_is_healthy_and_then_its_outer_ring_is_not(diagnoser: FusedDiagnoser) -> None:
    before = diagnoser.diagnose(healthy(8))
    after = diagnoser.diagnose(damaged(4, 8))
    assert all(one.fault in {Fault.HEALTHY, None} for one in before)
    assert [one.fault for one in after] == [Fault.BEARING_OUTER] * 4
    assert after[-1].confidence > 0.8
    assert after[-1].contributions[0].modality == "vibration"
    assert sum(after[-1].probabilities.values()) == pytest.approx(1)
    assert after[-1].speed_rpm == pytest.approx(SHAFT * 60, rel=0.003)


def test_a_machine_that_was_damaged_all_along_is_found_without_a_baseline(diagnoser: FusedDiagnoser) -> None:
    found = diagnoser.diagnose(damaged(3, 0))
    assert [one.fault for one in found] == [Fault.BEARING_OUTER] * 3
    assert any("no baseline" in remark for remark in found[0].remarks)


def test_missing_modalities_are_named_and_do_not_crash(diagnoser: FusedDiagnoser) -> None:
    scalars_only = window(None, 0, temperature=41.0)
    nothing = window(None, 1)
    picture = msgspec.structs.replace(window(None, 2), frame=frame())
    seen = diagnoser.diagnose([scalars_only, nothing, picture])
    assert [one.present for one in seen] == [("process",), (), ("thermal",)]
    assert seen[1].fault is None and seen[1].confidence == 0
    assert "no usable waveform" in seen[0].remarks


def test_one_bad_window_fails_alone() -> None:
    broken = open_diagnoser(BUNDLE, PLANT, [Trapped()])
    seen = broken.diagnose(healthy(5))
    assert [any("log: could not be read (ZeroDivisionError)" in r for r in one.remarks) for one in seen] == [
        False,
        False,
        False,
        True,
        False,
    ]
    assert not any("inner detail" in remark for one in seen for remark in one.remarks)


def test_a_frame_that_lies_about_its_size_is_not_read(diagnoser: FusedDiagnoser) -> None:
    bad = msgspec.structs.replace(frame(), height=480)
    [seen] = diagnoser.diagnose([msgspec.structs.replace(healthy(1)[0], frame=bad)])
    assert "thermal" not in seen.present


def test_baselines_survive_a_restart_and_give_the_same_answer(diagnoser: FusedDiagnoser) -> None:
    diagnoser.diagnose(healthy(8))
    kept = diagnoser.baselines()
    again = open_diagnoser(BUNDLE, PLANT, [Silent()])
    again.restore(kept)
    assert again.baselines() == kept
    assert diagnoser.diagnose(damaged(2, 8)) == again.diagnose(damaged(2, 8))


def test_a_window_that_comes_twice_teaches_once(diagnoser: FusedDiagnoser) -> None:
    diagnoser.diagnose(healthy(6))
    once = diagnoser.baselines()
    diagnoser.diagnose(healthy(6))
    assert diagnoser.baselines() == once


def test_a_reset_forgets_one_asset(diagnoser: FusedDiagnoser) -> None:
    diagnoser.diagnose(healthy(6))
    diagnoser.reset("M-01")
    [seen] = diagnoser.diagnose(healthy(1, 6))
    assert any("no baseline" in remark for remark in seen.remarks)


@pytest.mark.parametrize("rubbish", [b"", b"\xc1", b"\x93\x01\x90\x80", msgspec.msgpack.encode([9, [], {}])])
def test_baselines_that_cannot_be_read_are_learnt_anew(diagnoser: FusedDiagnoser, rubbish: bytes) -> None:
    diagnoser.restore(rubbish)
    assert diagnoser.diagnose(healthy(1))[0].asset == "M-01"


def test_the_order_of_windows_in_a_call_does_not_matter(diagnoser: FusedDiagnoser) -> None:
    again = open_diagnoser(BUNDLE, PLANT, [Silent()])
    forward = diagnoser.diagnose(healthy(5))
    assert again.diagnose(healthy(5)[::-1]) == forward[::-1]


def copy_of(bundle: Path, into: Path) -> Path:
    into.mkdir()
    for part in [*read_manifest(bundle).parts, "manifest.json"]:
        if "/" not in part:
            shutil.copyfile(bundle / part, into / part)
    return into


@pytest.mark.parametrize("part", ["thermal.safetensors", part_of(Fault.BEARING_BALL), "calibration.json"])
def test_a_bundle_with_one_altered_byte_is_refused(part: str, tmp_path: Path) -> None:
    bundle = copy_of(BUNDLE, tmp_path / "bundle")
    content = bytearray((bundle / part).read_bytes())
    content[len(content) // 2] ^= 1
    (bundle / part).write_bytes(content)
    with pytest.raises(Misconfigured, match="sha256"):
        open_diagnoser(bundle, PLANT, [Silent()])


def test_a_bundle_for_other_features_is_refused() -> None:
    with pytest.raises(Misconfigured, match="other features"):
        open_diagnoser(BUNDLE, PLANT)


def test_the_bundle_holds_no_pickle() -> None:
    for name in read_manifest(BUNDLE).parts:
        head = (BUNDLE / name).read_bytes()[:2]
        assert Path(name).suffix in {".safetensors", ".ubj", ".json"}, name
        assert head not in {b"\x80\x02", b"\x80\x04", b"\x80\x05", b"PK"}, name


def test_the_heat_network_takes_any_resolution() -> None:
    thermal = open_thermal(BUNDLE)
    for height, width in ((24, 32), (48, 64), (120, 160), (9, 200)):
        seen = msgspec.structs.replace(window(None), frame=frame(height=height, width=width))
        [features] = thermal.encode([seen], [ASSET])
        assert features is not None and np.isfinite(features).all()
        assert len(features) == len(thermal.names)


def test_the_rule_finds_a_damaged_ring_without_any_bundle() -> None:
    rule: Diagnoser = open_rule(PLANT)
    assert all(one.fault is Fault.HEALTHY for one in rule.diagnose(healthy(3)))
    assert all(one.fault is Fault.BEARING_OUTER for one in rule.diagnose(damaged(3, 3)))
    assert rule.model == "rule"


def test_the_rule_answers_a_row_of_nothing() -> None:
    modalities: list[Modality] = [Vibration(), Process()]
    columns = layout_of(modalities).columns
    [verdict] = Rule(columns).verdicts(np.full((1, len(columns)), np.nan))
    assert verdict.fault is Fault.HEALTHY


def test_parts_of_one_bearing_share_their_confidence() -> None:
    chances = np.full(len(FAULTS), 0.02)
    chances[FAULTS.index(Fault.BEARING_OUTER)] = 0.42
    chances[FAULTS.index(Fault.BEARING_BALL)] = 0.44
    fault, confidence, remarks = decide(chances, (0.5,) * len(FAULTS))
    assert fault is Fault.BEARING_BALL
    assert confidence == pytest.approx(0.88)
    assert "which part" in remarks[0]


def test_two_families_that_are_as_likely_are_not_decided() -> None:
    chances = np.full(len(FAULTS), 0.01)
    chances[FAULTS.index(Fault.IMBALANCE)] = 0.51
    chances[FAULTS.index(Fault.MISALIGNMENT)] = 0.42
    assert decide(chances, (0.1,) * len(FAULTS))[0] is None


def test_an_evaluation_with_a_rig_on_both_sides_is_refused() -> None:
    with pytest.raises(Refused, match="R1"):
        refuse_leak(["R0", "R1"], ["R1", "R2"])
    with pytest.raises(Refused, match="both sides"):
        refuse_leak([], ["R1"])
    train, test = split(np.array(["R0", "R1", "R1"]), {"R1"})
    assert train.tolist() == [True, False, False] and test.tolist() == [False, True, True]


def test_the_shipped_calibration_was_made_on_unseen_rigs_and_is_plausible() -> None:
    calibration = read_calibration(BUNDLE / "calibration.json")
    metrics = read_manifest(BUNDLE).parts["calibration.json"].metrics
    assert 0.5 < calibration.temperature < 2
    assert metrics["family_macro_recall"] > 0.8
    assert metrics["run_false_alarms"] < 0.05


def test_old_evidence_is_not_summed(diagnoser: FusedDiagnoser) -> None:
    diagnoser.diagnose(damaged(3, 0))
    late = window(machine(seed=9), 500, speed=SHAFT * 60)
    [seen] = diagnoser.diagnose([late])
    assert late.start - window(None).start > timedelta(minutes=10)
    assert seen.features["vibration.outer_z+"] == pytest.approx(seen.features["vibration.outer_z"], abs=1e-3)
