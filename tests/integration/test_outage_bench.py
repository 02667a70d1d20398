"""Cut off for two days: nothing is lost, nothing is there twice."""

import pytest

from tests.bench_rows import bench


@pytest.mark.timeout(600)
def test_two_days_of_outage_are_drained_in_order_though_the_erp_forgot_its_keys() -> None:
    rows = {row["name"]: row for row in bench("outage.py", "--quick")}
    assert [rows[name]["ours"] for name in ("lost", "duplicates", "assets out of order")] == [0, 0, 0], rows
