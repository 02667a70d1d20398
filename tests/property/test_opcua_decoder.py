"""The fast decoder of publish responses against the library's: the same message, or the fast one declines."""

import math
import struct
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from asyncua import ua
from asyncua.common.utils import Buffer
from asyncua.ua.ua_binary import struct_from_binary, struct_to_binary
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.line.opcua.decode import Message, Unusual, decode, fast, generic

TYPES = ua.VariantType
INTS = {TYPES.SByte: 8, TYPES.Int16: 16, TYPES.Int32: 32, TYPES.Int64: 64}
UNSIGNED = {TYPES.Byte: 8, TYPES.UInt16: 16, TYPES.UInt32: 32, TYPES.UInt64: 64}
MOMENTS = st.one_of(
    st.none(),
    st.integers(0, 4_000_000_000).map(lambda second: datetime.fromtimestamp(second, UTC)),
)


def scalars() -> st.SearchStrategy[ua.Variant]:
    kinds = [
        st.integers(-(2 ** (b - 1)), 2 ** (b - 1) - 1).map(lambda n, k=k: ua.Variant(n, k)) for k, b in INTS.items()
    ]
    kinds += [st.integers(0, 2**b - 1).map(lambda n, k=k: ua.Variant(n, k)) for k, b in UNSIGNED.items()]
    return st.one_of(
        *kinds,
        st.floats(width=32).map(lambda n: ua.Variant(n, TYPES.Float)),
        st.floats().map(lambda n: ua.Variant(n, TYPES.Double)),
        st.booleans().map(lambda n: ua.Variant(n, TYPES.Boolean)),
        st.text(max_size=20).map(lambda t: ua.Variant(t, TYPES.String)),
        st.binary(max_size=20).map(lambda b: ua.Variant(b, TYPES.ByteString)),
        st.just(ua.Variant(None, TYPES.Null)),
        st.text(max_size=5).map(lambda t: ua.Variant(ua.LocalizedText(t), TYPES.LocalizedText)),
        MOMENTS.filter(bool).map(lambda at: ua.Variant(at, TYPES.DateTime)),
    )


def arrays() -> st.SearchStrategy[ua.Variant]:
    flat = st.lists(st.floats(width=32, allow_nan=False), min_size=1, max_size=9).map(
        lambda v: ua.Variant(v, TYPES.Float)
    )
    square = st.tuples(st.integers(1, 3), st.integers(1, 3)).map(
        lambda shape: ua.Variant([list(range(shape[1])) for _ in range(shape[0])], TYPES.UInt16)
    )
    return st.one_of(flat, square)


@st.composite
def data_values(draw: st.DrawFn, variants: st.SearchStrategy[ua.Variant]) -> ua.DataValue:
    status = draw(st.sampled_from([0, 0x40000000, 0x80000000, 0x808C0000, 0x00000480]))
    return ua.DataValue(
        draw(variants), ua.StatusCode(status), SourceTimestamp=draw(MOMENTS), ServerTimestamp=draw(MOMENTS)
    )


def response(values: list[ua.DataValue]) -> bytes:
    made = ua.PublishResponse()
    made.Parameters.SubscriptionId = 7
    made.Parameters.AvailableSequenceNumbers = [1, 2, 3]
    made.Parameters.NotificationMessage.SequenceNumber = 3
    if values:
        note = ua.DataChangeNotification()
        note.MonitoredItems = [
            ua.MonitoredItemNotification(ClientHandle=place, Value=value) for place, value in enumerate(values)
        ]
        made.Parameters.NotificationMessage.NotificationData = [note]
    return bytes(struct_to_binary(made))


def alike(left: object, right: object) -> bool:
    if isinstance(left, np.ndarray) or isinstance(right, np.ndarray):
        return np.array_equal(np.asarray(left), np.asarray(right))
    if isinstance(left, float) and isinstance(right, float) and math.isnan(left):
        return math.isnan(right)
    return left == right and type(left) is type(right)


def same(left: Message, right: Message) -> bool:
    if (left.subscription, left.sequence, left.keep_alive) != (right.subscription, right.sequence, right.keep_alive):
        return False
    near = timedelta(microseconds=1)
    return len(left.changes) == len(right.changes) and all(
        a.handle == b.handle
        and a.status == b.status
        and alike(a.value, b.value)
        and all(
            (x is None) == (y is None) and (x is None or abs(x - y) <= near) for x, y in zip(a[3:], b[3:], strict=True)
        )
        for a, b in zip(left.changes, right.changes, strict=True)
    )


@settings(max_examples=150, deadline=None)
@given(st.lists(data_values(st.one_of(scalars(), arrays())), max_size=20))
def test_both_decoders_agree_or_the_fast_one_declines(values: list[ua.DataValue]) -> None:
    data = response(values)
    slow = generic(struct_from_binary(ua.PublishResponse, Buffer(data)))
    try:
        quick = fast(data)
    except Unusual:
        assert any(value.Value.VariantType in {TYPES.LocalizedText, TYPES.DateTime} for value in values)
    else:
        assert same(quick, slow)
    assert same(decode(Buffer(data)), slow)


@settings(max_examples=60, deadline=None)
@given(st.integers(16, 60), data_values(scalars()))
def test_uniform_messages_take_the_columns_and_agree(count: int, value: ua.DataValue) -> None:
    data = response([value] * count)
    slow = generic(struct_from_binary(ua.PublishResponse, Buffer(data)))
    assert same(decode(Buffer(data)), slow)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=60), st.integers(0, 200))
def test_damaged_bytes_never_give_values_beyond_the_message(noise: bytes, at: int) -> None:
    whole = response([ua.DataValue(ua.Variant(1.0, TYPES.Double))] * 20)
    try:
        made = fast(whole[:at] + noise)
    except (Unusual, IndexError, ValueError, OverflowError, struct.error):
        return
    assert len(made.changes) <= len(whole)


def test_a_status_change_ends_the_subscription() -> None:
    made = ua.PublishResponse()
    made.Parameters.NotificationMessage.NotificationData = [
        ua.StatusChangeNotification(Status=ua.StatusCode(ua.StatusCodes.BadTimeout))
    ]
    assert decode(Buffer(bytes(struct_to_binary(made)))).lost == "BadTimeout"


def test_a_fault_is_raised() -> None:
    made = ua.PublishResponse()
    made.ResponseHeader.ServiceResult = ua.StatusCode(ua.StatusCodes.BadSessionIdInvalid)
    with pytest.raises(ua.UaStatusCodeError):
        decode(Buffer(bytes(struct_to_binary(made))))
