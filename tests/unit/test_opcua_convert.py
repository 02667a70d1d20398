"""Converting OPC UA messages: quality, stamps and numbers arrive as they were sent, in columns."""

import io
import struct
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from asyncua import ua
from PIL import Image

from connectors.line.board import Board
from connectors.line.opcua.convert import Converter
from connectors.line.opcua.pump import Arrival
from connectors.line.opcua.settings import Node
from connectors.line.opcua.values import Change, Values
from connectors.line.opcua.variant import plain
from connectors.line.tags import Tag, judge
from gateway.core.batch import Batch
from gateway.core.reading import Quality, Reading
from gateway.core.series import NEVER, ticks
from gateway.core.units import Duration

NOW = datetime(2026, 3, 18, 6, 30, tzinfo=UTC)
MADE = NOW - timedelta(milliseconds=300)
TOLD = NOW - timedelta(milliseconds=200)
GOOD, DOUBT, SENSOR, GONE, NOT_YET, OVERFLOW = 0, 0x40900000, 0x808C0000, 0x80340000, 0x80320000, 0x480


def values(
    numbers: Sequence[Any], form: str = "<f8", statuses: Sequence[int] = (), handles: Sequence[int] = ()
) -> Values:
    count = len(numbers)
    return Values(
        np.array(handles or range(count), np.uint32),
        np.array(numbers, form),
        np.array(statuses or [GOOD] * count, np.uint32),
        np.full(count, ticks(MADE)),
        np.full(count, ticks(TOLD)),
    )


def nodes(count: int, **more: Any) -> list[Node]:
    return [Node(asset="M", tag=f"t{number}", address=f"i={number + 1}", **more) for number in range(count)]


def converter(tags: Sequence[Node]) -> tuple[Converter, Board]:
    board = Board("cell", tags)
    return Converter("cell", tags, {}, board), board


def whole(batch: Batch | None) -> Batch:
    assert batch is not None
    return batch


def only(batch: Batch | None) -> Reading:
    [reading] = whole(batch).values()
    return reading


@pytest.mark.pain(20)
def test_a_thousand_numbers_are_one_object_per_form_and_not_one_each() -> None:
    subject, board = converter(nodes(1000))
    parts = (values(range(700), "<f8"), values([True] * 300, "|b1", handles=range(700, 1000)))
    batch = whole(subject.batch([Arrival((), NOW, values=parts, sequence=41)]))
    assert not batch.readings
    assert [(block.form, block.count, block.sequence) for block in batch.series] == [("<f8", 700, 41), ("|b1", 300, 41)]
    assert batch.count == 1000
    assert all(state.healthy for state in board.states())


@pytest.mark.pain(14)
def test_quality_arrives_as_it_was_said_and_a_bad_value_is_no_number() -> None:
    subject, board = converter(nodes(3))
    message = Arrival((), NOW, values=(values([1.0, 2.0, 0.0], statuses=[GOOD, DOUBT, SENSOR]),))
    found = list(whole(subject.batch([message])).values())
    assert [(it.value, it.quality, it.why) for it in found] == [
        (1.0, Quality.GOOD, ""),
        (2.0, Quality.UNCERTAIN, "UncertainLastUsableValue"),
        (None, Quality.BAD, "BadSensorFailure"),
    ]
    assert [state.healthy for state in board.states()] == [True, True, False]


@pytest.mark.pain(15)
def test_the_three_times_are_kept_apart() -> None:
    subject, _ = converter(nodes(1))
    reading = only(subject.batch([Arrival((), NOW, values=(values([1.0]),))]))
    assert (reading.sourced_at, reading.served_at, reading.received_at, reading.at) == (MADE, TOLD, NOW, MADE)


@pytest.mark.pain(15)
def test_a_time_that_is_missing_is_not_invented() -> None:
    subject, _ = converter(nodes(1))
    bare = values([1.0])._replace(sourced=np.array([NEVER]), served=np.array([NEVER]))
    reading = only(subject.batch([Arrival((), NOW, values=(bare,))]))
    assert (reading.sourced_at, reading.served_at, reading.at) == (None, None, NOW)


@pytest.mark.pain(23)
def test_minus_twelve_stays_minus_twelve_and_a_serial_number_stays_whole() -> None:
    subject, _ = converter(nodes(2))
    found = whole(subject.batch([Arrival((), NOW, values=(values([-12, 2**60 + 1], "<i8"),))])).values()
    assert [reading.value for reading in found] == [-12, 2**60 + 1]


def test_a_node_that_is_gone_is_wanted_again_and_one_that_waits_is_neither_well_nor_ill() -> None:
    subject, board = converter(nodes(2))
    subject.batch([Arrival((), NOW, values=(values([0.0, 0.0], statuses=[GONE, NOT_YET]),))])
    assert subject.gone == {0}
    assert [state.detail for state in board.states()] == ["BadNodeIdUnknown", "waiting for the first value"]


def test_lost_messages_and_overflowed_queues_are_said() -> None:
    subject, _ = converter(nodes(2))
    message = Arrival((), NOW, missing=3, values=(values([1.0, 2.0], statuses=[OVERFLOW, GOOD]),))
    assert whole(subject.batch([message])).note == "gap: 3 messages lost; gap: the server's queue overflowed for 1 tags"


