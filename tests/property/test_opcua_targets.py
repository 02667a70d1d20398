"""What is written is exactly what was given, or nothing; what an event says is taken, whatever it says."""

from datetime import UTC, datetime

import pytest
from asyncua import ua
from asyncua.common.utils import Buffer
from asyncua.ua.ua_binary import variant_from_binary, variant_to_binary
from hypothesis import given
from hypothesis import strategies as st

from connectors.line.opcua.browse import _matches, _may_lead_to
from connectors.line.opcua.conditions import FIELDS, Conditions, happening
from connectors.line.opcua.targets import _variant, misfit, misfits
from connectors.line.opcua.wishes import WHOLE, Argument, EventWish, TargetWish
from gateway.core.reading import Value

NOW = datetime(2026, 3, 1, tzinfo=UTC)
VALUES = st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=30)
WIDE: dict[str, tuple[float, float]] = {**WHOLE, "Float": (-3.4e38, 3.4e38), "Double": (-1.7e308, 1.7e308)}
KINDS = st.sampled_from(sorted([*WIDE, "Boolean", "String"]))


def argument(kind: str) -> Argument:
    low, high = WIDE.get(kind, (None, None))
    return Argument(name="x", type=kind, low=low, high=high, longest=20)  # type: ignore[arg-type]


@given(KINDS, VALUES)
def test_a_value_that_fits_arrives_as_it_was_given(kind: str, value: Value) -> None:
    wanted = argument(kind)
    if misfit(wanted, value):
        return
    raw = variant_to_binary(_variant(wanted, value))
    found = variant_from_binary(Buffer(raw))
    assert found.VariantType.name == kind
    assert found.Value == (pytest.approx(value, rel=1e-6, abs=1e-37) if kind == "Float" else value)
    assert isinstance(found.Value, bool) is isinstance(value, bool)


@given(KINDS, VALUES)
def test_nothing_but_its_own_kind_fits(kind: str, value: Value) -> None:
    fits = not misfit(argument(kind), value)
    if kind == "Boolean":
        assert fits is isinstance(value, bool)
    elif kind == "String":
        assert fits is (isinstance(value, str) and len(value) <= 20)
    elif kind in WHOLE:
        first, last = WHOLE[kind]
        assert fits is (isinstance(value, int) and not isinstance(value, bool) and first <= value <= last)
    else:
        assert not fits or (isinstance(value, int | float) and not isinstance(value, bool))


@given(st.lists(VALUES, max_size=4))
def test_the_number_of_values_is_the_number_of_arguments(values: list[Value]) -> None:
    wanted = (argument("String"), argument("Double"))
    if len(values) != 2:
        assert misfits(wanted, values)


@given(st.floats(allow_nan=False, allow_infinity=False), st.floats(0, 100), st.floats(0, 100))
def test_nothing_beyond_the_declared_ends_is_written(value: float, one: float, other: float) -> None:
    low, high = sorted((one, other))
    target = TargetWish(name="x", node="i=1", type="Double", low=low, high=high)
    assert (not misfits(target.values(), [value])) is (low <= value <= high)


ODD = st.none() | st.booleans() | st.integers() | st.text(max_size=20) | st.binary(max_size=20) | st.just(NOW)


@given(st.lists(ODD, max_size=len(FIELDS) + 2) | st.tuples(*[ODD] * len(FIELDS)))
def test_whatever_an_event_says_is_taken_or_left(fields: list[object]) -> None:
    table = Conditions()
    one = happening(fields)
    assert (one is None) is (len(fields) != len(FIELDS))
    if one is not None:
        line = table.take(EventWish(asset="M"), one, NOW)
        assert line is None or (0 <= line.severity <= 7 and line.text.isprintable())
        table.recall(table.remember())


NAMES = st.lists(st.sampled_from(["A", "B", "Temp", "Press"]), min_size=1, max_size=5)
GLOBS = st.lists(st.sampled_from(["A", "*", "**", "T*", "[AB]"]), min_size=1, max_size=4)


@given(NAMES, GLOBS)
def test_a_walk_never_turns_back_before_a_match(path: list[str], pattern: list[str]) -> None:
    if _matches(path, pattern):
        assert all(_may_lead_to(path[:length], pattern) for length in range(1, len(path) + 1))


def test_a_field_of_an_event_is_asked_for_at_the_type_that_defines_it() -> None:
    assert {ua.ObjectIdNames[number] for number, _ in FIELDS} == {
        "BaseEventType",
        "ConditionType",
        "AcknowledgeableConditionType",
        "AlarmConditionType",
        "ExclusiveLimitAlarmType",
    }
