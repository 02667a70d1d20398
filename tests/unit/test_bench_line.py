"""The benches of the line: their rows have names, and their load source speaks OPC UA as the library does."""

import subprocess
import sys
from pathlib import Path

import pytest

BENCH = Path(__file__).parents[2] / "bench"


@pytest.mark.parametrize("tags", [1, 20, 333])
def test_what_the_load_source_sends_is_what_the_library_would_send(tags: int) -> None:
    command = [sys.executable, str(BENCH / "lines" / "opcua_load.py"), "--check", "--tags", str(tags)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr


def test_every_row_of_the_line_says_what_it_measures() -> None:
    command = [sys.executable, str(BENCH / "line.py"), "--list"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    rows = dict(line.split(maxsplit=1) for line in done.stdout.splitlines())
    assert {
        "opcua-5000",
        "opcua-20000",
        "opcua-far",
        "outage",
        "payload",
        "modbus",
        "modbus-far",
        "modbus-dead",
    } <= set(rows)
    assert all(rows.values())
