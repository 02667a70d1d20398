"""The structures of job control: what is written is read again, and no bytes do more than be refused."""

from datetime import UTC, datetime
from typing import Any

import pytest
from asyncua import ua
from hypothesis import given
from hypothesis import strategies as st

from connectors.erp.jobcontrol.wire import ENCODINGS, SHAPES, Field, Unreadable, boxed, decode, encode, name_of, unboxed

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
BUILT_IN: dict[str, st.SearchStrategy[Any]] = {
    "String": st.none() | TEXTS,
    "DateTime": st.datetimes(datetime(1970, 1, 1), datetime(2100, 1, 1)).map(lambda at: at.replace(tzinfo=UTC)),  # noqa: DTZ001  made aware
    "Int16": st.integers(-(2**15), 2**15 - 1),
    "UInt32": st.integers(0, 2**32 - 1),
    "Variant": st.integers(-(2**63), 2**63 - 1).map(lambda value: ua.Variant(value, ua.VariantType.Int64))
    | TEXTS.map(lambda value: ua.Variant(value, ua.VariantType.String)),
    "LocalizedText": TEXTS.map(lambda text: ua.LocalizedText(text, "zh")),
    "EUInformation": TEXTS.map(lambda text: ua.EUInformation(DisplayName=ua.LocalizedText(text))),
    "RelativePath": st.just(ua.RelativePath()),
}


def values(kind: str, depth: int = 0) -> st.SearchStrategy[Any]:
    if kind not in SHAPES:
        return BUILT_IN[kind]
    there = [one for one in SHAPES[kind] if not (one.optional and depth > 1)]
    needed = {one.name: field(one, depth) for one in there if not one.optional}
    return st.fixed_dictionaries(needed, optional={one.name: field(one, depth) for one in there if one.optional})


def field(one: Field, depth: int) -> st.SearchStrategy[Any]:
    strategy = values(one.kind, depth + 1)
    return st.lists(strategy, max_size=2) if one.many else strategy


@pytest.mark.parametrize("kind", sorted(ENCODINGS))
@given(data=st.data())
def test_what_is_written_is_read_again(kind: str, data: st.DataObject) -> None:
    value = data.draw(values(kind))
    assert decode(kind, encode(kind, value)) == value
    assert unboxed(kind, boxed(kind, value, 3), 3) == value
    with pytest.raises(Unreadable):
        unboxed(kind, boxed(kind, value, 3), 4)


@pytest.mark.parametrize("kind", sorted(ENCODINGS))
@given(body=st.binary(max_size=200))
def test_bytes_that_are_none_are_refused_and_nothing_else(kind: str, body: bytes) -> None:
    try:
        decode(kind, body)
    except Unreadable:
        return


@given(value=values("JobOrderAndState"))
def test_the_name_of_a_job_is_read_alone(value: dict[str, Any]) -> None:
    assert name_of(boxed("JobOrderAndState", value, 3), 3) == (value["JobOrder"]["JobOrderID"] or "")


def test_a_count_that_cannot_be_is_refused_at_once() -> None:
    with pytest.raises(Unreadable):
        decode("JobOrderAndState", encode("JobOrder", {"JobOrderID": "x"}) + (10**9).to_bytes(4, "little"))
