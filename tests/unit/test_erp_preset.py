"""What presets of the REST engine share: whose record it is, which codes are cut, tables laid over each other."""

from typing import Any

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.erp.http import Answer, reason_of
from connectors.erp.mapping import Rule, Table
from connectors.erp.preset import Coded, foreign, over, problem, rows_in
from gateway.core.errors import Refused
from tests.erp_process import make_order

RULES = {
    "number": Rule(source="key"),
    "title": Rule(source="title"),
    "text": Rule(source="text"),
    "machine": Rule(source="asset"),
    "kind": Rule(constant="CM"),
}
KEY = "AN31W2CDJ6P70E2N64BQ"
OURS: dict[str, Any] = {
    "number": KEY,
    "title": "M-07: bearing",
    "text": f"M-07: bearing\n[{KEY}]",
    "machine": "M-07",
    "kind": "CM",
}


@given(
    st.dictionaries(
        st.sampled_from(["title", "text", "kind"]), st.one_of(st.none(), st.text(), st.integers()), max_size=3
    )
)
def test_an_order_about_our_machine_is_ours_whatever_a_planner_wrote(edit: dict[str, Any]) -> None:
    assert foreign(KEY, OURS, {**OURS, **edit}, RULES) == ()


@given(st.text(min_size=1).filter(lambda name: name.strip() not in {"M-07", ""}))
def test_an_order_about_another_machine_is_anothers(machine: str) -> None:
    assert foreign(KEY, OURS, {**OURS, "machine": machine}, RULES) == ("machine",)


def test_a_record_in_which_nothing_is_as_we_wrote_it_is_anothers() -> None:
    rules = {name: rule for name, rule in RULES.items() if name != "machine"}
    ours = {name: OURS[name] for name in rules}
    assert foreign(KEY, ours, {"number": KEY, "title": "a pump", "text": "oil it", "kind": "CM"}, rules) == (
        "text",
        "title",
    )
    assert foreign(KEY, ours, {"number": KEY, "title": "a pump", "text": f"see [{KEY}]"}, rules) == ()
    assert foreign(KEY, ours, {"number": KEY, "title": "M-07: bearing"}, rules) == ()


def test_a_record_that_does_not_show_its_machine_is_judged_by_the_rest() -> None:
    assert foreign(KEY, OURS, {**OURS, "machine": None}, RULES) == ()


def test_words_are_cut_and_codes_never() -> None:
    order = make_order("cut", asset="M-000001", title="t" * 30)
    assert Coded({"title": Rule(source="title", longest=10)}, None, 20).fields(order) == {"title": "t" * 10}
    with pytest.raises(Refused, match="machine holds 5 characters, 'M-000001' has 8"):
        Coded({"machine": Rule(source="asset", longest=5)}, None, 20).fields(order)
    translated = Coded({"machine": Rule(source="asset", longest=5, values={"M-000001": "PUMP1"})}, None, 20)
    assert translated.fields(order) == {"machine": "PUMP1"}


def test_settings_come_over_a_table_and_an_empty_constant_takes_a_field_away() -> None:
    table: Table = {"a": "title", "b": Rule(constant="x"), "c": "asset"}
    told = over(table, {"b": Rule(constant=""), "c": "component", "d": "due"})
    assert told == {"a": "title", "c": "component", "d": "due"}


def test_an_error_in_common_words_keeps_status_and_waits() -> None:
    answer = Answer(400, httpx2.Headers({"retry-after": "3", "content-type": "text/html"}), b"<html>")
    said = problem(answer, "is too long", "title")
    assert (said.status, said.header("retry-after")) == (400, "3")
    assert reason_of(said.answer) == "field title: is too long"
    assert problem(answer, "", status=412).status == 412 and reason_of(problem(answer, "").answer) == ""


@pytest.mark.parametrize(
    ("body", "rows"),
    [
        ({"items": [{"a": 1}, 2, {"b": 3}]}, [{"a": 1}, {"b": 3}]),
        ({"a": 1}, [{"a": 1}]),
        ({"items": 5}, [{"items": 5}]),
        ([{"a": 1}], []),
        (None, []),
    ],
)
def test_the_records_of_an_answer_are_those_of_its_list_or_itself(body: Any, rows: list[Any]) -> None:
    assert list(rows_in(body, "items")) == rows
