"""Sparkplug B: types, aliases, births and deaths, order, and what is missing. No broker."""

import struct
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.line.mqtt import Settings
from connectors.line.mqtt.link import Message
from connectors.line.mqtt.metric import DOUBT
from connectors.line.mqtt.sparkplug import DEAD_DEVICE, DEAD_NODE, Sparkplug, Told
from connectors.line.mqtt.wire import Unreadable, decode, rebirth, value_of
from connectors.line.roll import Roll
from connectors.line.shapes import Unfit
from gateway.core.reading import Quality, Reading, ThermalFrame, Waveform
from tests.line_rigs import settings_of
from tests.sparkplug_wire import dataset, metric, payload, properties

NOW = datetime(2026, 3, 18, 6, 30, tzinfo=UTC)
AT = 1_700_000_000_000
INT8, INT16, INT32, INT64, UINT8, UINT32, UINT64, FLOAT, DOUBLE, BOOL, STRING = 1, 2, 3, 4, 5, 7, 8, 9, 10, 11, 12
TAGS = [
    {"asset": "M-07", "tag": "speed", "address": "sparkplug:Plant/edge/press#Spindle/Speed"},
    {"asset": "M-07", "tag": "load", "address": "sparkplug:Plant/edge#Load", "unit": "%"},
]


class Host:
    """The Sparkplug part of a source, with its clock in our hands."""

    def __init__(self, tags: list[dict[str, Any]] = TAGS, **more: Any) -> None:
        self.settings = settings_of(Settings, name="cell", endpoint="mqtt://h", tag=tags, **more)
        self.roll = Roll("cell", self.settings.tag, 100)
        self.host = Sparkplug(self.settings, self.settings.tag, self.roll)
        self.now = NOW
        self.memory: dict[str, bytes] = {}

    def say(self, kind: str, *metrics: bytes, seq: int | None = None, device: str = "", **more: Any) -> Told:
        topic = f"spBv1.0/Plant/{kind}/edge" + (f"/{device}" if device else "")
        retained = bool(more.get("retained"))
        said = payload(*metrics, seq=seq)
        self.host.take(Message(topic, said, mid=0, retained=retained, again=False, received_at=self.now))
        return self.tell()

    def tell(self, later: float = 0.0) -> Told:
        self.now += timedelta(seconds=later)
        told = self.host.tell(self.now)
        self.memory |= told.memory
        return told

    def birth(self, bd_seq: int = 1, load: float = 10.0) -> Told:
        self.say("NBIRTH", metric("bdSeq", bd_seq, INT64), metric("Load", load, DOUBLE, alias=1, at=AT), seq=0)
        return self.say("DBIRTH", metric("Spindle/Speed", 100, INT32, alias=2, at=AT), seq=1, device="press")


def values(told: Told) -> list[tuple[str, object]]:
    return [(one.tag, one.value) for one in told.readings if isinstance(one, Reading)]


@pytest.mark.pain(23)
@pytest.mark.parametrize(
    ("raw", "datatype", "value"),
    [
        (0xFFFF_FFF4, INT32, -12), (0xFFFF_FFF4, INT8, -12), (0xF4, INT8, -12), (0xFFF4, INT16, -12),
        (2**64 - 12, INT64, -12), (127, INT8, 127), (255, UINT8, 255), (2**64 - 1, UINT64, 2**64 - 1),
        (0xFFFF_FFF4, UINT32, 4294967284), (1.5, DOUBLE, 1.5), (True, BOOL, True), ("0042", STRING, "0042"),
    ],
)  # fmt: skip
def test_a_number_has_the_sign_and_width_that_its_birth_declared(raw: object, datatype: int, value: object) -> None:
    assert value_of(raw, datatype) == value


@pytest.mark.pain(23)
@pytest.mark.parametrize(("raw", "datatype"), [(300, UINT8), (300, INT8), (70_000, INT16), (1.5, INT32), (1, DOUBLE),
                                               (True, INT32), ("1", INT32), (b"x", 99)])  # fmt: skip
def test_what_does_not_fit_its_type_is_refused_and_never_cut(raw: object, datatype: int) -> None:
    with pytest.raises(Unfit):
        value_of(raw, datatype)


def test_arrays_of_every_kind_are_read() -> None:
    assert value_of(struct.pack("<3h", -1, 2, -3), 23) == [-1, 2, -3]
    assert value_of(np.array([0.5, -0.5], "<f4").tobytes(), 30) == [0.5, -0.5]
    assert value_of(b"\x0a\0\0\0" + bytes([0b1010_0000, 0b0100_0000]), 32) == [True, False, True, *[False] * 6, True]
    assert value_of(b"ab\0\xc3\xa4\0", 33) == ["ab", "ä"]
    with pytest.raises(Unfit):
        value_of(b"abc", 23)


