"""Runs a bench as a user does, and ends with it whatever it has started."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
SEED = os.environ.get("ANDON_SEED", "20261121")


def bench(name: str, *options: str) -> list[dict[str, Any]]:
    """Give the rows of a bench: what is counted stands in the ERP's own database."""
    command = [sys.executable, str(ROOT / "bench" / name), "-o", "json", *options]
    given = {**os.environ, "OMP_NUM_THREADS": "1"}
    pipe = subprocess.PIPE
    child = subprocess.Popen(command, cwd=ROOT, env=given, stdout=pipe, stderr=pipe, text=True, start_new_session=True)
    try:
        told, complaints = child.communicate(timeout=1700)
    finally:
        if child.poll() is None:  # its gateways and its ERP end with it
            os.killpg(child.pid, signal.SIGKILL)
            child.communicate()
    assert told, complaints[-3000:]
    rows: list[dict[str, Any]] = json.loads(told.splitlines()[-1])["rows"]
    return rows
