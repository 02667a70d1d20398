"""The fast decoder of publish responses against the library's: the same message, item by item."""

import math
import struct
from contextlib import suppress
from datetime import UTC, datetime

import numpy as np
import pytest
from asyncua import ua
from asyncua.common.utils import Buffer
from asyncua.ua.ua_binary import struct_from_binary, struct_to_binary
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from connectors.line.opcua.changes import Patterns
from connectors.line.opcua.decode import Decoder, Message, fast, generic
from connectors.line.opcua.variant import Unusual
from gateway.core.series import ticks

TYPES = ua.VariantType
INTS = {TYPES.SByte: 8, TYPES.Int16: 16, TYPES.Int32: 32, TYPES.Int64: 64}
UNSIGNED = {TYPES.Byte: 8, TYPES.UInt16: 16, TYPES.UInt32: 32, TYPES.UInt64: 64}
MOMENTS = st.one_of(
    st.none(),
    st.integers(0, 4_000_000_000).map(lambda second: datetime.fromtimestamp(second, UTC)),
)


def _array(kind: ua.VariantType, items: st.SearchStrategy[object]) -> st.SearchStrategy[ua.Variant]:
    return st.lists(items, min_size=1, max_size=9).map(lambda values: ua.Variant(values, kind))


SCALARS: list[st.SearchStrategy[ua.Variant]] = [
    *(st.integers(-(2 ** (b - 1)), 2 ** (b - 1) - 1).map(lambda n, k=k: ua.Variant(n, k)) for k, b in INTS.items()),
    *(st.integers(0, 2**b - 1).map(lambda n, k=k: ua.Variant(n, k)) for k, b in UNSIGNED.items()),
    st.floats(width=32).map(lambda n: ua.Variant(n, TYPES.Float)),
    st.floats().map(lambda n: ua.Variant(n, TYPES.Double)),
    st.booleans().map(lambda n: ua.Variant(n, TYPES.Boolean)),
    st.text(max_size=20).map(lambda t: ua.Variant(t, TYPES.String)),
    st.binary(max_size=20).map(lambda b: ua.Variant(b, TYPES.ByteString)),
    st.just(ua.Variant(None, TYPES.Null)),
    st.text(max_size=5).map(lambda t: ua.Variant(ua.LocalizedText(t), TYPES.LocalizedText)),
    MOMENTS.filter(bool).map(lambda at: ua.Variant(at, TYPES.DateTime)),
    st.uuids().map(lambda guid: ua.Variant(guid, TYPES.Guid)),
    st.just(ua.Variant(ua.NodeId("a", 2), TYPES.NodeId)),
    st.just(ua.Variant(ua.StatusCode(0x80310000), TYPES.StatusCode)),
]
ARRAYS: list[st.SearchStrategy[ua.Variant]] = [
    _array(TYPES.Float, st.floats(width=32, allow_nan=False)),
    _array(TYPES.String, st.text(max_size=5)),
    st.tuples(st.integers(1, 3), st.integers(1, 3)).map(
        lambda shape: ua.Variant([list(range(shape[1])) for _ in range(shape[0])], TYPES.UInt16)
    ),
]


STATUSES = st.sampled_from([0, 0x40000000, 0x80000000, 0x808C0000, 0x00000480])
NULL = ua.Variant(None, TYPES.Null)


@st.composite
def data_values(draw: st.DrawFn, variants: st.SearchStrategy[ua.Variant]) -> ua.DataValue:
    return ua.DataValue(
        draw(variants),
        ua.StatusCode(draw(STATUSES)),
        SourceTimestamp=draw(MOMENTS),
        ServerTimestamp=draw(MOMENTS),
    )


@st.composite
def lives(draw: st.DrawFn) -> list[tuple[int, ua.DataValue]]:
    """Items that keep their type and fail now and then, mixed with each other."""
    kinds = draw(st.lists(st.sampled_from([*SCALARS, *ARRAYS]), min_size=1, max_size=6))
    lost = ua.DataValue(NULL, ua.StatusCode(ua.StatusCodes.BadNoCommunication), SourceTimestamp=draw(MOMENTS))
    items = []
    for handle, fails in draw(st.lists(st.tuples(st.integers(0, len(kinds) - 1), st.booleans()), max_size=16)):
        items.append((handle, draw(data_values(kinds[handle]))))
        if fails:
            items.append((handle, lost))
    return items


