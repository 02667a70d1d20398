"""Killed at every call of accept-and-deliver: nothing is lost, nothing is there twice."""

import pytest

from tests.bench_rows import bench


@pytest.mark.kill
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("strategy", ["header", "upsert", "client_id", "lookup"])
def test_a_kill_at_any_call_of_accept_and_deliver_does_no_harm(strategy: str) -> None:
    [row] = bench("crash.py", "--only", "points", "--strategy", strategy)
    if row["ours"] is None:
        pytest.skip(row["note"])
    assert (row["ours"], row["ok"]) == (0, True), row
    points = int(row["note"].split()[0])
    assert points > 50, row
