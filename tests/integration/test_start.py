"""What is said before anything is started: wrong settings, missing secrets, a store that is taken."""

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.rig import launch

ERP = """
[erp.main]
protocol = "rest"
base_url = "http://127.0.0.1:9"
token_url = "http://127.0.0.1:9/token"
client_id = "andon"
client_secret = { env = "ANDON_TEST_ABSENT" }
"""
WORDS = '[api]\nport = 0\n[language]\nengine = "lite"\n[store]\npath = "store"\n'


def andon(folder: Path, *arguments: str, given: str = "", **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "gateway.cli.main", *arguments],
        input=given, capture_output=True, text=True, check=False, cwd=folder, timeout=60, env={**os.environ, **env},
    )  # fmt: skip


def test_a_missing_secret_is_named_with_its_line_by_check_and_up(tmp_path: Path) -> None:
    (tmp_path / "andon.toml").write_text(ERP)
    for command in ("check", "up"):
        done = andon(tmp_path, command)
        assert done.returncode == 2
        assert "andon.toml:7: erp.main.client_secret: environment variable ANDON_TEST_ABSENT is not set" in done.stderr
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["andon.toml"]
    assert andon(tmp_path, "check", ANDON_TEST_ABSENT="x").returncode == 0


def test_a_mapping_from_a_field_that_no_order_has_is_named_by_check(tmp_path: Path) -> None:
    (tmp_path / "andon.toml").write_text(ERP + '[erp.main.mapping]\nreference = "key"\nfoo = "barz"\n')
    done = andon(tmp_path, "check", ANDON_TEST_ABSENT="x")
    assert done.returncode == 2
    assert "foo" in done.stderr
    assert "Traceback" not in done.stderr


def test_faults_between_tables_are_named_beside_faults_within_them(tmp_path: Path) -> None:
    text = (
        '[site]\ntimezone = "Mars/Base"\nid = 7\n[[asset]]\nid = "A"\nkind = 3\n[[asset]]\nid = "A"\nbearing = "9999"\n'
    )
    (tmp_path / "andon.toml").write_text(text)
    said = andon(tmp_path, "check").stderr
    for fault in ("site.timezone", "site.id", "asset[0].kind", "asset[1].id", "asset[1].bearing"):
        assert fault in said


async def test_a_second_gateway_on_the_same_store_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "andon.toml").write_text(WORDS.replace('"store"', f'"{tmp_path}/store"'))
    first = await launch(tmp_path / "first.log", "gateway.cli.main", "up", "-c", str(tmp_path / "andon.toml"))
    try:
        second = andon(tmp_path, "up")
        assert second.returncode == 2
        assert "another gateway runs on it" in second.stderr
        assert "Traceback" not in second.stderr
        assert andon(tmp_path, "orders", "list").returncode == 0
    finally:
        assert await first.stop() == 0


def test_parse_reads_lines_that_hold_more_than_a_report(tmp_path: Path) -> None:
    (tmp_path / "site.toml").write_text('[site]\n[[asset]]\nid = "P-1"\naliases = ["pump 1"]\n')
    told = {
        "id": "r1",
        "text": "pump 1 leaks",
        "reported_at": "2026-03-18T15:30:00+08:00",
        "lang": "en",
        "gold": {"a": 1},
    }
    done = andon(tmp_path, "report", "parse", "--site", "site.toml", "-o", "jsonl", given=json.dumps(told) + "\n")
    assert (done.returncode, done.stderr) == (0, "")
    read = json.loads(done.stdout)
    assert (read["asset"], read["failure_modes"]) == ("P-1", ["LEAK"])
