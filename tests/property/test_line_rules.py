"""Rules over time: what they find, what they leave alone, what time alone tells; heartbeats are no samples."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.line.board import Board
from connectors.line.column import Column
from connectors.line.judge import Judge
from connectors.line.rules import MISSING, SPIKE, STUCK, TOO_FAST, Watch, faults
from connectors.line.tags import Tag, Times
from gateway.core.reading import Quality, Reading
from gateway.core.series import NEVER, ticks
from gateway.core.units import Duration

NOW = datetime(2026, 3, 18, 6, 30, tzinfo=UTC)
SECOND = 1_000_000
SIGNAL = st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=60)


def tag(**rules: object) -> Tag:
    return Tag(asset="A", tag="t", address="x", **rules)  # type: ignore[arg-type]  # a table of rules, each of its type


def watch(**rules: object) -> Watch:
    return Watch(tag(**rules))


def walk(subject: Watch, values: Sequence[float], step: int = SECOND) -> list[str]:
    """Judge values that come at an even pace; receive time is a minute behind the source's clock."""
    return [subject.judge(value, number * step, number * step + 60 * SECOND) for number, value in enumerate(values)]


@given(SIGNAL, st.floats(0.1, 1e5))
def test_no_two_believed_values_are_further_apart_than_the_rate_allows(values: list[float], rate: float) -> None:
    found = walk(watch(most_rate=rate), values)
    believed = [(at, value) for at, (value, rule) in enumerate(zip(values, found, strict=True)) if rule != TOO_FAST]
    assert found[0] == ""
    assert all(abs(b - a) <= rate * (later - at) * (1 + 1e-9) for (at, a), (later, b) in pairwise(believed))


@given(st.floats(-1e5, 1e5), st.floats(1, 1e5), st.floats(1, 1e4))
def test_a_real_step_is_believed_when_time_has_passed(start: float, height: float, rate: float) -> None:
    patience = int(height / rate) + 2
    found = walk(watch(most_rate=rate), [start] + [start + height] * patience)
    assert found[-1] == ""


def test_a_value_that_comes_late_or_twice_is_not_too_fast() -> None:
    subject = watch(most_rate=1.0)
    assert [subject.judge(value, at, at) for value, at in ((0.0, SECOND), (50.0, SECOND), (9.0, 0))] == ["", "", ""]


def test_a_clock_that_was_set_back_starts_the_rules_anew() -> None:
    subject = watch(most_rate=1.0, stuck=Duration(5), missing=0.2, every=Duration(1), missing_span=Duration(10))
    walk(subject, [4.0] * 3, step=3600 * SECOND)
    found = [subject.judge(value, at * SECOND, 9_000 * SECOND) for value, at in ((9.0, 10), (90.0, 11), (9.0, 12))]
    assert found == ["", TOO_FAST, ""]
    assert [subject.judge(9.0, at * SECOND, 9_000 * SECOND) for at in (13, 14, 15)] == ["", "", ""]
    assert subject.judge(9.0, 17 * SECOND, 9_000 * SECOND) == STUCK


@given(st.lists(st.floats(-1, 1), min_size=9, max_size=30), st.floats(50, 1e6), st.booleans())
def test_a_single_value_that_leaves_and_returns_is_a_spike(noise: list[float], height: float, down: bool) -> None:  # noqa: FBT001 (drawn)
    subject = watch(spike=6.0, spike_window=9, deadband=1.0)
    found = walk(subject, [*noise, -height if down else height, noise[0]])
    assert found[-2:] == [SPIKE, ""]
    assert SPIKE not in found[:-2]


@given(st.lists(st.floats(-1, 1), min_size=9, max_size=9), st.floats(50, 1e6), st.integers(2, 9))
def test_a_step_costs_one_value_and_is_then_the_new_level(noise: list[float], height: float, count: int) -> None:
    found = walk(watch(spike=6.0, spike_window=9, deadband=1.0), [*noise, *[height] * count])
    assert found == [""] * 9 + [SPIKE] + [""] * (count - 1)


def test_a_wider_window_takes_less_noise_for_spikes() -> None:
    noise = np.random.default_rng(7).normal(size=20_000).tolist()
    rejected = [walk(watch(spike=6.0, spike_window=window), noise).count(SPIKE) for window in (9, 21)]
    assert rejected[1] < 20_000 * 0.002 < rejected[0]


@given(SIGNAL)
def test_spikes_do_not_depend_on_the_sign(values: list[float]) -> None:
    assert walk(watch(spike=4.0, spike_window=9), values) == walk(
        watch(spike=4.0, spike_window=9), [-value for value in values]
    )


