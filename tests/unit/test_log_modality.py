"""Log lines as a modality."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

import gateway
from gateway.core.asset import Asset
from gateway.core.errors import Misconfigured
from gateway.core.reading import LogLine
from gateway.core.window import Window
from nlp.logs import HEAD_PART, LogText, open_log_modality
from nlp.templates import hashed, template
from nlp.training import logs
from nlp.training.tiny import tiny_bundle

SHIPPED = Path(gateway.__file__).parent / "bundle"
START = datetime(2026, 3, 18, 8, tzinfo=UTC)
ASSET = Asset(id="M-07")


def window(*lines: tuple[int, str]) -> Window:
    said = tuple(LogLine("M-07", text, severity, START, START) for severity, text in lines)
    return Window(asset="M-07", start=START, end=START + timedelta(seconds=10), lines=said)


def recorded(folder: Path) -> Path:
    spoken = {
        "healthy": [(6, "cycle {n} ok"), (6, "heartbeat {n}")],
        "bearing_ball": [(4, "rumbling noise from bearing at {n} rpm")],
        "overheating": [(4, "temperature {n} C too high")],
    }
    for rig in range(6):
        for fault, lines in spoken.items():
            np.savez(
                folder / f"r{rig}-{fault}.npz",
                fault=fault,
                rig=f"r{rig}",
                logs=np.array([text.format(n=rig * 7 + 3) for _, text in lines], dtype=np.str_),
                log_levels=np.array([level for level, _ in lines], dtype=np.int8),
            )
    return folder


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, float]]:
    bundle = tiny_bundle(tmp_path_factory.mktemp("bundle"))
    return bundle, logs.fit(recorded(tmp_path_factory.mktemp("runs")), bundle, 1)


@pytest.fixture(scope="module")
def shipped() -> LogText:
    return open_log_modality(SHIPPED)


@pytest.mark.parametrize(
    ("line", "masked"),
    [
        ("Bearing 85.3 degC, limit 70", "bearing <number> degc, limit <number>"),
        ("core 0x0f1A at /var/log/a.txt", "core <hex> at <path>"),
        ("from 10.0.0.7:514 id 9f86d081884c7d65", "from <address> id <hex>"),
        ("轴承温度过高 85.3 ℃", "轴承温度过高 <number> ℃"),
        ("12:30:01  retry   3", "<number> retry <number>"),
    ],
)
def test_what_changes_from_line_to_line_is_masked(line: str, masked: str) -> None:
    assert template(line) == masked


def test_words_in_buckets_have_length_one_and_nothing_has_none() -> None:
    assert np.linalg.norm(hashed("bearing noise 异响")) == pytest.approx(1.0)
    assert not hashed("").any()


def test_a_window_without_lines_gives_none_and_the_others_keep_their_place(
    fitted: tuple[Path, dict[str, float]],
) -> None:
    modality = open_log_modality(fitted[0])
    windows = [window(), window((4, "rumbling noise from bearing at 5 rpm")), window(), window((6, "heartbeat 1"))]
    found = modality.encode(windows, [ASSET] * 4)
    assert [one is None for one in found] == [True, False, True, False]
    assert found[1] == pytest.approx(modality.encode([windows[1]], [ASSET])[0], abs=1e-4)
    assert all(one is None or len(one) == len(modality.names) for one in found)
    assert modality.encode([], []) == []


def test_lines_speak_for_the_fault_that_they_were_heard_with(fitted: tuple[Path, dict[str, float]]) -> None:
    modality = open_log_modality(fitted[0])
    noisy, hot = modality.encode(
        [window((4, "rumbling noise from bearing at 99 rpm")), window((4, "temperature 4711 C too high"))],
        [ASSET, ASSET],
    )
    assert noisy is not None
    assert hot is not None
    place = list(modality.names).index
    assert noisy[place("log_bearing_ball")] > hot[place("log_bearing_ball")]
    assert hot[place("log_overheating")] > noisy[place("log_overheating")]
    assert noisy[place("log_warnings")] == 1.0
    assert fitted[1]["rig_anomaly_auroc"] > 0.9


def test_fitting_without_runs_says_where_it_looked(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="holds no runs"):
        logs.fit(tmp_path, tiny_bundle(tmp_path / "bundle"), 1)


def test_an_altered_head_is_refused(tmp_path: Path) -> None:
    bundle = tiny_bundle(tmp_path / "bundle")
    runs = tmp_path / "runs"
    runs.mkdir()
    logs.fit(recorded(runs), bundle, 1)
    content = bytearray((bundle / HEAD_PART).read_bytes())
    content[-1] ^= 1
    (bundle / HEAD_PART).write_bytes(bytes(content))
    with pytest.raises(Misconfigured, match="sha256"):
        open_log_modality(bundle)


def test_the_shipped_modality_hears_a_hot_bearing_and_a_dead_sensor(shipped: LogText) -> None:
    said = [
        window((4, "grease in the spindle bearing smells burnt, running hot")),
        window((3, "accelerometer signal lost, wire broken")),
        window((6, "piece 17 done")),
    ]
    hot, dead, well = shipped.encode(said, [ASSET] * 3)
    place = list(shipped.names).index
    assert hot is not None
    assert dead is not None
    assert well is not None
    assert hot[place("log_overheating")] > dead[place("log_overheating")]
    assert dead[place("log_sensor_fault")] > hot[place("log_sensor_fault")]
    assert well[place("log_healthy")] > max(hot[place("log_healthy")], dead[place("log_healthy")])


def test_a_line_unlike_all_others_is_new(shipped: LogText) -> None:
    known, new = shipped.encode(
        [window((6, "heartbeat seq=4")), window((6, "quarterly tax form missing"))], [ASSET] * 2
    )
    place = list(shipped.names).index
    assert known is not None
    assert new is not None
    assert new[place("log_novelty")] > known[place("log_novelty")]
