"""What the OPC UA link keeps in mind: sequence numbers, last values, doubts, open spans, handles."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.line.opcua.fills import Fill, Fills, Progress
from connectors.line.opcua.ledger import OVERFLOW, Ledger, Missed
from connectors.line.opcua.reached import Reached
from connectors.line.opcua.resume import Subscription, marked, recall, written
from connectors.line.opcua.stream import after, missing_before
from connectors.line.opcua.subscribe import KEY, fit
from connectors.line.opcua.values import Change, Values
from connectors.opcua.kept import Session
from gateway.core.series import NEVER, moment

KEYS = [bytes([number]) * 8 for number in range(4)]
LAST = 2**32 - 1
NUMBERS = st.integers(1, LAST)


@settings(deadline=None)
@given(NUMBERS, st.integers(0, 1000))
def test_missing_messages_are_counted_across_the_wrap(last: int, missing: int) -> None:
    number = last
    for _ in range(missing + 1):
        number = after(number)
    assert 1 <= number <= LAST and missing_before(number, last) == missing


def test_the_number_after_the_last_is_one() -> None:
    assert (after(0), after(LAST), missing_before(1, LAST)) == (1, 1, 0)


def column(*rows: tuple[int, int], status: int = 0) -> Values:
    """Rows of place and source time."""
    places, times = np.array([row[0] for row in rows], np.uint32), np.array([row[1] for row in rows], np.int64)
    return Values(places, np.zeros(len(rows)), np.full(len(rows), status, np.uint32), times, np.full(len(rows), NEVER))


def again(ledger: Ledger, *, keys: list[bytes] | None = None) -> Ledger:
    """Forget everything but what stands in memory."""
    memory.update(ledger.memory())
    fresh = Ledger(keys or KEYS)
    fresh.recall(memory)
    return fresh


memory: dict[str, bytes] = {}


@pytest.fixture(autouse=True)
def _forgotten() -> None:
    memory.clear()


def test_the_first_value_after_a_loss_says_what_may_be_missing() -> None:
    ledger = Ledger(KEYS)
    missed: list[Missed] = []
    ledger.take(column((0, 10), (1, 10), (0, 20)), missed)
    ledger = again(ledger)
    ledger.doubt(range(4), "cut")
    ledger = again(ledger)
    kept = ledger.take(column((0, 20), (0, 30), (1, 40), (2, 40)), missed)
    assert kept.handles.tolist() == [0, 1, 2], "place 0 says again what it said last: that is no news"
    assert missed == [Missed(1, 10, 40, "cut")], "place 2 was never heard before"
    assert ledger.since(missed[0]) == 20, "until the link was lost, all had come"
    again(ledger).take(column((0, 50), (1, 50)), missed)
    assert len(missed) == 1, "only the first value after the loss is in doubt"


def test_what_a_server_tells_again_to_a_new_channel_is_no_news() -> None:
    ledger, missed = Ledger(KEYS), list[Missed]()
    ledger.take(column((0, 10), (1, 10)), missed)
    back = again(ledger)
    assert back.take(column((0, 10), (1, 20), (0, 10), (1, 20), (0, 30)), missed).sourced.tolist() == [20, 30]
    for number in range(100):
        back.take(column((0, 100 + number)), missed)
    assert back.take(column((0, 300), (0, 300)), missed).sourced.tolist() == [300, 300], "later it is believed"
    assert not missed


def test_another_value_of_the_same_time_is_news() -> None:
    ledger = Ledger(KEYS)
    rows = column((0, 10), (1, 10), (2, 10), (3, 10))
    ledger.take(rows, [])
    other = rows._replace(values=rows.values + 1.0)
    assert len(again(ledger).take(other, []).handles) == 4
    texts = [Change(0, text, 0, moment(50), None) for text in ("a", "b", "b")]
    ledger.take_one(texts[0], [])
    assert again(ledger).take_one(texts[1], [])


def test_an_overflow_is_between_the_value_before_and_this_one() -> None:
    ledger = Ledger(KEYS)
    missed: list[Missed] = []
    ledger.take(column((0, 10)), missed)
    ledger.take(column((0, 90), (0, 100), status=0x480), missed)
    assert missed == [Missed(0, 10, 90, OVERFLOW), Missed(0, 90, 100, OVERFLOW)]


def test_text_is_noted_as_numbers_are() -> None:
    ledger = Ledger(KEYS)
    missed: list[Missed] = []
    old, new = (Change(3, "a", 0, moment(at), None) for at in (10, 30))
    assert ledger.take_one(old, missed)
    ledger.doubt([3], "cut")
    ledger = again(ledger)
    assert not ledger.take_one(old, missed) and not missed
    ledger.doubt([3], "cut")
    assert ledger.take_one(new, missed) and missed == [Missed(3, 10, 30, "cut")]


@settings(deadline=None)
@given(st.lists(st.lists(st.tuples(st.integers(0, 3), st.integers(1, 99)), min_size=1, max_size=6), max_size=8))
def test_what_is_remembered_is_exact_after_every_batch(batches: list[list[tuple[int, int]]]) -> None:
    memory.clear()
    ledger = Ledger(KEYS)
    for rows in batches:
        ledger.take(column(*rows), [])
        memory.update(ledger.memory())
    fresh = Ledger(KEYS)
    fresh.recall(memory)
    assert fresh._last.tolist() == ledger._last.tolist()


def test_memory_follows_the_tags_when_their_list_changes() -> None:
    ledger = Ledger(KEYS)
    ledger.take(column((1, 10), (3, 30)), [])
    ledger.doubt([1, 3], "cut")
    moved = again(ledger, keys=[KEYS[3], b"new tag!", KEYS[1]])
    missed: list[Missed] = []
    moved.take(column((0, 31), (1, 31), (2, 11)), missed)
    assert missed == [Missed(0, 30, 31, "cut"), Missed(2, 10, 11, "cut")]


@pytest.mark.parametrize("name", ["tags", "last", "late", "doubt"])
def test_damaged_memory_is_as_good_as_none(name: str) -> None:
    ledger = Ledger(KEYS)
    ledger.take(column((0, 10)), [])
    ledger.doubt([0], "cut")
    told = ledger.memory() | {name: b"\xc1 damaged"}
    fresh = Ledger(KEYS)
    fresh.recall(told)
    assert fresh._last.tolist() == [NEVER] * 4


def fill(number: int) -> Fill:
    return Fill(KEYS[number], 10, 100, 10, "cut")


def test_fills_go_on_where_they_were_reached() -> None:
    fills, told = Fills(), {}
    fills.add([fill(0), fill(1), fill(2)])
    told.update(fills.memory())
    fills.advance(Progress({0: 40, 1: 50}))
    told.update(fills.memory())
    fresh = Fills()
    fresh.recall(told)
    assert [one.after for one in fresh.front(5)] == [40, 50, 10]
    fresh.advance(Progress(done=2))
    fresh.add([fill(3)])
    told.update(fresh.memory())
    last = Fills()
    last.recall(told)
    assert [one.key for one in last.front(5)] == [KEYS[2], KEYS[3]]
    last.advance(Progress(done=2))
    assert last.memory() == {"fills": b"", "filled": b""} and not len(last)


def subscription(**items: tuple[int, int]) -> Subscription:
    """Items and handles by the name of a key."""
    keys = b"".join(name.encode().ljust(KEY) for name in items)
    numbers, handles = zip(*items.values(), strict=True)
    return Subscription("all", 7, 0.1, 10, 600, keys, numbers, handles)


def places(*names: str) -> dict[bytes, int]:
    return {name.encode().ljust(KEY): place for place, name in enumerate(names)}


def test_items_of_the_same_tags_need_no_leading() -> None:
    found = fit(subscription(a=(70, 0), b=(71, 1)), places("a", "b"), 2)
    assert (found.items, found.obsolete, found.base, found.places) == ({0: 70, 1: 71}, (), 0, None)


def test_items_of_a_changed_list_are_led_to_their_places() -> None:
    found = fit(subscription(a=(70, 0), b=(71, 1), c=(72, 2)), places("c", "x", "a"), 3)
    assert (found.items, found.obsolete, found.base) == ({2: 70, 0: 72}, (71,), 3)
    assert found.places is not None
    assert found.places.tolist() == [2, -1, 0, 0, 1, 2], "kept handles first, then those of new items"


def test_a_kept_session_is_for_its_endpoint_and_its_user() -> None:
    session = Session("opc.tcp://a:1", b"me", "start", b"token", b"nonce", ())
    told = written(session, [subscription(a=(70, 0))]) | marked({7: 41})
    kept = recall(told, {"opc.tcp://a:1"}, b"me")
    assert kept.session == session and kept.marks == {7: 41}
    assert recall(told, {"opc.tcp://b:1"}, b"me").session is None
    assert recall(told, {"opc.tcp://a:1"}, b"you").session is None
    assert recall(told | {"session": b"\xc1"}, {"opc.tcp://a:1"}, b"me").session is None


def test_a_kept_session_does_not_show_its_secrets() -> None:
    assert "token" not in repr(Session("opc.tcp://a:1", b"me", "", b"token", b"nonce", ()))


@pytest.mark.pain(4)
def test_a_second_loss_does_not_shorten_the_first_for_a_tag_that_was_silent_between_them() -> None:
    ledger = Ledger(KEYS)
    missed: list[Missed] = []
    ledger.take(column((0, 10), (1, 10)), missed)
    ledger.doubt([0, 1], "messages lost")
    ledger.take(column((0, 20)), missed)
    ledger.doubt([0, 1], "messages lost")
    ledger.take(column((1, 30)), missed)
    assert [(one.place, ledger.since(one)) for one in missed] == [(0, 10), (1, 10)]
    missed.clear()
    ledger.take(column((0, 30)), missed)
    ledger.doubt([0], "messages lost")  # nobody waits any more: a loss of its own
    ledger.take(column((0, 40)), missed)
    assert [(one.place, ledger.since(one)) for one in missed[1:]] == [(0, 30)]


def test_spans_beyond_what_the_list_holds_are_left_to_be_marked() -> None:
    fills = Fills()
    fill = Fill(b"A" * 8, 1, 2, 1, "messages lost")
    assert fills.add([fill] * 499_999) == 499_999
    assert fills.add([fill] * 3) == 1
    assert (fills.add([fill]), len(fills)) == (0, 500_000)


@pytest.mark.pain(4)
def test_a_gap_starts_when_all_was_last_known_to_have_come() -> None:
    ledger = Ledger(KEYS)
    missed: list[Missed] = []
    ledger.take(column((0, 10), (1, 10)), missed)
    ledger.doubt([0, 1], "cut", until=500)
    ledger = again(ledger)
    ledger.take(column((0, 700), (1, 400)), missed)
    assert [(one.place, ledger.since(one)) for one in missed] == [(0, 500), (1, 10)], "a clock behind: the longer gap"


@pytest.mark.pain(4)
def test_a_tag_without_any_time_has_its_gap_by_when_it_was_received() -> None:
    ledger = Ledger(KEYS)
    missed: list[Missed] = []
    ledger.take(column((0, NEVER)), missed, received=1000)
    ledger.take_one(Change(1, "a", 0, None, None), missed, received=1000)
    ledger = again(ledger)
    assert len(ledger.take(column((0, NEVER), (0, NEVER)), missed, received=1000).handles) == 2, "never the same"
    ledger.doubt([0, 1, 2], "cut")
    ledger.take(column((0, NEVER)), missed, received=9000)
    assert ledger.take_one(Change(1, "a", 0, None, None), missed, received=9000)
    assert missed == [Missed(0, 1000, 9000, "cut"), Missed(1, 1000, 9000, "cut")]
    assert [ledger.since(one) for one in missed] == [1000, 1000], "our clock says nothing of when others were lost"


def test_a_line_is_known_as_far_as_the_subscription_furthest_back() -> None:
    reached = Reached()
    reached.take("a", 100_000_000, 1.0)
    assert reached.memory(["a", "b"]) == {} and reached.until == NEVER, "the other one said nothing yet"
    reached.take("b", 90_000_000, 0.5)
    told = reached.memory(["a", "b"])
    assert reached.until == 89_500_000
    reached.take("b", 91_000_000, 0.5)
    assert reached.memory(["a", "b"]) == {} and reached.until == 90_500_000, "known here, written now and then"
    reached.take("b", NEVER, 0.5)
    reached.forget("a")
    assert reached.memory(["a", "b"]) == {} and reached.until == 90_500_000
    back = Reached()
    back.recall(told)
    assert back.until == 89_500_000
    back.recall({"reached": b"damaged"})
    assert back.until == 89_500_000
