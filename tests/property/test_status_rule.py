"""Laws of what the ERP says: in whatever order words come, and however often, the newest counts."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.delivery import StatusUpdate
from gateway.core.status import OVER, Said, State, heard, meaning, said_at, told

START = datetime(2026, 11, 21, 8, 0, tzinfo=UTC)
LATER = START + timedelta(days=1)
WORDS = st.sampled_from(["", "New Request", "In Progress", "Closed", "Cancelled", "Repaired", "Archived", "轮到了"])
STATES: st.SearchStrategy[State] = st.sampled_from(["open", "done", "cancelled", "unknown"])


@st.composite
def updates(draw: st.DrawFn) -> StatusUpdate:
    return StatusUpdate(
        key="K",
        number="7",
        status=draw(WORDS),
        state=draw(STATES),
        closing_code=draw(st.sampled_from([None, "WORN", "NO_FAULT"])),
        at=START + timedelta(seconds=draw(st.integers(0, 5))),
    )


def all_heard(words: list[StatusUpdate]) -> Said:
    known = Said()
    for word in words:
        known = heard(known, word, LATER)
    return known


@given(st.lists(updates(), max_size=8), st.data())
def test_any_order_and_any_repetition_of_words_leads_to_the_same_end(
    words: list[StatusUpdate], data: st.DataObject
) -> None:
    again = data.draw(st.lists(st.sampled_from(words), max_size=5)) if words else []
    assert all_heard(data.draw(st.permutations([*words, *again]))) == all_heard(words)


@given(st.lists(updates(), min_size=1, max_size=8, unique_by=lambda word: word.at))
def test_each_part_is_from_the_newest_word_that_has_it(words: list[StatusUpdate]) -> None:
    known = all_heard(words)
    newest = sorted(words, key=lambda word: word.at or START, reverse=True)
    assert known.status == next((word.status for word in newest if word.status), "")
    assert known.closing_code == next((word.closing_code for word in newest if word.closing_code), None)
    states = [word.state if word.state != "unknown" else meaning(word.status) for word in newest]
    assert known.state == next((state for state in states if state != "unknown"), "unknown")


@given(updates(), updates())
def test_a_word_that_was_heard_is_no_news_again(first: StatusUpdate, other: StatusUpdate) -> None:
    known = all_heard([first, other])
    assert heard(known, first, LATER) == known and heard(known, other, LATER) == known


def test_a_closing_code_that_comes_later_is_added_and_the_end_stays() -> None:
    closed = StatusUpdate(key="K", number="7", status="Closed", at=START)
    known = heard(Said(), closed, LATER)
    assert (known.state, known.closing_code) == ("done", None)
    coded = StatusUpdate(key="K", number="7", status="Closed", closing_code="WORN", at=START - timedelta(minutes=1))
    assert told(heard(known, coded, LATER)) == ("Closed", "done", "WORN")


def test_a_clock_that_goes_ahead_does_not_silence_what_is_said_after_it() -> None:
    ahead = StatusUpdate(key="K", number="7", status="Open", at=START + timedelta(days=365))
    assert said_at(ahead, START) == START
    known = heard(heard(Said(), ahead, START), StatusUpdate(key="K", number="7", status="Closed"), LATER)
    assert told(known) == ("Closed", "done", None)


@pytest.mark.parametrize(
    ("word", "state"),
    [
        ("Closed", "done"),
        ("  in   progress ", "open"),
        ("IN_PROGRESS", "open"),
        ("TECO", "done"),
        ("Canceled", "cancelled"),
        ("archived", "unknown"),
        ("", "unknown"),
    ],
)
def test_common_words_have_a_meaning(word: str, state: str) -> None:
    assert meaning(word) == state


def test_two_ends_are_an_end() -> None:
    assert {"done", "cancelled"} == OVER


def test_what_means_nothing_known_leaves_the_meaning_as_it_was() -> None:
    words: list[dict[str, Any]] = [{"status": "Closed"}, {"status": "Archived"}]
    known = Said()
    for number, word in enumerate(words):
        update = StatusUpdate(key="K", number="7", at=START + timedelta(seconds=number), **word)
        known = heard(known, update, LATER)
    assert told(known) == ("Archived", "done", None)
