"""Many values at once are judged as one value is: scale, range, deadband, quality, without a number that was bad."""

import math
from collections import defaultdict
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.line.board import Board
from connectors.line.column import FORMS, Column, Words, last_rows, turns
from connectors.line.judge import Judge
from connectors.line.sieve import Sieve
from connectors.line.tags import Tag, Times, judge
from gateway.core.reading import Quality, Reading
from gateway.core.series import NEVER, Series, ticks

NOW = datetime(2026, 3, 18, 6, 30, tzinfo=UTC)
BOUNDS = st.one_of(st.none(), st.integers(-10, 10), st.sampled_from([-1e300, 2.0**53, 2.0**63, 2.0**64, 1e300]))
NUMBERS: dict[str, st.SearchStrategy[Any]] = {
    "<f8": st.one_of(st.floats(), st.floats(-20, 20)),
    "<i8": st.one_of(st.integers(-(2**63), 2**63 - 1), st.integers(-20, 20)),
    "<u8": st.one_of(st.integers(0, 2**64 - 1), st.integers(0, 20)),
    "|b1": st.booleans(),
}


@st.composite
def tags(draw: st.DrawFn) -> Tag:
    low, high = sorted((draw(BOUNDS), draw(BOUNDS)), key=lambda bound: -math.inf if bound is None else bound)
    return Tag(
        asset="A",
        tag=f"t{draw(st.uuids())}",
        address="x",
        low=low,
        high=high,
        scale=draw(st.sampled_from([1.0, 1.0, 0.1, -2.0, 1e300])),
        offset=draw(st.sampled_from([0.0, 0.0, -273.15])),
        deadband=draw(st.sampled_from([0.0, 0.0, 1.0, 2.5, 1e19])),
    )


@st.composite
def columns(draw: st.DrawFn, forms: list[str]) -> list[tuple[int, Any, int]]:
    """Rows of (place, value, quality), one form per place."""
    rows = st.integers(0, len(forms) - 1).flatmap(
        lambda place: st.tuples(st.just(place), NUMBERS[forms[place]], st.sampled_from([0, 0, 0, 1, 2]))
    )
    return draw(st.lists(rows, max_size=30))


def column_of(rows: list[tuple[int, Any, int]], form: str, why: int) -> Column:
    qualities = np.array([quality for *_, quality in rows], np.uint8)
    nothing = np.full(len(rows), NEVER)
    return Column(
        np.array([place for place, *_ in rows], np.int64),
        np.array([value for _, value, _ in rows], form),
        nothing,
        nothing,
        qualities if qualities.any() else None,
        np.where(qualities > 0, why, 0).astype(np.int32) if qualities.any() else None,
    )


def alike(left: Reading, right: Reading) -> bool:
    same = left.value == right.value or (left.value != left.value and right.value != right.value)
    return same and type(left.value) is type(right.value) and (left.quality, left.why) == (right.quality, right.why)


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_columns_are_judged_as_single_values_are(data: st.DataObject) -> None:
    known = data.draw(st.lists(tags(), min_size=1, max_size=5))
    forms = [data.draw(st.sampled_from(FORMS)) for _ in known]
    vector, single = Judge(known, Board("s", known)), Sieve()
    why = vector.words.number("said by the server")
    for _ in range(3):
        rows = data.draw(columns(forms))
        wanted: dict[str, list[Reading]] = defaultdict(list)
        for place, raw, given_quality in rows:
            tag, quality, reason = known[place], Quality(given_quality), "said by the server" if given_quality else ""
            value, unfit = (None, "") if quality is Quality.BAD else judge(tag, raw)
            if unfit:
                quality, reason = Quality.BAD, unfit
            reading = Reading(tag.asset, tag.tag, value, tag.unit, quality, None, None, NOW, reason, 7)
            if single.sift(tag, reading)[1]:
                wanted[tag.tag].append(reading)
        parts = [column_of(own, form, why) for form in FORMS if (own := [row for row in rows if forms[row[0]] == form])]
        given: dict[str, list[Reading]] = defaultdict(list)
        for block in vector.series(parts, NOW, 7):
            for reading in block.readings():
                given[reading.tag].append(reading)
        assert given.keys() == wanted.keys()
        for tag_name, readings in wanted.items():
            assert len(readings) == len(given[tag_name])
            assert all(alike(a, b) for a, b in zip(readings, given[tag_name], strict=True))