def response(values: list[ua.DataValue] | list[tuple[int, ua.DataValue]]) -> bytes:
    made = ua.PublishResponse()
    made.Parameters.SubscriptionId = 7
    made.Parameters.AvailableSequenceNumbers = [1, 2, 3]
    made.Parameters.NotificationMessage.SequenceNumber = 3
    items = [it if isinstance(it, tuple) else (place, it) for place, it in enumerate(values)]
    if items:
        note = ua.DataChangeNotification()
        note.MonitoredItems = [ua.MonitoredItemNotification(ClientHandle=handle, Value=it) for handle, it in items]
        made.Parameters.NotificationMessage.NotificationData = [note]
    return bytes(struct_to_binary(made))


def alike(left: object, right: object) -> bool:
    if isinstance(left, np.ndarray) or isinstance(right, np.ndarray):
        return np.array_equal(np.asarray(left), np.asarray(right))
    if isinstance(left, memoryview) or isinstance(right, memoryview):
        return left == right
    if isinstance(left, float) and isinstance(right, float) and math.isnan(left):
        return math.isnan(right)
    return left == right and type(left) is type(right)


Item = tuple[int, object, int, int, int]


def items_of(message: Message) -> list[Item]:
    """Every item of a message, those of a handle in their order; a bad number is as good as none."""
    found: list[Item] = [(*change[:3], ticks(change.sourced_at), ticks(change.served_at)) for change in message.changes]
    for values in message.values:
        found += zip(*(column.tolist() for column in values), strict=True)
    plain = [(it[0], None, *it[2:]) if it[2] >> 31 and isinstance(it[1], int | float) else it for it in found]
    return sorted(plain, key=lambda it: it[0])


def same(left: Message, right: Message) -> bool:
    if (left.subscription, left.sequence, left.keep_alive) != (right.subscription, right.sequence, right.keep_alive):
        return False
    if abs(left.published - right.published) > 1:
        return False
    mine, other = items_of(left), items_of(right)
    return len(mine) == len(other) and all(
        (a[0], a[2]) == (b[0], b[2])
        and alike(a[1], b[1])
        and all(abs(x - y) <= 1 for x, y in zip(a[3:], b[3:], strict=True))
        for a, b in zip(mine, other, strict=True)
    )


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(data_values(st.one_of(*SCALARS, *ARRAYS)), max_size=20))
def test_both_decoders_agree(values: list[ua.DataValue]) -> None:
    data = response(values)
    slow = generic(struct_from_binary(ua.PublishResponse, Buffer(data)))
    assert same(fast(data, {}), slow)
    assert same(Decoder().decode(Buffer(data)), slow)


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(lives())
def test_the_values_of_one_item_keep_their_order(items: list[tuple[int, ua.DataValue]]) -> None:
    data = response(items)
    slow = generic(struct_from_binary(ua.PublishResponse, Buffer(data)))
    assert same(fast(data, {}), slow)


@pytest.mark.pain(20)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.integers(1, 60), data_values(st.one_of(*SCALARS)))
def test_uniform_messages_agree(count: int, value: ua.DataValue) -> None:
    data = response([value] * count)
    slow = generic(struct_from_binary(ua.PublishResponse, Buffer(data)))
    assert same(Decoder().decode(Buffer(data)), slow)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.binary(max_size=60), st.integers(0, 200))
def test_a_message_that_is_cut_gives_no_values_beyond_it(noise: bytes, at: int) -> None:
    whole = response([ua.DataValue(ua.Variant(1.0, TYPES.Double))] * 20)
    try:
        made = fast(whole[:at] + noise, {})
    except (Unusual, IndexError, ValueError, struct.error):
        return
    assert len(items_of(made)) <= len(whole)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(lives(), st.data())