def test_handles_that_nobody_gave_out_are_left_alone() -> None:
    subject, _ = converter(nodes(1))
    message = Arrival([Change(9, "x", 0, None, None)], NOW, values=(values([1.0, 2.0], handles=[0, 4_000_000_000]),))
    assert only(subject.batch([message])).value == 1.0


def test_text_is_a_reading_of_its_own_with_the_number_of_its_message() -> None:
    subject, _ = converter(nodes(1))
    reading = only(subject.batch([Arrival([Change(0, "run", GOOD, MADE, None)], NOW, sequence=8)]))
    assert (reading.value, reading.sequence, reading.at) == ("run", 8, MADE)


@pytest.mark.parametrize("raw", [memoryview(b"\0\1"), np.zeros(3), object()])
def test_what_is_no_value_is_bad(raw: object) -> None:
    subject, _ = converter(nodes(1))
    reading = only(subject.batch([Arrival([Change(0, raw, GOOD, MADE, None)], NOW)]))
    assert (reading.value, reading.quality) == (None, Quality.BAD)
    assert "not a value" in reading.why


def test_one_number_is_no_waveform() -> None:
    subject, _ = converter(nodes(1, kind="waveform", rate_hz=1000.0))
    reading = only(subject.batch([Arrival((), NOW, values=(values([1.0]),))]))
    assert (reading.value, reading.quality, reading.why) == (None, Quality.BAD, "a number is not an array")


def test_what_is_learned_while_running_scales_and_names_what_comes_after() -> None:
    [node] = nodes(1, kind="waveform")
    subject, _ = converter([node])
    block = Change(0, np.array([1, 2, 3], "<i2"), GOOD, MADE, None)
    assert only(subject.batch([Arrival([block], NOW)])).why == "no sampling rate: give rate_hz"
    subject.learn({0: Node(asset="M", tag="t0", address="i=1", kind="waveform", rate_hz=100.0, unit="g", scale=0.5)})
    [wave] = whole(subject.batch([Arrival([block], NOW)])).waveforms
    assert (wave.rate_hz, wave.unit, struct.unpack("<3f", wave.samples)) == (100.0, "g", (0.5, 1.0, 1.5))


def test_a_picture_comes_as_a_byte_string_an_array_or_an_encoded_image() -> None:
    pixels = np.array([[30000, 30100], [30200, 29815]], "<u2")
    encoded = io.BytesIO()
    Image.fromarray(pixels).save(encoded, "PNG")
    raw = struct.pack("<HH", 2, 2) + pixels.tobytes()
    subject, _ = converter(nodes(1, kind="frame", encoding="centikelvin"))
    for value in (memoryview(raw), pixels, memoryview(encoded.getvalue())):
        [picture] = whole(subject.batch([Arrival([Change(0, value, GOOD, MADE, None)], NOW)])).frames
        assert picture.celsius() == pytest.approx(np.array([[26.85, 27.85], [28.85, 25.0]]), abs=1e-3)


def test_a_large_picture_is_whole_and_judged_to_its_last_pixel() -> None:
    pixels = np.random.default_rng(3).integers(29000, 31000, (400, 300)).astype("<u2")
    [node] = nodes(1, kind="frame", encoding="centikelvin", low=0, high=100)
    subject, _ = converter([node])
    [picture] = whole(subject.batch([Arrival([Change(0, pixels, GOOD, MADE, None)], NOW)])).frames
    assert (picture.height, picture.width) == (400, 300)
    assert picture.celsius() == pytest.approx(pixels / 100 - 273.15, abs=1e-3)
    pixels[-1, -1] = 60000
    reading = only(subject.batch([Arrival([Change(0, pixels, GOOD, MADE, None)], NOW)]))
    assert (reading.value, reading.why) == (None, "out of range")


def test_a_heartbeat_is_a_batch_of_its_own_and_nothing_else_is() -> None:
    subject, _ = converter(nodes(2, heartbeat=Duration(30)))
    subject.batch([Arrival((), NOW, values=(values([1.0, 2.0]),))])
    assert subject.pulse == 5.0
    assert subject.heartbeats(NOW + timedelta(seconds=29)) is None
    batch = whole(subject.heartbeats(NOW + timedelta(seconds=30)))
    assert [(it.value, it.repeated, it.at) for it in batch.values()] == [(1.0, True, MADE), (2.0, True, MADE)]
    assert batch.received_at == NOW + timedelta(seconds=30)


def test_without_rules_and_heartbeats_nobody_needs_to_be_asked() -> None:
    subject, _ = converter(nodes(1))
    assert subject.pulse is None


@pytest.mark.pain(13)
def test_text_that_was_no_utf_8_can_be_stored() -> None:
    gbk = "温度".encode("gbk").decode("utf-8", "surrogateescape")  # as the library hands it over
    for told in (plain(gbk), plain(ua.LocalizedText(gbk)), judge(Tag(asset="A", tag="a", address="x"), gbk)[0]):
        assert isinstance(told, str) and "\ufffd" in told and told.encode()
    assert plain("温度 °C 🔥") == "温度 °C 🔥"
