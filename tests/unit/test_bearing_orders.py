"""Bearing kinematics and the table of designations."""

import pytest

from gateway.core.asset import Asset, Bearing
from gateway.core.errors import Misconfigured
from gateway.diagnosis.bearing import DESIGNATIONS, check_bearing, find_bearing, known_bearings, orders_of


@pytest.mark.parametrize(
    ("name", "outer", "inner", "spin", "cage"),
    [("6205", 3.585, 5.415, 2.357, 0.398), ("6203", 3.053, 4.947, 1.994, 0.382)],
)
def test_the_orders_are_those_checked_on_recordings(
    name: str, outer: float, inner: float, spin: float, cage: float
) -> None:
    bearing = find_bearing(name)
    assert bearing is not None
    found = orders_of(bearing)
    assert (found.bpfo, found.bpfi, found.bsf, found.ftf) == pytest.approx((outer, inner, spin, cage), abs=6e-4)


def test_every_bearing_of_the_table_is_possible() -> None:
    for name, bearing in known_bearings().items():
        found = orders_of(bearing)
        assert bearing.ball_mm < bearing.pitch_mm, name
        assert found.bpfo + found.bpfi == pytest.approx(bearing.balls), name
        assert 0.3 < found.ftf < 0.5, name


@pytest.mark.parametrize("written", ["6205", "6205-2RS", "SKF 6205-2RS JEM", "6205 2Z/C3", "6205.2RS"])
def test_a_designation_is_found_with_its_suffixes_and_maker(written: str) -> None:
    assert find_bearing(written) == known_bearings()["6205"]


@pytest.mark.parametrize("written", ["", "62050", "16205", "unknown"])
def test_what_only_looks_like_a_designation_is_not_found(written: str) -> None:
    assert find_bearing(written) is None


def test_a_geometry_is_taken_as_it_is() -> None:
    own = Bearing(balls=9, ball_mm=7.9, pitch_mm=39.0)
    assert find_bearing(own) is own
    assert "6205" in DESIGNATIONS


def test_an_unknown_bearing_is_misconfigured_with_an_example() -> None:
    with pytest.raises(Misconfigured, match="balls = 9"):
        check_bearing(Asset(id="M", bearing="9999X"))