def test_births_name_what_data_says_by_alias() -> None:
    host = Host()
    birth = host.birth()
    assert values(birth) == [("speed", 100)]
    told = host.say("DDATA", metric(value=-7, alias=2, at=AT + 1000), seq=2, device="press")
    [reading] = told.readings
    assert isinstance(reading, Reading) and (reading.value, reading.quality, reading.sequence) == (-7, Quality.GOOD, 2)
    assert reading.sourced_at == datetime.fromtimestamp(AT / 1000 + 1, UTC)
    assert values(host.say("NDATA", metric("Load", 11.0, DOUBLE), seq=3)) == [("load", 11.0)]


@pytest.mark.pain(14)
def test_a_death_makes_every_tag_bad_by_name_and_only_the_death_of_this_birth() -> None:
    host = Host()
    host.birth(bd_seq=5)
    assert not host.say("NDEATH", metric("bdSeq", 4, INT64)).readings  # of an earlier session
    device = host.say("DDEATH", seq=2, device="press").readings
    assert [(one.tag, one.value, one.why) for one in device if isinstance(one, Reading)] == [
        ("speed", None, DEAD_DEVICE)
    ]
    node = host.say("NDEATH", metric("bdSeq", 5, INT64)).readings
    assert {(one.tag, one.quality, one.why) for one in node if isinstance(one, Reading)} == {
        ("speed", Quality.BAD, DEAD_NODE),
        ("load", Quality.BAD, DEAD_NODE),
    }
    assert {state.detail for state in host.roll.states()} == {DEAD_NODE}
    assert not host.host.states()[0].healthy
    host.birth(bd_seq=6)
    assert host.host.states()[0].healthy


def test_a_payload_that_cannot_be_read_is_named_and_forgiven_once_its_sender_is_understood_again() -> None:
    host = Host()
    host.birth()
    topic = "spBv1.0/Plant/NDATA/edge"
    cut = payload(metric("Load", 11.0, DOUBLE), seq=2)[:-3]
    host.host.take(Message(topic, cut, mid=0, retained=False, again=False, received_at=host.now))
    [ill] = [state for state in host.host.states() if state.name == "payloads"]
    assert not ill.healthy and topic in ill.detail
    host.say("NDATA", metric("Load", 12.0, DOUBLE), seq=2)
    [well] = [state for state in host.host.states() if state.name == "payloads"]
    assert well.healthy and well.detail.startswith("1 could not be read")


def test_messages_out_of_order_are_put_in_order_and_wrap_around() -> None:
    host = Host()
    host.birth()
    for number in range(2, 255):
        host.say("NDATA", metric(value=float(number), alias=1), seq=number)
    assert not host.say("NDATA", metric(value=256.0, alias=1), seq=0).readings
    told = host.say("NDATA", metric(value=255.0, alias=1), seq=255)
    assert values(told) == [("load", 255.0), ("load", 256.0)]
    assert not told.gaps


@pytest.mark.pain(4, 14)
def test_a_missing_message_is_a_gap_asks_for_a_rebirth_and_puts_what_follows_in_doubt() -> None:
    host = Host(rebirth=True)
    host.birth()
    host.now += timedelta(seconds=1)
    host.say("NDATA", metric(value=1.0, alias=1), seq=3)
    assert not host.tell(1).readings
    told = host.tell(2)
    [gap] = told.gaps
    assert set(gap.tags) == {("M-07", "load"), ("M-07", "speed")} and "message 2" in gap.cause
    assert gap.start == NOW and gap.end == NOW + timedelta(seconds=1)
    [reading] = told.readings
    assert isinstance(reading, Reading) and (reading.quality, reading.why) == (Quality.UNCERTAIN, DOUBT)
    [(topic, command)] = host.host.wanted()
    assert topic == "spBv1.0/Plant/NCMD/edge"
    [asked] = decode(command).metrics
    assert (asked.name, asked.datatype, asked.raw) == ("Node Control/Rebirth", BOOL, True)
    host.say("NDATA", metric(value=1.0, alias=1), seq=9)
    host.tell(5)
    assert not list(host.host.wanted())  # not more often than every ten seconds
    told = host.birth(2)
    again = host.say("NDATA", metric(value=2.0, alias=1), seq=2).readings
    assert [one.quality for one in again if isinstance(one, Reading)] == [Quality.GOOD]


def test_without_leave_nothing_is_written() -> None:
    host = Host()
    host.birth()
    host.say("NDATA", metric(value=1.0, alias=77), seq=2)
    assert not list(host.host.wanted())


def test_a_repeated_message_and_a_retained_birth_are_no_news() -> None:
    host = Host()
    host.birth()
    host.say("NDATA", metric(value=1.0, alias=1), seq=2)
    assert not host.say("NDATA", metric(value=1.0, alias=1), seq=2).readings
    assert not host.say("NBIRTH", metric("Load", 5.0, DOUBLE), seq=0, retained=True).readings


@pytest.mark.pain(15)
def test_a_rebirth_says_the_same_again_and_is_no_sample() -> None:
    host = Host()
    host.birth()
    again = host.say("NBIRTH", metric("bdSeq", 2, INT64), metric("Load", 10.0, DOUBLE, alias=1, at=AT), seq=0)
    assert [(one.value, one.repeated) for one in again.readings if isinstance(one, Reading)] == [(10.0, True)]


