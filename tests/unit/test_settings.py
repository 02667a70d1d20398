"""The settings file: every fault at once, with its place and a suggestion."""

import subprocess
import sys
from pathlib import Path

import pytest

from gateway.core.errors import Misconfigured
from gateway.runtime.settings import SAMPLE, parse

CASES = sorted((Path(__file__).parents[1] / "cases" / "settings").iterdir())


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_every_fault_is_named_with_its_line_and_a_suggestion(case: Path) -> None:
    with pytest.raises(Misconfigured) as wrong:
        parse((case / "andon.toml").read_text())
    said = str(wrong.value)
    for expected in (case / "error.txt").read_text().splitlines():
        assert expected in said
    assert "hunter2" not in said


def test_the_sample_is_right_and_its_digest_does_not_hang_on_the_order_of_keys() -> None:
    settings = parse(SAMPLE)
    assert [source.name for source in settings.sources] == ["cell-a"]
    assert settings.the_erp is not None
    turned = SAMPLE.replace('id = "SZ1"\nenterprise = "ACME"', 'enterprise = "ACME"\nid = "SZ1"')
    assert parse(turned).digest == settings.digest
    assert parse(SAMPLE.replace("8000", "8001")).digest != settings.digest


def test_a_wrong_file_ends_with_2_and_starts_nothing(tmp_path: Path) -> None:
    wrong = tmp_path / "andon.toml"
    wrong.write_text('[stroe]\npath = "x"\n')
    for command in (["check", str(wrong)], ["up", "--config", str(wrong)]):
        done = subprocess.run(
            [sys.executable, "-m", "gateway.cli.main", *command],
            capture_output=True,
            text=True,
            check=False,
            cwd=tmp_path,
        )
        assert done.returncode == 2
        assert 'andon.toml:1: stroe: unknown table (did you mean "store"?)' in done.stderr
        assert done.stdout == ""
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["andon.toml"]


def test_help_loads_nothing_heavy() -> None:
    code = (
        "import sys; from click.testing import CliRunner; from gateway.cli.main import andon; "
        "r = CliRunner().invoke(andon, ['orders', '--help']); assert r.exit_code == 0, r.output; "
        "heavy = {'torch', 'transformers', 'asyncua', 'litestar', 'sqlalchemy', 'numpy'} & set(sys.modules); "
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True)
