"""Laws of the enterprise side: what an answer means, and what a mapping gives."""

import unicodedata
from datetime import UTC, datetime, timedelta

import httpx2
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.erp.http import LONGEST_WAIT, Answer, Lost, classify, lost_outcome, reason_of, refusal, retry_after
from connectors.erp.mapping import DEFAULT, TEXT, Body, Rule, cut
from gateway.core.delivery import (
    Capabilities,
    Delivered,
    Delivery,
    DeliveryState,
    ErpRef,
    Idempotency,
    Outcome,
    Rejected,
    Throttled,
    Uncertain,
    Unsent,
)
from gateway.core.errors import Misconfigured, Refused, Unreachable
from gateway.core.order import Level
from gateway.core.ports import Claimed
from gateway.flow.ages import Ages
from gateway.flow.settle import Policy, settled
from tests.erp_process import make_order

NOW = datetime(2026, 11, 21, 8, 0, tzinfo=UTC)
TABLE = {
    **dict.fromkeys((408, 500, 501, 502, 503, 504, 599, 303, 201), Uncertain),
    **dict.fromkeys((425, 429, 401), Throttled),
    **dict.fromkeys((400, 402, 403, 404, 405, 406, 410, 412, 413, 415, 422, 451, 301, 302, 307, 308), Rejected),
}


def answer(status: int, body: bytes = b"", **headers: str) -> Answer:
    return Answer(status, httpx2.Headers({name.replace("_", "-"): value for name, value in headers.items()}), body)


@pytest.mark.parametrize(("status", "kind"), TABLE.items())
def test_every_answer_has_its_meaning(status: int, kind: type) -> None:
    assert isinstance(classify(answer(status), NOW, replays=False), kind)


def test_a_conflict_is_doubt_where_keys_are_honoured_and_a_no_where_not() -> None:
    assert isinstance(classify(answer(409), NOW, replays=True), Uncertain)
    assert isinstance(classify(answer(409), NOW, replays=False), Rejected)


def test_unavailable_is_doubt_unless_it_says_when() -> None:
    assert isinstance(classify(answer(503), NOW, replays=False), Uncertain)
    assert isinstance(classify(answer(503, retry_after="soon"), NOW, replays=False), Uncertain)
    assert isinstance(classify(answer(503, retry_after="5"), NOW, replays=False), Throttled)


@given(status=st.integers(200, 599), wait=st.text(max_size=40), body=st.binary(max_size=200), replays=st.booleans())
def test_no_answer_breaks_the_reading_and_none_that_may_have_worked_is_sent_again_blindly(
    *, status: int, wait: str, body: bytes, replays: bool
) -> None:
    given_ = answer(status, body, content_type="application/json", retry_after=wait.encode("ascii", "ignore").decode())
    outcome = classify(given_, NOW, replays=replays)
    assert not isinstance(outcome, Delivered | Unsent)
    if status >= 500 and status != 503:
        assert isinstance(outcome, Uncertain)
    if isinstance(outcome, Throttled) and outcome.after is not None:
        assert timedelta(0) <= outcome.after <= LONGEST_WAIT
    if isinstance(outcome, Rejected):
        assert len(outcome.reason) <= 500
    assert isinstance(refusal(given_, NOW), Unreachable | Refused)


@given(st.floats() | st.integers() | st.text(max_size=60))
def test_any_retry_after_is_a_wait_of_at_most_an_hour_or_nothing(value: object) -> None:
    wait = retry_after(httpx2.Headers({"retry-after": str(value).encode("ascii", "ignore").decode()}), NOW)
    assert wait is None or timedelta(0) <= wait <= LONGEST_WAIT


def test_a_retry_after_is_read_as_seconds_or_as_a_date() -> None:
    assert retry_after(httpx2.Headers({"retry-after": "7"}), NOW) == timedelta(seconds=7)
    date = httpx2.Headers({"retry-after": "Sat, 21 Nov 2026 08:00:30 GMT"})
    assert retry_after(date, NOW) == timedelta(seconds=30)
    past = httpx2.Headers({"retry-after": "Sat, 21 Nov 2020 08:00:30 GMT"})
    assert retry_after(past, NOW) == timedelta(0)


@given(sent=st.booleans())
def test_a_lost_request_is_doubt_exactly_when_it_may_have_left(*, sent: bool) -> None:
    assert isinstance(lost_outcome(Lost("x", sent=sent)), Uncertain if sent else Unsent)


json_values = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False) | st.text(max_size=60),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=10,
)


@given(st.dictionaries(st.sampled_from(["title", "detail", "message", "errors", "field"]), json_values))
def test_a_reason_is_one_short_line_whatever_the_body(body: dict[str, object]) -> None:
    reason = reason_of(answer(422, msgspec.json.encode(body), content_type="application/problem+json"))
    assert len(reason) <= 200
    assert not any(unicodedata.category(letter) == "Cc" for letter in reason)


def test_a_reason_shows_no_path_no_token_and_no_traceback() -> None:
    token = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJhIn0.c2lnbmF0dXJl"  # noqa: S105  not one
    body = {"title": "Bad", "detail": f"see /opt/erp/http.py, token {token}", "message": "Traceback (most recent"}
    reason = reason_of(answer(422, msgspec.json.encode(body), content_type="application/json"))
    assert reason == "Bad: see …, token …"