def test_damaged_bytes_are_a_message_or_the_librarys_error(
    items: list[tuple[int, ua.DataValue]], data: st.DataObject
) -> None:
    whole = bytearray(response(items))
    for _ in range(data.draw(st.integers(1, 4))):
        whole[data.draw(st.integers(4, len(whole) - 1))] = data.draw(st.integers(0, 255))
    with suppress(ua.UaError):
        made = Decoder().decode(Buffer(bytes(whole)))
        assert len(items_of(made)) <= len(whole)


def test_a_status_change_ends_the_subscription() -> None:
    made = ua.PublishResponse()
    made.Parameters.NotificationMessage.NotificationData = [
        ua.StatusChangeNotification(Status=ua.StatusCode(ua.StatusCodes.BadTimeout))
    ]
    assert Decoder().decode(Buffer(bytes(struct_to_binary(made)))).lost == "BadTimeout"


def test_a_fault_is_raised() -> None:
    made = ua.PublishResponse()
    made.ResponseHeader.ServiceResult = ua.StatusCode(ua.StatusCodes.BadSessionIdInvalid)
    with pytest.raises(ua.UaStatusCodeError):
        Decoder().decode(Buffer(bytes(struct_to_binary(made))))


@pytest.mark.pain(20)
@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(lives(), min_size=1, max_size=3), st.data())
def test_what_an_earlier_message_looked_like_changes_no_value(
    stories: list[list[tuple[int, ua.DataValue]]], data: st.DataObject
) -> None:
    patterns: Patterns = {}
    for _ in range(4):
        message = response(data.draw(st.sampled_from(stories)))
        slow = generic(struct_from_binary(ua.PublishResponse, Buffer(message)))
        assert same(fast(message, patterns), slow)


def mixed(value: float, word: str, kinds: tuple[TYPES, TYPES]) -> bytes:
    one, other = kinds
    return response(
        [
            (0, ua.DataValue(ua.Variant(int(value), one))),
            (1, ua.DataValue(ua.Variant(word, TYPES.String))),
            (2, ua.DataValue(ua.Variant(value, TYPES.Double))),
            (3, ua.DataValue(ua.Variant(int(value), other))),
        ]
    )


def test_a_message_of_the_same_length_but_other_sorts_is_seen_through() -> None:
    patterns: Patterns = {}
    for message in (
        mixed(1, "ab", (TYPES.Int16, TYPES.Int32)),
        mixed(2, "cd", (TYPES.Int16, TYPES.Int32)),
        mixed(3, "ef", (TYPES.Int32, TYPES.Int16)),
        mixed(4, "abcd", (TYPES.Int16, TYPES.Int16)),
        mixed(5, "", (TYPES.Int32, TYPES.Int32)),
    ):
        assert same(fast(message, patterns), generic(struct_from_binary(ua.PublishResponse, Buffer(message))))
    assert len(patterns) == 1


def test_patterns_are_bounded() -> None:
    patterns: Patterns = {}
    for size in range(200):
        fast(response([ua.DataValue(ua.Variant("x" * size, TYPES.String))]), patterns)
    assert len(patterns) <= 64


@pytest.mark.pain(20)
def test_numbers_of_a_message_become_columns_and_nothing_else() -> None:
    kinds = (TYPES.Double, TYPES.Float, TYPES.Int32, TYPES.UInt16, TYPES.Boolean, TYPES.Int64, TYPES.UInt64)
    items = [ua.DataValue(ua.Variant(number % 2, kinds[number % len(kinds)])) for number in range(1000)]
    message = fast(response(items), {})
    assert not message.changes
    assert sorted(values.values.dtype.str for values in message.values) == ["<f8", "<i8", "<u8", "|b1"]
    assert sum(len(values.handles) for values in message.values) == 1000


def test_events_come_with_their_fields() -> None:
    made = ua.PublishResponse()
    fields = [ua.Variant(ua.LocalizedText("hot"), TYPES.LocalizedText), ua.Variant(500, TYPES.UInt16)]
    made.Parameters.NotificationMessage.NotificationData = [
        ua.EventNotificationList(Events=[ua.EventFieldList(ClientHandle=4, EventFields=fields)])
    ]
    [event] = Decoder().decode(Buffer(bytes(struct_to_binary(made)))).events
    assert (event.handle, event.fields) == (4, ("hot", 500))
