"""Laws of the REST adapter's pure parts: slots, places, what is the same, what may be written."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from urllib.parse import unquote

import httpx2
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.erp.http import Answer
from connectors.erp.mapping import DEFAULT, Body, Rule
from connectors.erp.rest import template
from connectors.erp.rest.batch import opened, packed
from connectors.erp.rest.check import choices, faults
from connectors.erp.rest.door import Said, plainly
from connectors.erp.rest.plan import Batch, Record, States
from connectors.erp.rest.record import difference, dig, flat, last_part, put, ref_of, same
from gateway.core.errors import Refused
from tests.erp_process import make_order

TEXTS = st.text(min_size=1, max_size=30)
SCALARS = st.none() | st.booleans() | st.integers(-(10**9), 10**9) | st.floats(-1e6, 1e6) | st.text(max_size=20)
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3))
NAMES = st.sampled_from(["a", "b", "c", "d"])


@given(TEXTS)
def test_whatever_a_number_is_it_stays_one_part_of_the_path_that_was_meant(number: str) -> None:
    try:
        path = template.path("/api/orders/{number}/cancel", {"number": number})
    except Refused:
        assert number in {".", ".."}
        return
    url = httpx2.Request("GET", httpx2.URL("https://erp.example").join(path)).url
    parts = url.raw_path.decode().split("/")
    assert url.host == "erp.example" and url.query == b"" and len(parts) == 5
    assert unquote(parts[3]) == number and parts[4] == "cancel"


@given(TEXTS)
def test_a_quote_never_ends_the_text_that_it_is_in(value: str) -> None:
    told = template.text("ref eq '{key|odata}'", {"key": value})
    inside = told.removeprefix("ref eq '").removesuffix("'")
    assert inside.replace("''", "").count("'") == 0 and inside.replace("''", "'") == value
    told = template.text('ref="{key|quoted}"', {"key": value})
    inside, at, ends = told.removeprefix('ref="')[:-1], 0, 0
    while at < len(inside):
        if inside[at] == "\\":
            at += 1
        elif inside[at] == '"':
            ends += 1
        at += 1
    assert ends == 0


@given(TEXTS)
def test_no_header_carries_what_is_not_plain(value: str) -> None:
    try:
        told = template.header('"{key}"', {"key": value})
    except Refused:
        assert not value.isascii() or not value.isprintable()
        return
    assert "\r" not in told and "\n" not in told


@pytest.mark.parametrize("wrong", ["/x/{nothing}", "/x/{key|shout}", "/x/{key", "/x/}"])
def test_a_template_that_cannot_be_filled_is_named(wrong: str) -> None:
    assert template.faults_of(wrong)


@given(st.dictionaries(NAMES, SCALARS), st.dictionaries(NAMES, SCALARS), st.dictionaries(NAMES, SCALARS))
def test_only_what_is_still_ours_is_written_and_a_second_time_nothing(
    was: dict[str, Any], wanted: dict[str, Any], present: dict[str, Any]
) -> None:
    change, kept = difference(was, wanted, present)
    for name in change:
        assert same(present.get(name), was.get(name)) and change[name] == wanted.get(name)
    for name in kept:
        assert not same(present.get(name), was.get(name)) and not same(present.get(name), wanted.get(name))
    assert not set(change) & set(kept)
    after = {**present, **change}
    assert difference(was, wanted, after) == ({}, kept)
    for name in {*was, *wanted} - set(kept):
        assert same(after.get(name), wanted.get(name)) or same(was.get(name), wanted.get(name))


@given(VALUES, VALUES)
def test_being_the_same_goes_both_ways_and_holds_for_oneself(one: Any, other: Any) -> None:
    assert same(one, one)
    assert same(one, other) == same(other, one)


@given(VALUES)
def test_an_erp_that_tells_back_what_it_got_has_changed_nothing(value: Any) -> None:
    told = msgspec.json.decode(msgspec.json.encode({"order": value}))["order"]
    assert same(value, told)


@given(st.integers(0, 4 * 10**9), st.integers(-12, 14))
def test_a_moment_is_the_same_in_every_zone(seconds: int, hours: int) -> None:
    here = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)
    there = here.astimezone(timezone(timedelta(hours=hours)))
    assert same(here.isoformat(), there.isoformat()) and same(
        here.isoformat().replace("+00:00", "Z"), there.isoformat()
    )
    assert not same(here.isoformat(), (here + timedelta(seconds=1)).isoformat())


ALIKE: list[tuple[Any, Any]] = [
    *(("a ", "a"), ("", None), ("2", 2), (2, 2.0), ("a\r\nb", "a\nb"), ([], None), ({}, None)),
]
DIFFERENT: list[tuple[Any, Any]] = [
    *((True, 1), (False, None), ("a", "b"), ("2", 3), (None, 0), ([1], [2]), ({"a": 1}, {"a": 2}), (True, "true")),
]


def test_what_counts_for_the_same() -> None:
    assert [pair for pair in ALIKE if not same(*pair)] == []
    assert [pair for pair in DIFFERENT if same(*pair)] == []


@given(st.lists(st.text("abc", min_size=1, max_size=3), min_size=1, max_size=4), SCALARS)
def test_what_is_put_at_a_place_is_found_there(names: list[str], value: Any) -> None:
    body: dict[str, Any] = {}
    put(body, ".".join(names), value)
    assert dig(body, ".".join(names)) == value


def test_names_with_dots_in_them_are_found() -> None:
    row = {"@odata.etag": 'W/"1"', "a.b": {"c.d": 1}, "a": {"b": 2}}
    assert dig(row, "@odata.etag") == 'W/"1"' and dig(row, "a.b.c.d") == 1
    body: dict[str, Any] = {}
    put(body, "x@odata.bind", "/y(1)")
    assert body == {"x@odata.bind": "/y(1)"} == flat(body, ["x@odata.bind"])
    addresses = {"https://x/y/orders(7)": "7", "https://x/y/7?lean=1": "7", "/y/7/": "7", "": ""}
    assert {address: last_part(address) for address in addresses} == addresses


@given(SCALARS, SCALARS, SCALARS)
def test_any_record_is_an_order_or_none(number: Any, status: Any, version: Any) -> None:
    row = {"number": number, "status": status, "version": version}
    ref = ref_of(row, Record(version="version"), States(), "AN")
    if ref is not None:
        assert (
            0 < len(ref.number) <= 64
            and len(ref.status) <= 64
            and ref.state in {"open", "done", "cancelled", "unknown"}
        )
    else:
        assert isinstance(number, bool) or not isinstance(number, str | int) or not 0 < len(str(number).strip()) <= 64


@given(st.lists(st.tuples(st.sampled_from([200, 201, 409, 422, 429, 500, None, "x"]), st.booleans()), max_size=6))
def test_each_order_of_a_batch_has_its_own_part_of_the_answer(entries: list[tuple[Any, bool]]) -> None:
    batch, record = Batch(path="/b", answers="results", record="order"), Record()
    told = [
        {"status": status, "order": {"number": f"W{at}"} if has else None} for at, (status, has) in enumerate(entries)
    ]
    said = _said({"results": told})
    parts = opened(batch, record, said, len(entries))
    assert parts is not None and len(parts) == len(entries)
    for at, (part, (status, has)) in enumerate(zip(parts, entries, strict=True)):
        if isinstance(status, int):
            assert part.status == status
        else:
            assert part.status == (201 if has else 500)
        if part.status < 300 and has:
            assert part.body == {"number": f"W{at}"}
    assert opened(batch, record, said, len(entries) + 1) is None
    assert opened(batch, record, _said([]), 1) is None


@given(st.lists(st.text(max_size=10), min_size=1, max_size=5))
def test_a_batch_says_the_same_of_the_same_orders(titles: list[str]) -> None:
    orders = [(f"AN{at}", {"title": title, "reference": f"AN{at}"}) for at, title in enumerate(titles)]
    batch = Batch(path="/b", rows="data.orders", item="order", key="meta.key")
    body = packed(batch, orders)
    assert body == packed(batch, [(key, dict(sorted(fields.items(), reverse=True))) for key, fields in orders])
    rows = msgspec.json.decode(body)["data"]["orders"]
    assert [(row["meta"]["key"], row["order"]) for row in rows] == orders


@given(st.integers(1, 4), st.sampled_from(["corrective-immediate", "predictive"]), st.text(max_size=200))
def test_the_same_order_is_the_same_bytes_whatever_the_order_of_the_mapping(
    priority: int, activity: str, title: str
) -> None:
    order = make_order("bytes", priority=priority, activity=activity, title=title)
    forward, backward = (
        Body(DEFAULT, "reference", 20),
        Body(dict(sorted(DEFAULT.items(), key=lambda row: row[0], reverse=True)), "reference", 20),
    )
    assert forward.of(order) == backward.of(order)
    assert msgspec.json.decode(forward.of(order)) == msgspec.json.decode(msgspec.json.encode(forward.fields(order)))


def test_a_schema_is_read_through_references_and_parts() -> None:
    document: dict[str, Any] = {
        "defs": {
            "Base": {
                "properties": {"title": {"type": ["string", "null"], "maxLength": 40}},
                "required": ["title", "site"],
            },
            "Place": {"type": "object", "properties": {"line": {"type": "string"}}},
            "Order": {
                "allOf": [{"$ref": "#/defs/Base"}],
                "properties": {
                    "place": {"$ref": "#/defs/Place"},
                    "down": {"type": "boolean"},
                    "extra": {"type": "object"},
                    "id": {"type": "string", "readOnly": True},
                },
            },
        }
    }
    rules = {
        "title": Rule(source="title", longest=40),
        "place.line": Rule(source="hierarchy.line"),
        "place.hall": Rule(source="hierarchy.area"),
        "down": Rule(source="asset_down"),
        "extra.free": Rule(source="impact"),
        "id": Rule(source="key"),
    }
    told = list(faults(document["defs"]["Order"], document, rules))
    assert told == [
        "mapping.place.hall: the ERP has no such field",
        "mapping.id: can only be read",
        "mapping.site: is missing, and the ERP takes no order without it",
    ]


def test_the_values_that_a_rule_can_send_are_known() -> None:
    assert choices(Rule(source="priority")) == ([1, 2, 3, 4], True)
    assert choices(Rule(source="asset_down", values={"true": "X", "false": ""})) == (["X", ""], True)
    assert choices(Rule(source="title")) == ([], False)
    assert choices(Rule(source="failure_mode", values={"VIB": "V1"})) == (["V1"], False)
    assert choices(Rule(constant="ANDON")) == (["ANDON"], True)


def _said(body: Any) -> Said:
    return plainly(Answer(207, httpx2.Headers({"content-type": "application/json"}), msgspec.json.encode(body)))
