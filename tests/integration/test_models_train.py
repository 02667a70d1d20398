"""`andon models`: a small bundle trained from nothing but simulated runs, shown, verified, and served from."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.core.artifact import read_manifest
from gateway.core.asset import Plant, Site
from gateway.diagnosis.diagnoser import open_diagnoser
from nlp.logs import open_log_modality
from tests.diagnosis_signals import PLANT, machine, window


def andon(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", "from gateway.cli.main import main; main()", "models", *arguments],
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trained") / "bundle"
    trained = andon("train", "--quick", "--seed", "3", "--out", str(folder))
    assert trained.returncode == 0, trained.stderr
    assert "window_accuracy" in trained.stdout
    return folder


def test_a_trained_bundle_serves(bundle: Path) -> None:
    diagnoser = open_diagnoser(bundle, PLANT, [open_log_modality(bundle)])
    [seen] = diagnoser.diagnose([window(machine())])
    assert seen.model == read_manifest(bundle).digest == diagnoser.model
    assert sum(seen.probabilities.values()) == pytest.approx(1)


def test_the_manifest_says_seed_metrics_and_contract(bundle: Path) -> None:
    manifest = read_manifest(bundle)
    shown = andon("show", str(bundle), "-o", "json")
    parts = {part["name"]: part for part in json.loads(shown.stdout)}
    assert set(parts) == set(manifest.parts)
    assert "set_coverage" in parts["calibration.json"]["metrics"]
    assert parts["thermal.safetensors"]["made_by"] == "andon models train"
    assert manifest.features["fusion"] == open_diagnoser(bundle, Plant(Site(), ()), [open_log_modality(bundle)]).columns


def test_an_altered_byte_is_named_by_verify(bundle: Path) -> None:
    assert andon("verify", str(bundle)).returncode == 0
    part = bundle / "severity.ubj"
    content = bytearray(part.read_bytes())
    content[100] ^= 1
    part.write_bytes(content)
    refused = andon("verify", str(bundle))
    assert refused.returncode == 2
    assert "severity.ubj: sha256" in refused.stderr
    content[100] ^= 1
    part.write_bytes(content)