def test_a_spike_that_nothing_follows_was_a_step() -> None:
    subject = watch(spike=6.0, spike_window=9)
    assert walk(subject, [20.0] * 9 + [90.0])[-1] == SPIKE
    heard = 9 * SECOND + 60 * SECOND
    assert subject.passed(heard + SECOND) is None
    assert subject.passed(heard + 6 * SECOND) == ""
    assert subject.passed(heard + 60 * SECOND) is None
    assert subject.judge(90.1, 80 * SECOND, 140 * SECOND) == ""


@given(st.lists(st.integers(0, 3), min_size=1, max_size=80), st.integers(1, 12))
def test_stuck_is_found_exactly_when_one_value_lasted(values: list[int], seconds: int) -> None:
    found = walk(watch(stuck=Duration(seconds)), [float(value) for value in values])
    for place, rule in enumerate(found):
        same = next((back for back in range(place, -1, -1) if values[back] != values[place]), -1)
        assert (rule == STUCK) == (place - same - 1 >= seconds)


def test_a_living_signal_that_falls_silent_is_stuck_by_our_clock_once() -> None:
    subject = watch(stuck=Duration(30))
    subject.judge(4.0, 1000 * SECOND, 5 * SECOND)
    assert subject.passed(30 * SECOND) is None
    assert subject.passed(35 * SECOND) == STUCK
    assert subject.passed(36 * SECOND) is None
    assert subject.judge(4.1, 1100 * SECOND, 105 * SECOND) == ""


@given(st.lists(st.floats(-0.4, 0.4), min_size=200, max_size=200), st.sampled_from([0.0, 0.1, 0.5]))
def test_an_even_pace_lacks_nothing(jitter: list[float], ratio: float) -> None:
    subject = watch(missing=ratio, every=Duration(1), missing_span=Duration(20))
    for number, shift in enumerate(jitter):
        at = int((number + shift) * SECOND) + SECOND
        assert subject.judge(float(number), at, at) == ""


@settings(max_examples=60)
@given(st.integers(2, 9), st.sampled_from([0.1, 0.3, 0.5]))
def test_too_few_samples_are_missed_and_enough_make_it_good_again(keep: int, ratio: float) -> None:
    """Of every ten samples `keep` come."""
    subject = watch(missing=ratio, every=Duration(1), missing_span=Duration(60))
    found = [subject.judge(float(n), n * SECOND, n * SECOND) for n in range(300) if n % 10 < keep]
    assert (MISSING in found) == (1 - keep / 10 - 1 / 60 > ratio + 1e-9)
    again = [subject.judge(float(n), n * SECOND, n * SECOND) for n in range(300, 420)]
    assert again[-1] == ""


def test_a_tag_that_says_nothing_any_more_lacks_samples() -> None:
    subject = watch(missing=0.5, every=Duration(1), missing_span=Duration(60))
    walk(subject, [float(number) for number in range(61)])
    assert subject.passed(120 * SECOND + 20 * SECOND) is None
    assert subject.passed(120 * SECOND + 40 * SECOND) == MISSING


def test_rules_that_cannot_work_are_named() -> None:
    blind = tag(missing=0.2)
    assert "needs every" in faults([blind])[0]
    assert faults([blind], 1.0) == []
    assert "must hold" in faults([blind], 60.0)[0]


# What a rule finds, on its way out.


def column(values: Sequence[float], seconds: Sequence[float]) -> Column:
    stamps = np.array([ticks(NOW + timedelta(seconds=second)) for second in seconds])
    return Column(np.zeros(len(values), np.int64), np.array(values), stamps, stamps)


def judge_of(one: Tag, **more: float) -> tuple[Judge, Board]:
    board = Board("s", [one])
    return Judge([one], board, **more), board


def readings(judge: Judge, values: Sequence[float], seconds: Sequence[float]) -> list[Reading]:
    at = NOW + timedelta(seconds=seconds[-1])
    return [reading for block in judge.series([column(values, seconds)], at, 3) for reading in block.readings()]


