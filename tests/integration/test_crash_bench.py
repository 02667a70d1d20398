"""Killed at random, killed at every call, cut off for two days: nothing is lost, nothing is there twice.

The figures are those of `bench/crash.py` and `bench/outage.py`, run as the README says: what is counted stands in
the ERP's own database.
"""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
SEED = os.environ.get("ANDON_SEED", "20261121")


def bench(name: str, *options: str) -> list[dict[str, Any]]:
    """Run a bench as a user does; gives its rows."""
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


@pytest.mark.kill
@pytest.mark.timeout(1800)
def test_sixty_kills_under_load_lose_nothing_and_double_nothing_by_any_strategy() -> None:
    rows = bench("crash.py", "--only", "kills", "--seed", SEED)
    assert [row for row in rows if row["ours"] != 0 or row["ok"] is not True] == []
    assert [row["name"].split(":")[0] for row in rows[::2]] == ["header", "upsert", "client_id", "lookup"]
    # The same ERP, the same faults, as many kills: an integration as it is written first.
    assert all(row["baseline"] > 0 for row in rows[1::2]), rows


@pytest.mark.kill
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("strategy", ["header", "lookup"])
def test_a_kill_at_any_call_of_accept_and_deliver_does_no_harm(strategy: str) -> None:
    [row] = bench("crash.py", "--only", "points", "--strategy", strategy)
    if row["ours"] is None:
        pytest.skip(row["note"])
    assert (row["ours"], row["ok"]) == (0, True), row
    points = int(row["note"].split()[0])
    assert points > 50, row


@pytest.mark.timeout(600)
def test_two_days_of_outage_are_drained_in_order_though_the_erp_forgot_its_keys() -> None:
    rows = {row["name"]: row for row in bench("outage.py", "--quick")}
    assert [rows[name]["ours"] for name in ("lost", "duplicates", "assets out of order")] == [0, 0, 0], rows
