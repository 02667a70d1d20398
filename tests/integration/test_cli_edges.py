"""Commands at the edge: empty stores, nonsense, unknown names; a message and an exit code, never a trace."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from gateway.cli.audit import cli as audit
from gateway.cli.common import moment
from gateway.cli.main import andon
from gateway.cli.orders import cli as orders
from gateway.cli.replay import cli as replay

FILE = """
[site]
id = "SZ1"
[store]
path = "{path}"
[[asset]]
id = "M-1"
"""


@pytest.fixture
def config(tmp_path: Path) -> str:
    file = tmp_path / "andon.toml"
    file.write_text(FILE.format(path=tmp_path / "data"))
    assert CliRunner().invoke(andon, ["db", "upgrade", "-c", str(file)]).exit_code == 0
    return str(file)


def test_an_order_that_nobody_knows_is_said_to_be_unknown(config: str) -> None:
    done = CliRunner().invoke(orders, ["redeliver", "NOPE", "NOPE", "-c", config])
    assert done.exit_code == 5
    assert done.output.count("NOPE: there is no such order") == 1


@pytest.mark.parametrize(
    "since", ["nonsense", "99999999999d", "99999999999999999999d", "0001-01-01T00:00", "9999-12-31T23:59-14:00", "-2h"]
)
def test_a_time_that_is_none_is_a_wrong_option(config: str, since: str) -> None:
    done: Result = CliRunner().invoke(replay, [f"--since={since}", "--stage", "deliver", "-c", config])
    assert done.exit_code == 2, done.output
    assert done.exception is None or isinstance(done.exception, SystemExit)


def test_a_replay_of_an_empty_store_finds_nothing(config: str) -> None:
    done = CliRunner().invoke(replay, ["--since=2h", "--stage", "deliver", "-o", "json", "-c", config])
    assert (done.exit_code, done.output.strip()) == (0, "[]")


@pytest.mark.parametrize("after", ["-1", "99999999999999999999"])
def test_a_line_number_that_no_trail_has_is_a_wrong_option(config: str, after: str) -> None:
    assert CliRunner().invoke(audit, ["list", f"--after={after}", "-c", config]).exit_code == 2


@pytest.mark.parametrize("number", ["0", "9" * 18, "9" * 30, "-1", "²", "1.0"])
def test_a_number_that_no_batch_has_is_not_set_aside(config: str, number: str) -> None:
    shown = CliRunner().invoke(andon, ["dlq", "show", f"batch:{number}", "-c", config])
    assert (shown.exit_code, shown.output.count("is not set aside")) == (3, 1)
    again = CliRunner().invoke(andon, ["dlq", "retry", f"batch:{number}", "-c", config])
    assert (again.exit_code, again.output.count("is not set aside")) == (5, 1)


@pytest.mark.parametrize(
    "words", [("orders", "show"), ("verify",), ("dlq", "show"), ("production", "show"), ("events", "enable")]
)
def test_a_word_that_is_no_text_is_a_wrong_argument(config: str, words: tuple[str, ...]) -> None:
    done = CliRunner().invoke(andon, [*words, os.fsdecode(b"AN\xff"), "-c", config])
    assert done.exit_code == 2
    assert "is not UTF-8" in done.output


def test_a_long_age_is_a_time() -> None:
    assert moment("365d").year >= 2024


HANGS = """
import asyncio, sys, threading
from concurrent.futures import ThreadPoolExecutor
from gateway.cli import process, up

async def run(settings, ready):
    asyncio.get_running_loop().run_in_executor(ThreadPoolExecutor(1), threading.Event().wait)
    raise ZeroDivisionError

process.run = run
up.cli(["-c", sys.argv[1]])
"""


def test_a_bug_ends_the_process_also_while_a_model_hangs_in_its_thread(config: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", HANGS, config], capture_output=True, text=True, timeout=30, check=False
    )
    assert (done.returncode, "ZeroDivisionError" in done.stderr) == (1, True), done.stderr


def test_what_is_logged_does_not_come_between_the_rows(config: str, tmp_path: Path) -> None:
    (tmp_path / "data" / "andon.db").write_bytes(b"not a database at all " * 500)
    command = [sys.executable, "-m", "gateway.cli.main", "orders", "list", "-o", "json", "-c", config]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, "[]")
    assert "store.damaged" in done.stderr