def after(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def test_what_a_rule_finds_lowers_the_quality_and_is_counted() -> None:
    judge, board = judge_of(tag(most_rate=2.0, stuck=Duration(3)))
    found = readings(judge, [1.0, 50.0, 1.0, 1.0, 1.0, 1.0], range(6))
    assert [(it.value, it.quality.name, it.why) for it in found] == [
        (1.0, "GOOD", ""),
        (None, "BAD", TOO_FAST),
        (1.0, "GOOD", ""),
        (1.0, "GOOD", ""),
        (1.0, "GOOD", ""),
        (1.0, "UNCERTAIN", STUCK),
    ]
    assert board.found() == {("A/t", TOO_FAST): 1, ("A/t", STUCK): 1}
    assert board.states()[0].detail == "last finding: stuck (1 in all)"


def test_the_servers_own_doubt_stays_its_own() -> None:
    judge, _ = judge_of(tag(stuck=Duration(1)))
    doubted = column([4.0, 4.0], [0, 5])._replace(
        qualities=np.array([1, 1], np.uint8), whys=np.full(2, judge.words.number("UncertainLastUsableValue"), np.int32)
    )
    [block] = judge.series([doubted], after(5), 1)
    assert [reading.why for reading in block.readings()] == ["UncertainLastUsableValue"] * 2


def test_what_time_alone_finds_changes_the_quality_of_the_last_value() -> None:
    judge, board = judge_of(tag(stuck=Duration(30)))
    readings(judge, [4.0], [0])
    assert judge.heartbeats(after(20)) == ([], [])
    [block], _ = judge.heartbeats(after(31))
    [reading] = block.readings()
    assert (reading.value, reading.quality, reading.why) == (4.0, Quality.UNCERTAIN, STUCK)
    assert (reading.sourced_at, reading.received_at, reading.repeated) == (NOW, after(31), False)
    assert judge.heartbeats(after(40)) == ([], [])
    assert board.found() == {("A/t", STUCK): 1}
    assert readings(judge, [4.5], [41])[0].quality is Quality.GOOD


def test_a_spike_that_stays_is_taken_back() -> None:
    judge, board = judge_of(tag(spike=6.0, spike_window=9))
    found = readings(judge, [20.0] * 9 + [90.0], range(10))
    assert (found[-1].value, found[-1].why) == (None, SPIKE)
    assert not board.states()[0].healthy
    [block], _ = judge.heartbeats(after(20))
    [reading] = block.readings()
    assert (reading.value, reading.quality, reading.at, reading.repeated) == (90.0, Quality.GOOD, after(9), False)
    assert board.states()[0].healthy


@pytest.mark.pain(15)
def test_a_heartbeat_says_the_last_value_again_with_the_stamps_that_it_had_and_is_no_sample() -> None:
    judge, board = judge_of(tag(heartbeat=Duration(30), stuck=Duration(1000), deadband=1.0))
    readings(judge, [4.0, 4.5], [0, 1])
    assert judge.heartbeats(after(30)) == ([], [])
    [block], _ = judge.heartbeats(after(32))
    [reading] = block.readings()
    assert (reading.value, reading.repeated) == (4.0, True)
    assert (reading.sourced_at, reading.served_at, reading.received_at, reading.at) == (NOW, NOW, after(32), NOW)
    assert judge.heartbeats(after(40)) == ([], [])
    assert len(judge.heartbeats(after(62))[0]) == 1
    assert board.states()[0].last_at == after(1)
    assert readings(judge, [4.6], [70]) == [], "the deadband knows nothing of heartbeats"


def test_a_tag_that_is_ill_is_not_said_again() -> None:
    judge, board = judge_of(tag(), heartbeat=30.0)
    readings(judge, [4.0], [0])
    board.fail(0, "BadNodeIdUnknown")
    assert judge.heartbeats(after(60)) == ([], [])


def test_texts_have_heartbeats_too_and_the_latest_word_counts() -> None:
    judge, _ = judge_of(tag(), heartbeat=30.0)
    judge.text(0, "run", Quality.GOOD, "", Times(NOW, None, NOW), 1)
    _, [again] = judge.heartbeats(after(31))
    assert (again.value, again.repeated, again.sourced_at, again.received_at) == ("run", True, NOW, after(31))
    readings(judge, [1.0], [32])
    [block], words = judge.heartbeats(after(70))
    assert ([reading.value for reading in block.readings()], words) == ([1.0], [])


# How old a value may be.


def test_a_keep_alive_confirms_a_source_but_not_a_tag_that_must_speak_itself() -> None:
    known = [
        tag(),
        Tag(asset="A", tag="own", address="x", stale_after=Duration(10)),
        Tag(asset="A", tag="mute", address="x"),
    ]
    board = Board("s", known, stale_after=60.0)
    for place in (0, 1):
        board.heard(place, NOW)
    board.confirm(after(30))
    board.confirm(after(20))
    assert [(state.last_at, state.stale_after) for state in board.states()] == [
        (after(30), 60.0),
        (NOW, 10.0),
        (None, 60.0),
    ]


def test_without_a_limit_of_age_a_keep_alive_moves_no_stamp() -> None:
    board = Board("s", [tag()])
    board.heard(0, NOW)
    board.confirm(after(30))
    assert [(state.last_at, state.stale_after) for state in board.states()] == [(NOW, None)]


def test_a_value_without_any_stamp_is_judged_by_its_receipt() -> None:
    judge, _ = judge_of(tag(most_rate=1.0))
    nothing = np.full(1, NEVER)
    zero = np.zeros(1, np.int64)
    for second, value, why in ((0, 0.0, ""), (1, 5.0, TOO_FAST), (9, 5.0, "")):
        [block] = judge.series([Column(zero, np.array([value]), nothing, nothing)], after(second), 1)
        [reading] = block.readings()
        assert (reading.why, reading.at) == (why, after(second))
