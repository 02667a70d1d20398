"""The mistakes of a first day end with the right code, and say what to do next."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.cli.configuring import print_told
from gateway.runtime.reload import Told
from tests.libmodbus import TcpServer, missing
from tests.line_rigs import free_port

HEAD = '[[asset]]\nid = "M-07"\n\n[line.a]\nprotocol = "opcua"\ninsecure = true\n'


def andon(folder: Path, *words: str) -> tuple[int, str]:
    """Run a command as a shell does; gives the exit code and what was said."""
    command = [sys.executable, "-m", "gateway.cli.main", *words]
    env = {name: value for name, value in os.environ.items() if not name.startswith("ANDON_")}
    env["PYTHONPATH"] = str(Path(__file__).parents[2])
    done = subprocess.run(
        command,
        check=False,
        cwd=folder,
        env=env,
        text=True,
        capture_output=True,
        timeout=120,
        stdin=subprocess.DEVNULL,
    )
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        ("discover opcua 127.0.0.1:4840", 2, "for example opc.tcp://"),
        ("discover opcua http://127.0.0.1:4840", 2, "for example opc.tcp://"),
        ("discover opcua opc.tcp://127.0.0.1:{free} --pki nowhere", 75, "nothing listens there"),
        ("discover modbus tcp://127.0.0.1:{free} --units 1..2", 75, "nothing listens there"),
        ("cert show nowhere", 2, "andon cert new"),
    ],
)
def test_what_is_mistyped_is_named_and_no_traceback_is_shown(tmp_path: Path, words: str, code: int, said: str) -> None:
    given = words.format(free=free_port()).split()
    ended, told = andon(tmp_path, *given)
    assert (ended, "Traceback" in told) == (code, False), told
    assert said in told


@pytest.mark.skipif(bool(missing()), reason=missing())
def test_a_modbus_unit_that_is_not_there_is_no_success(tmp_path: Path) -> None:
    server = TcpServer()
    asyncio.run(server.start())
    try:
        look = ("discover", "modbus", server.url, "--timeout", "100")
        ended, told = andon(tmp_path, *look, "--units", "20..21")
        assert (ended, "none of the units 20..21 answers" in told) == (75, True), told
        ended, told = andon(tmp_path, *look, "--unit", "20", "--registers", "1..2")
        assert (ended, "another unit number" in told) == (75, True), told
        ended, told = andon(tmp_path, *look, "--unit", "1", "--registers", "20000..20001", "--save", "table.csv")
        assert (ended, "none of these registers" in told) == (1, True), told
        assert not (tmp_path / "table.csv").exists()
        settings = HEAD.replace("opcua", "modbus").replace("insecure = true", f'endpoint = "{server.url}"')
        tag = 'tag = [{ asset = "M-07", tag = "speed", address = "holding:@10", low = 20, high = 30 }]\n'
        (tmp_path / "andon.toml").write_text(settings + tag, "utf-8")
        ended, told = andon(tmp_path, "check", "--live")
        assert (ended, "out of range (20 to 30): 10" in told) == (6, True), told
    finally:
        server.end()


def test_a_tag_table_says_what_stands_in_the_cell_and_how_it_is_to_be_saved(tmp_path: Path) -> None:
    (tmp_path / "andon.toml").write_text(HEAD + 'endpoint = "opc.tcp://127.0.0.1:4840"\ntags = "tags.csv"\n', "utf-8")
    (tmp_path / "tags.csv").write_text('asset;tag;address;low\nM-07;a;"nsu=urn:x;s=a";1,5\n', "utf-8")
    ended, told = andon(tmp_path, "check")
    assert ended == 2
    assert "tags.csv:2: column 4 (low)" in told and "'1,5'; a decimal point is wanted" in told
    (tmp_path / "tags.csv").write_bytes("asset,tag,address,unit\nM-07,a,nsu=urn:x;s=a,°C\n".encode("latin-1"))
    ended, told = andon(tmp_path, "check")
    assert (ended, "tags.csv:2: not UTF-8 text: save" in told) == (2, True), told


def test_an_endpoint_that_is_none_is_answered_with_an_example(tmp_path: Path) -> None:
    (tmp_path / "andon.toml").write_text(HEAD + 'endpoint = "http://plc"\ntag = []\n', "utf-8")
    ended, told = andon(tmp_path, "check")
    assert (ended, "for example opc.tcp://" in told) == (2, True), told


def test_a_plan_without_a_change_says_that_there_is_nothing_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    print_told(Told("plan", "c0ffee", "c0ffee"), "text")
    assert capsys.readouterr().out == "nothing to do; c0ffee runs\n"
    print_told(Told("plan", "c0ffee", "decade"), "text")
    assert "not applied yet" in capsys.readouterr().out
