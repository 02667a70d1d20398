"""Killed at random under load: nothing is lost, nothing is there twice."""

import pytest

from tests.bench_rows import SEED, bench


@pytest.mark.kill
@pytest.mark.timeout(1800)
def test_sixty_kills_under_load_lose_nothing_and_double_nothing_by_any_strategy() -> None:
    rows = bench("crash.py", "--only", "kills", "--seed", SEED)
    assert [row for row in rows if row["ours"] != 0 or row["ok"] is not True] == []
    assert [row["name"].split(":")[0] for row in rows[::2]] == ["header", "upsert", "client_id", "lookup"]
    # The same ERP, the same faults, as many kills: an integration as it is written first.
    assert all(row["baseline"] > 0 for row in rows[1::2]), rows