@given(st.text(alphabet="aé轴👩‍🔧🇩🇪e\u0301\u200d", max_size=30), st.integers(1, 30))
def test_a_cut_is_the_longest_beginning_of_whole_graphemes(text: str, longest: int) -> None:
    kept = cut(text, longest)
    assert text.startswith(kept) and len(kept) <= longest
    rest = text[len(kept) :]
    if rest and kept:
        assert not unicodedata.combining(rest[0]) and rest[0] != "\u200d"
    assert cut(kept, longest) == kept


def test_a_flag_or_a_family_is_never_cut_in_half() -> None:
    assert cut("轴承👩‍🔧", 4) == "轴承"
    assert cut("e\u0301x", 1) == ""
    assert cut("🇩🇪x", 2) == "🇩🇪"


@given(st.text(max_size=300), st.text(max_size=6000))
def test_the_default_mapping_keeps_every_limit_and_the_key(title: str, description: str) -> None:
    order = make_order("law", title=title, description=description)
    body = msgspec.json.decode(Body(DEFAULT, "reference", 20).of(order))
    assert body["reference"] == order.key
    assert len(body.get("title", "")) <= 80
    assert len(body["description"]) <= 4000
    assert body["description"].endswith(f"[{order.key}]")
    assert None not in body.values()


def test_the_same_order_gives_the_same_bytes() -> None:
    order = make_order("same", hierarchy=(Level("site", "SZ1"), Level("line", "L2")))
    again = msgspec.json.decode(msgspec.json.encode(order), type=type(order))
    assert Body(DEFAULT, "reference", 20).of(order) == Body(DEFAULT, "reference", 20).of(again)


def test_a_mapping_gives_constants_codes_and_nested_objects() -> None:
    table = {
        "head.ref": "key",
        "head.kind": Rule(constant="M2"),
        "prio": Rule(source="priority", values={"2": "high"}),
        "down": Rule(source="asset_down", values={"false": "N", "true": "Y"}),
        "line": "hierarchy.line",
        "sure": "diagnosis.confidence",
    }
    order = make_order("nested", hierarchy=(Level("line", "L2"),))
    body = msgspec.json.decode(Body(table, "head.ref", 20).of(order))
    assert body == {"head": {"ref": order.key, "kind": "M2"}, "prio": "high", "down": "N", "line": "L2"}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"a": "titel"}, "titel"),
        ({"a": "hierarchy.floor"}, "floor"),
        ({"a": "title.x"}, "title.x"),
        ({"a": "diagnosis.sure"}, "sure"),
        ({"a..b": "title"}, "between dots"),
        ({"a": "title", "a.b": "title"}, "object"),
        ({"reference": Rule(source="key", longest=10)}, "whole"),
        ({"reference": "title"}, "whole"),
        ({"a": Rule(source=TEXT, longest=10)}, "too short"),
    ],
)
def test_a_wrong_mapping_is_named_at_start(change: dict[str, str | Rule], said: str) -> None:
    with pytest.raises(Misconfigured, match=said.replace(".", r"\.")):
        Body({"reference": "key", **change}, "reference", 20)


def test_every_fault_of_a_mapping_is_named_at_once() -> None:
    with pytest.raises(Misconfigured) as caught:
        Body({"a": "titel", "b": "prio"}, "reference", 20)
    assert len(caught.value.faults) == 3


OUTCOMES: st.SearchStrategy[Outcome] = st.one_of(
    st.builds(Delivered, st.just(ErpRef("AN", "7")), st.booleans()),
    st.builds(Rejected, st.text(max_size=500)),
    st.builds(Throttled, st.none() | st.timedeltas(timedelta(0), timedelta(days=2)), st.text(max_size=20)),
    st.builds(Unsent, st.text(max_size=20)),
    st.builds(Uncertain, st.text(max_size=2000)),
)


@given(OUTCOMES, st.sampled_from(Idempotency), st.integers(1, 5000), st.timedeltas(timedelta(0), timedelta(days=9)))
def test_only_what_surely_was_not_made_waits_to_be_sent_again(
    outcome: Outcome, idempotency: Idempotency, attempt: int, age: timedelta
) -> None:
    order = make_order("settle")
    sending = Delivery(order.key, "M-07", "main", DeliveryState.SENDING, attempt, NOW, lease_until=NOW, since=NOW - age)
    result = settled(
        Claimed(sending, order),
        outcome,
        capabilities=Capabilities(idempotency=idempotency, settle=timedelta(seconds=60)),
        policy=Policy(),
        now=NOW,
        held=timedelta(seconds=3),
        ages=Ages(lambda: NOW),
    ).delivery
    if result.state is DeliveryState.WAITING:
        assert isinstance(outcome, Unsent | Throttled) and age <= Policy().give_up_after
        assert result.attempt == attempt - 1
    if isinstance(outcome, Uncertain):
        assert result.state is DeliveryState.UNCERTAIN and result.attempt == attempt
    if isinstance(outcome, Delivered):
        assert result.state is DeliveryState.DELIVERED and result.erp_number == "7"
    assert (result.state is DeliveryState.PARKED) == (
        isinstance(outcome, Rejected) or (isinstance(outcome, Unsent | Throttled) and age > Policy().give_up_after)
    )
    assert NOW <= result.due_at <= NOW + timedelta(hours=1)
    assert result.lease_until is None and len(result.reason) <= 500
