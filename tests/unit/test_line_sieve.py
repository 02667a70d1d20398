"""The sieve: rules, deadband and heartbeat of values that come one by one."""

from datetime import UTC, datetime, timedelta

import pytest

from connectors.line.sieve import Sieve
from connectors.line.tags import Tag
from gateway.core.reading import Quality, Reading
from gateway.core.units import Duration

NOW = datetime(2026, 3, 18, tzinfo=UTC)


def reading(value: float | None, second: float = 0, why: str = "") -> Reading:
    at = NOW + timedelta(seconds=second)
    return Reading("A", "a", value, "", Quality.BAD if why else Quality.GOOD, at, None, at, why)


def test_a_ramp_is_seen_through_a_deadband() -> None:
    sieve, tag = Sieve(), Tag(asset="A", tag="a", address="x", deadband=2.5)
    assert [value for value in range(10) if sieve.sift(tag, reading(value, value))[1]] == [0, 3, 6, 9]
    assert sieve.sift(tag, reading(None, 10, "out of range"))[1]
    assert not sieve.sift(tag, reading(None, 11, "out of range"))[1]


def test_a_value_that_changes_too_fast_is_bad_and_never_a_number() -> None:
    sieve, tag = Sieve(), Tag(asset="A", tag="a", address="x", most_rate=1)
    assert sieve.sift(tag, reading(1, 0))[0].quality is Quality.GOOD
    judged, sends = sieve.sift(tag, reading(50, 1))
    assert sends and (judged.quality, judged.value, judged.why) == (Quality.BAD, None, "changes too fast")


@pytest.mark.pain(12, 15)
def test_silence_is_said_once_and_a_heartbeat_is_no_sample() -> None:
    sieve, tag = Sieve(), Tag(asset="A", tag="a", address="x", stuck=Duration(10), heartbeat=Duration(60))
    sieve.sift(tag, reading(5))
    assert not list(sieve.passed(NOW + timedelta(seconds=5)))
    [stuck] = sieve.passed(NOW + timedelta(seconds=11))
    assert (stuck.quality, stuck.why, stuck.repeated, stuck.sourced_at) == (Quality.UNCERTAIN, "stuck", False, NOW)
    assert not list(sieve.passed(NOW + timedelta(seconds=20)))
    [beat] = sieve.passed(NOW + timedelta(seconds=80))
    assert beat.repeated and beat.sourced_at == NOW and beat.value == 5


def test_a_value_that_lives_again_is_sent_though_it_moved_by_less_than_the_deadband() -> None:
    sieve, tag = Sieve(), Tag(asset="A", tag="a", address="x", deadband=2.5, stuck=Duration(10))
    sieve.sift(tag, reading(5))
    assert [it.why for it in sieve.passed(NOW + timedelta(seconds=11))] == ["stuck"]
    alive, sends = sieve.sift(tag, reading(6, 12))
    assert sends and alive.quality is Quality.GOOD


def test_a_step_that_looked_like_a_spike_is_given_back_when_it_stays() -> None:
    sieve, tag = Sieve(), Tag(asset="A", tag="a", address="x", spike=6)
    for second in range(30):
        sieve.sift(tag, reading(20 + second % 2 / 10, second))
    judged, _ = sieve.sift(tag, reading(90, 30))
    assert (judged.quality, judged.why) == (Quality.BAD, "spike")
    [back] = sieve.passed(NOW + timedelta(seconds=60))
    assert (back.value, back.quality, back.why, back.repeated) == (90, Quality.GOOD, "", False)
    assert not list(sieve.passed(NOW + timedelta(seconds=61)))


def test_a_bad_value_is_not_said_again() -> None:
    sieve, tag = Sieve(), Tag(asset="A", tag="a", address="x", heartbeat=Duration(10))
    sieve.sift(tag, reading(None, 0, "the device is dead"))
    assert not list(sieve.passed(NOW + timedelta(seconds=60)))


def test_what_a_rule_finds_is_counted_by_tag() -> None:
    found: list[tuple[str, str]] = []
    sieve = Sieve(lambda tag, rule: found.append((tag.name, rule)))
    tag = Tag(asset="A", tag="a", address="x", most_rate=1, stuck=Duration(10))
    sieve.sift(tag, reading(1, 0))
    sieve.sift(tag, reading(50, 1))
    sieve.sift(tag, reading(1, 2))
    list(sieve.passed(NOW + timedelta(seconds=30)))
    assert found == [("A/a", "changes too fast"), ("A/a", "stuck")]


@pytest.mark.pain(12, 15)
def test_a_value_that_is_stale_is_no_sign_of_life() -> None:
    sieve, tag = Sieve(), Tag(asset="A", tag="a", address="x", heartbeat=Duration(10), stale_after=Duration(25))
    sieve.sift(tag, reading(5))
    said = [second for second in range(1, 60) if list(sieve.passed(NOW + timedelta(seconds=second)))]
    assert said == [10, 20]