@pytest.mark.pain(15)
def test_values_of_the_past_keep_their_time_and_are_not_the_latest() -> None:
    host = Host()
    host.birth()
    before = host.roll.states()[1].last_at
    host.now += timedelta(minutes=5)
    told = host.say("NDATA", metric(value=3.0, alias=1, at=AT - 60_000, historical=True), seq=2)
    [reading] = told.readings
    assert isinstance(reading, Reading) and reading.sourced_at == datetime.fromtimestamp(AT / 1000 - 60, UTC)
    assert host.roll.states()[1].last_at == before


@pytest.mark.pain(14)
def test_quality_unit_null_and_a_wrong_type_are_taken_over() -> None:
    host = Host([{"asset": "M-07", "tag": "x", "address": "sparkplug:Plant/edge#X"}])
    born = metric("X", 1.0, DOUBLE, alias=1, properties=properties(engUnit="bar", Quality=192))
    [reading] = host.say("NBIRTH", born, seq=0).readings
    assert isinstance(reading, Reading) and (reading.unit, reading.quality) == ("bar", Quality.GOOD)
    cases = [
        (metric(value=2.0, alias=1, properties=properties(Quality=0)), Quality.BAD),
        (metric(value=2.0, alias=1, properties=properties(Quality=500)), Quality.UNCERTAIN),
        (metric(alias=1), Quality.BAD),
        (metric(value="two", alias=1), Quality.BAD),
    ]
    for number, (said, quality) in enumerate(cases, 1):
        [reading] = host.say("NDATA", said, seq=number).readings
        assert isinstance(reading, Reading) and reading.quality is quality
        assert bool(reading.why) and (reading.value is None) == (quality is Quality.BAD)


def test_a_restart_remembers_births_and_says_what_it_missed() -> None:
    host = Host()
    host.birth()
    host.say("NDATA", metric(value=1.0, alias=1), seq=2)
    again = Host()
    again.host.remember({**host.memory, "birth.torn": b"\xc1"})
    again.now = NOW + timedelta(minutes=1)
    again.say("NDATA", metric(value=9.0, alias=1), seq=50)
    told = again.tell(3)
    assert values(told) == [("load", 9.0)]
    [gap] = told.gaps
    assert (gap.start, gap.end) == (NOW, NOW + timedelta(minutes=1))


def test_data_before_a_birth_is_a_gap_and_not_a_guess() -> None:
    host = Host(rebirth=True)
    told = host.say("NDATA", metric(value=1.0, alias=1), seq=7)
    assert not told.readings and "no birth" in "; ".join(told.notes)
    assert list(host.host.wanted())


def test_arrays_tables_and_pictures_become_the_big_atoms() -> None:
    host = Host([
        {"asset": "M-07", "tag": "wave", "address": "sparkplug:Plant/+#Wave", "kind": "waveform", "rate_hz": 1000},
        {"asset": "M-07", "tag": "thermal", "address": "sparkplug:Plant/edge#Table", "kind": "frame"},
        {"asset": "M-07", "tag": "b", "address": "sparkplug:Plant/edge#Table::b"},
        {"asset": "{node}", "tag": "{metric}", "address": "sparkplug:Plant/edge#*"},
    ])  # fmt: skip
    table = dataset(["a", "b"], [DOUBLE, DOUBLE], [[20, 21], [22, 23]])
    wave = np.array([1, -1], "<f4").tobytes()
    told = host.say("NBIRTH", metric("Wave", wave, 30), metric("Table", table, 16), metric("N", 4, INT32), seq=0)
    [waveform] = [one for one in told.readings if isinstance(one, Waveform)]
    [frame] = [one for one in told.readings if isinstance(one, ThermalFrame)]
    assert np.frombuffer(waveform.samples, "<f4").tolist() == [1, -1] and (frame.height, frame.width) == (2, 2)
    found = {(one.asset, one.tag): one.value for one in told.readings if isinstance(one, Reading)}
    assert found["M-07", "b"] == 21.0 and found["edge", "N"] == 4


def test_the_rebirth_command_is_a_payload() -> None:
    read = decode(rebirth(NOW))
    assert read.at == int(NOW.timestamp() * 1000) and read.seq is None


@given(st.binary(max_size=300))
def test_no_bytes_do_more_than_be_refused(data: bytes) -> None:
    try:
        read = decode(data)
    except Unreadable:
        return
    for one in read.metrics:
        for datatype in (one.datatype, *range(35)):
            try:
                value_of(one.raw, datatype)
            except Unfit:
                continue


@given(st.lists(st.integers(0, 255), max_size=30))
def test_order_never_gives_a_message_twice(numbers: list[int]) -> None:
    host = Host()
    host.birth()
    given: list[object] = []
    for place, number in enumerate(numbers):
        given += [value for _, value in values(host.say("NDATA", metric(value=float(place), alias=1), seq=number))]
    given += [value for _, value in values(host.tell(10))]
    assert len(given) == len(set(given)) <= len(numbers)
