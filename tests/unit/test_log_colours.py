"""Logs in columns: painted on a terminal, and plain where they go into a file or a pipe."""

import os
import pty
import subprocess
import sys
from pathlib import Path

SAID = (
    "import structlog; from gateway.runtime.logs import configure; configure('INFO', json=False); "
    "structlog.get_logger().warning('delivery.parked', order='AN1')"
)
COMMAND = [sys.executable, "-c", SAID]
KNOWN = {name: value for name, value in os.environ.items() if name not in {"NO_COLOR", "FORCE_COLOR"}}


def test_columns_in_a_file_hold_no_colours(tmp_path: Path) -> None:
    file = tmp_path / "andon.log"
    with file.open("wb") as log:
        subprocess.run(COMMAND, stderr=log, env=KNOWN, timeout=60, check=True)
    told = file.read_text()
    assert "delivery.parked" in told and "order=AN1" in told
    assert "\x1b" not in told


def test_columns_on_a_terminal_are_painted() -> None:
    ours, theirs = pty.openpty()
    try:
        subprocess.run(COMMAND, stderr=theirs, env=KNOWN, timeout=60, check=True)
        assert b"\x1b[" in os.read(ours, 4096)
    finally:
        os.close(ours)
        os.close(theirs)