@given(st.lists(st.integers(0, 6), max_size=40))
def test_turns_take_every_row_once_and_in_order(places: list[int]) -> None:
    column = np.array(places, np.int64)
    taken = list(turns(column))
    assert sorted(row for turn in taken for row in turn.tolist()) == list(range(len(places)))
    for turn in taken:
        assert len(set(column[turn].tolist())) == len(turn)
    seen: dict[int, int] = {}
    for row in (row for turn in taken for row in turn.tolist()):
        assert seen.get(places[row], -1) < row
        seen[places[row]] = row
    assert last_rows(column).tolist() == [row for _, row in sorted({p: r for r, p in enumerate(places)}.items())]


def sent(series: list[Series]) -> list[object]:
    return [reading.value for block in series for reading in block.readings()]


@pytest.mark.pain(23)
def test_serial_numbers_and_negative_counts_stay_what_they_are() -> None:
    known = [Tag(asset="A", tag=name, address="x") for name in ("serial", "unsigned", "count")]
    subject = Judge(known, Board("s", known))
    stamps = np.full(2, NEVER)
    whole = Column(np.array([0, 2]), np.array([2**63 - 1, -12]), stamps, stamps)
    unsigned = Column(np.array([1]), np.array([2**64 - 1], np.uint64), stamps[:1], stamps[:1])
    blocks = subject.series([whole, unsigned], NOW, 1)
    assert sent(blocks) == [2**63 - 1, -12, 2**64 - 1]
    assert [type(value) for value in sent(blocks)] == [int, int, int]
    assert [block.form for block in blocks] == ["<i8", "<u8"]


@pytest.mark.pain(14, 23)
def test_a_number_out_of_range_is_bad_counted_and_never_clipped() -> None:
    known = [Tag(asset="A", tag="t", address="x", low=0, high=100)]
    board = Board("s", known)
    stamps = np.full(3, NEVER)
    [block] = Judge(known, board).series(
        [Column(np.zeros(3, np.int64), np.array([50.0, 101.0, 99.0]), stamps, stamps)], NOW, 1
    )
    assert [(it.value, it.quality, it.why) for it in block.readings()] == [
        (50.0, Quality.GOOD, ""),
        (None, Quality.BAD, "out of range"),
        (99.0, Quality.GOOD, ""),
    ]
    assert board.found() == {("A/t", "out of range"): 1}
    [state] = board.states()
    assert state.healthy
    assert state.detail == "last finding: out of range (1 in all)"


@given(st.lists(st.booleans(), min_size=1, max_size=6))
def test_text_that_is_repeated_within_a_deadband_is_not_sent_but_comes_back_after_a_bad_one(bads: list[bool]) -> None:
    tag = Tag(asset="A", tag="t", address="x", deadband=1)
    subject = Judge([tag], Board("s", [tag]))
    nothing = np.full(1, NEVER)
    why = subject.words.number("BadNoCommunication")
    lost = Column(
        np.zeros(1, np.int64), np.zeros(1), nothing, nothing, np.array([2], np.uint8), np.array([why], np.int32)
    )
    told: list[bool | None] = [None]
    for bad in bads:
        if bad:
            came = bool(subject.series([lost], NOW, 1))
        else:
            came = subject.text(0, "run", Quality.GOOD, "", Times(None, None, NOW), 1) is not None
        assert came == (told[-1] is not bad)
        told.append(bad)


def test_stamps_that_all_are_the_same_are_said_once() -> None:
    known = [Tag(asset="A", tag=f"t{number}", address="x") for number in range(100)]
    subject = Judge(known, Board("s", known))
    stamps = np.full(100, ticks(NOW))
    [block] = subject.series([Column(np.arange(100), np.arange(100.0), stamps, stamps)], NOW, 9)
    assert (len(block.sourced), len(block.served), len(block.qualities), len(block.whys)) == (8, 8, 1, 1)
    assert block.sequence == 9
    assert {reading.sourced_at for reading in block.readings()} == {NOW}


def test_words_stay_bounded_however_many_reasons_there_are() -> None:
    words = Words()
    numbers = {words.number(f"answer of {number} bytes") for number in range(20_000)}
    assert max(numbers) == 10_000 and words[10_000] == "one of many reasons"
    assert words[words.number("answer of 7 bytes")] == "answer of 7 bytes"
