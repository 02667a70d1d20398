"""The simulators' files: recorded runs, scripts of faults, recordings of others."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy.io import savemat, wavfile

from simulators import opcua, scenario
from simulators.dataset import main
from simulators.faults import FAULTS
from simulators.oven import AMBIENT_C, BROKEN_C, Oven
from simulators.recording import blocks
from simulators.waves import Recording, Unreadable, read

RATE = 12_000
KEYS = {
    "waveform",
    "rate_hz",
    "speed_rpm",
    "set_rpm",
    "nameplate_rpm",
    "load_pct",
    "designation",
    "balls",
    "ball_mm",
    "pitch_mm",
    "contact_deg",
    "fault",
    "severity",
    "rig",
    "run",
    "baseline",
    "frames",
    "ambient_c",
    "temperature_c",
    "logs",
    "log_levels",
}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs")
    assert main(["--out", str(folder), "--rigs", "2", "--seconds", "1", "--severities", "1", "--healthy", "1"]) == 0
    return folder


def test_a_recorded_run_holds_what_its_page_promises(runs: Path) -> None:
    files = sorted(runs.glob("*.npz"))
    assert len(files) == 2 * (3 + 1 + len(FAULTS))
    for file in files:
        with np.load(file, allow_pickle=False) as run:
            assert set(run.files) == KEYS
            assert run["waveform"].dtype == np.float32
            assert len(run["waveform"]) == round(float(run["rate_hz"]))
            assert run["frames"].ndim == 3 and run["frames"].dtype == np.float32
            assert len(run["logs"]) == len(run["log_levels"])
            assert (str(run["fault"]) == "healthy") == (float(run["severity"]) == 0)
            assert abs(float(run["speed_rpm"]) / float(run["set_rpm"]) - 1) < 0.07


def test_each_rig_has_baselines_and_every_fault(runs: Path) -> None:
    for rig in ("R000", "R001"):
        held = [np.load(file, allow_pickle=False) for file in sorted(runs.glob(f"{rig}-*.npz"))]
        assert {str(run["fault"]) for run in held} == {"healthy", *FAULTS}
        assert sum(bool(run["baseline"]) for run in held) == 3


def test_recording_again_with_the_same_seed_gives_the_same_run(runs: Path, tmp_path: Path) -> None:
    arguments = ["--out", str(tmp_path), "--rigs", "1", "--first", "1", "--seconds", "1", "--severities", "1"]
    assert main([*arguments, "--healthy", "1"]) == 0
    for file in tmp_path.glob("*.npz"):
        with np.load(file) as again, np.load(runs / file.name) as first:
            assert np.array_equal(again["waveform"], first["waveform"])
            assert np.array_equal(again["frames"], first["frames"])
            assert list(again["logs"]) == list(first["logs"])


@pytest.mark.parametrize("name", ["outer-race", "bad-day", "false-alarm"])
def test_ready_made_scripts_load(name: str) -> None:
    script = scenario.load(name, ["M-01"])
    assert script.seed and script.title and script.step


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('[[step]]\nat = "soon"\nfault = "imbalance"', "step 1: not a duration"),
        ('[[step]]\nat = "1s"\nfault = "rust"', "step 1: unknown fault 'rust'"),
        ('[[step]]\nat = "1s"\nfault = "imbalance"\nasset = "M-99"', "no machine 'M-99' here"),
        ('[[step]]\nat = "1s"\nfault = "imbalance"\nseverity = 7', "<= 1"),
        ('[[step]]\nat = "1s"\nfault = "imbalance"\nsevrity = 0.5', "sevrity"),
        ("[[step]", "script"),
    ],
)
def test_a_bad_script_is_refused_with_its_place(text: str, why: str, tmp_path: Path) -> None:
    file = tmp_path / "bad.toml"
    file.write_text(text)
    with pytest.raises(ValueError, match=why):
        scenario.load(str(file), ["M-01"])


def test_a_script_that_is_not_there_names_those_that_are() -> None:
    with pytest.raises(ValueError, match="ready-made: bad-day, false-alarm, outer-race"):
        scenario.load("nothing", ["M-01"])


def wave() -> np.ndarray:
    time = np.arange(RATE) / RATE
    return 0.4 * np.sin(2 * np.pi * 30 * time) + 0.1 * np.sin(2 * np.pi * 1234 * time)


def test_matlab_channels_are_found_by_a_distinct_part_of_their_name(tmp_path: Path) -> None:
    file = tmp_path / "105.mat"
    column = wave()[:, None]
    savemat(file, {"X105_DE_time": column, "X105_FE_time": -column, "X105RPM": 1797})
    recording = read(file, channel="DE", rate_hz=RATE)
    assert np.array_equal(recording.samples, wave())
    assert (recording.channel, recording.speed_rpm) == ("X105_DE_time", 1797)
    with pytest.raises(Unreadable, match=r"several channels.*X105_DE_time, X105_FE_time"):
        read(file, rate_hz=RATE)
    with pytest.raises(Unreadable, match="no channel 'BA'; there are X105_DE_time"):
        read(file, channel="BA", rate_hz=RATE)
    with pytest.raises(Unreadable, match="give --rate"):
        read(file, channel="FE")


def test_units_and_scale_end_in_g(tmp_path: Path) -> None:
    file = tmp_path / "counts.npz"
    counts = np.round(wave() * 1000).astype(np.int16)
    np.savez(file, counts=counts, rate_hz=RATE, rpm=1500.0)
    recording = read(file, scale=0.001)
    assert (recording.rate_hz, recording.speed_rpm) == (RATE, 1500)
    assert recording.samples == pytest.approx(counts / 1000)
    assert read(file, unit="m/s2").samples == pytest.approx(counts / 9.80665)
    assert read(file, unit="mm/s2").samples == pytest.approx(counts / 9806.65)
    with pytest.raises(Unreadable, match="known: g, mg, m/s2, mm/s2"):
        read(file, unit="furlong")


def test_rows_and_columns_of_tables_are_channels(tmp_path: Path) -> None:
    file = tmp_path / "two.npy"
    np.save(file, np.stack([wave(), 2 * wave()], axis=1))
    assert np.array_equal(read(file, channel="1", rate_hz=RATE).samples, 2 * wave())


def test_integer_wav_is_a_share_of_full_scale(tmp_path: Path) -> None:
    for kind, full in ((np.int16, 2**15), (np.int32, 2**31)):
        file = tmp_path / f"{full}.wav"
        wavfile.write(file, RATE, np.round(wave() * (full - 1)).astype(kind))
        recording = read(file, scale=10)
        assert recording.rate_hz == RATE
        assert recording.samples == pytest.approx(10 * wave(), abs=1e-3)


def test_csv_is_read_with_and_without_a_header(tmp_path: Path) -> None:
    plain, headed, spaced = tmp_path / "p.csv", tmp_path / "h.csv", tmp_path / "s.txt"
    plain.write_text("\n".join(f"{value:.9f}" for value in wave()))
    rows = (f"{place / RATE:.9f};{value:.9f}" for place, value in enumerate(wave()))
    headed.write_text("\ufefftime;acceleration\n" + "\n".join(rows), encoding="utf-8")
    spaced.write_text("\n".join(f"{value:.9f} {-value:.9f}" for value in wave()))
    assert read(plain, rate_hz=RATE).samples == pytest.approx(wave(), abs=1e-8)
    told = read(headed)
    assert told.rate_hz == pytest.approx(RATE, rel=1e-3)
    assert told.samples == pytest.approx(wave(), abs=1e-8)
    assert read(spaced, channel="1", rate_hz=RATE).samples == pytest.approx(-wave(), abs=1e-8)


@pytest.mark.parametrize(
    ("name", "content", "why"),
    [
        ("a.mat", b"not matlab at all", "not a readable .mat file"),
        ("a.npy", b"\x93NUMPY", "not a readable .npy file"),
        ("a.npz", b"PK", "not a readable .npz file"),
        ("a.wav", b"RIFF", "not a readable .wav file"),
        ("a.csv", b"", "is empty"),
        ("a.csv", b"1.0\n2.0\nthree\n", "row 3: expected 1 numbers"),
        ("a.csv", b"1\n2\n", "holds no waveform"),
        ("a.csv", b"nan\n" * 40, "no numbers"),
        ("a.csv", "größe\n1\n".encode("latin-1"), "not a readable .csv file"),
        ("a.xyz", b"", "cannot read .xyz; known: .mat"),
    ],
)
def test_a_file_that_cannot_be_played_says_why(name: str, content: bytes, why: str, tmp_path: Path) -> None:
    file = tmp_path / name
    file.write_bytes(content)
    with pytest.raises(Unreadable, match=why):
        read(file, rate_hz=RATE)


def test_a_file_that_is_not_there_ends_the_player_with_one_line(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "simulators.recording", "--file", str(tmp_path / "gone.mat")]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 2
    assert ended.stderr == f"simulators.recording: no file {tmp_path / 'gone.mat'}\n"


def test_a_recording_played_once_is_exact_to_its_last_sample() -> None:
    recording = Recording(wave()[:10_001], RATE)
    played = list(blocks(recording, 3000, loop=False))
    assert [len(block) for block in played] == [3000, 3000, 3000, 1001]
    assert np.array_equal(np.concatenate(played), recording.samples)


def test_the_seam_of_a_loop_makes_no_click() -> None:
    # 30.4 periods: end and beginning do not fit together.
    samples = np.sin(2 * np.pi * 30.4 * np.arange(RATE) / RATE)
    player = blocks(Recording(samples, RATE), 1000, loop=True)
    played = np.concatenate([next(player) for _ in range(40)])
    assert np.array_equal(played[:11_000], samples[:11_000])
    assert np.abs(np.diff(played)).max() < 2.5 * np.abs(np.diff(samples)).max()


def test_a_recording_shorter_than_a_block_can_loop() -> None:
    player = blocks(Recording(wave()[:500], RATE), 6000, loop=True)
    assert [len(next(player)) for _ in range(3)] == [6000, 6000, 6000]


def test_an_oven_keeps_its_setpoints_until_something_fails() -> None:
    oven = Oven(1)
    oven.run(600)
    assert [zone.real_c for zone in oven.zones] == pytest.approx([180, 210, 195], abs=2)
    assert not oven.alarm
    oven.zones[1].failure = "heater"
    oven.run(300)
    assert oven.zones[1].real_c < 150
    oven.zones[1].failure = "runaway"
    oven.run(300)
    assert oven.alarm and oven.zones[1].real_c > 230
    oven.zones[1].failure = "sensor"
    oven.run(1)
    assert oven.zones[1].shown_c == BROKEN_C and AMBIENT_C < oven.mean_c < 400


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["--bearing", "999"], "unknown bearing '999'; give its geometry (9:7.94:39.04) or one of 6002"),
        (["--bearing", "9:39:7.9"], "no such bearing can be built"),
        (["--bearing", "9:x"], "write BALLS:BALL_MM:PITCH_MM"),
        (["--asset", "A", "--asset", "B", "--asset", "C", "--speed", "1", "--speed", "2"], "once per asset (3)"),
        (["--rate", "10"], "a rate of 1000 to 200000 Hz"),
        (["--syslog", "nowhere"], "--syslog wants HOST:PORT"),
        (["--script", "nothing"], "ready-made: bad-day"),
        (["--logfile", "/dev/null/x.log"], "Not a directory"),
    ],
)
def test_a_machine_server_with_bad_arguments_does_not_start(
    arguments: list[str], why: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert opcua.main(arguments) == 2
    said = capsys.readouterr()
    assert why in said.err and said.err.count("\n") == 1 and not said.out
