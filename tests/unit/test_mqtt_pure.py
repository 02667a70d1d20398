"""MQTT without a broker: addresses, topics, messages, marks."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.line.mqtt import Settings, Topic
from connectors.line.mqtt.address import MISSING, fewest, fill, find, matches, parse, steps
from connectors.line.mqtt.link import Message
from connectors.line.mqtt.marks import Marks
from connectors.line.mqtt.payload import Content, Skip, moment_of, read
from gateway.core.reading import Quality, Reading
from tests.line_rigs import settings_of

NOW = datetime(2026, 3, 18, 6, 30, tzinfo=UTC)
ZONE = ZoneInfo("Asia/Shanghai")


@pytest.mark.parametrize(
    ("text", "topic", "path"),
    [
        ("plant/cell-a/+/temp#value", "plant/cell-a/+/temp", ("value",)),
        ("plant/#", "plant/#", ()),
        ("plant/##motor.phases[2]", "plant/#", ("motor", "phases", 2)),
        ("#", "#", ()),
        ("a/b#/x~1y/0", "a/b", ("x/y", "0")),
        ("a/b", "a/b", ()),
    ],
)
def test_an_address_is_a_topic_and_a_path(text: str, topic: str, path: tuple[object, ...]) -> None:
    read = parse(text)
    assert (read.filter, read.path) == (topic, path)


@pytest.mark.parametrize("bad", ["a/#/b", "a+/b", "a/b#", "a/b#x..y", "sparkplug:g/n", "sparkplug:g#m", "a/b#x."])
def test_an_address_that_means_nothing_is_refused_or_has_no_path(bad: str) -> None:
    if bad == "a/b#":
        assert parse(bad).path == ()
        return
    with pytest.raises(ValueError, match=r"expected|stands|ends"):
        parse(bad)


def test_a_path_finds_what_it_names_and_says_when_nothing_is_there() -> None:
    value = {"motor": {"phases": [1, 2, 3], "0": "zero"}}
    assert find(value, steps("motor.phases[2]")) == 3
    assert find(value, steps("/motor/phases/2")) == 3
    assert find(value, steps("motor.0")) == "zero"
    assert find(value, steps("motor.phases[9]")) is MISSING
    assert find(value, steps("motor.phases.x.y")) is MISSING


def test_topics_fit_as_mqtt_says() -> None:
    assert matches("a/+/c", "a/b/c") and not matches("a/+", "a/b/c") and matches("a/#", "a") and matches("#", "a/b")
    assert not matches("#", "$SYS/load") and not matches("+/x", "$SYS/x")
    assert fewest(["a/b", "a/+", "c", "a/b", "d/#", "d/e/f"]) == ["a/+", "c", "d/#"]


def test_names_come_from_topic_levels() -> None:
    assert fill("{2}-{0}", ["a", "b", "c"]) == "c-a"
    for bad in ("{9}", "{device}"):
        with pytest.raises(ValueError, match="no level"):
            fill(bad, ["a"])
    with pytest.raises(ValueError, match="not a name"):
        fill("{0}", ["x" * 200])


@pytest.mark.parametrize(
    ("raw", "unit", "at"),
    [
        (1_700_000_000_000, "ms", 1_700_000_000), ("1700000000", "s", 1_700_000_000), (1.7e18, "ns", 1_700_000_000),
        ("2023-11-15T06:13:20+08:00", "iso", 1_700_000_000), ("2023-11-15T06:13:20", "iso", 1_700_000_000),
        ("soon", "iso", None), (True, "s", None), (1e300, "s", None), (None, "iso", None), ("x", "ms", None),
    ],
)  # fmt: skip
def test_a_time_is_read_as_its_unit_says(raw: object, unit: str, at: int | None) -> None:
    assert moment_of(raw, unit, ZONE) == (None if at is None else datetime.fromtimestamp(at, UTC))


@pytest.mark.pain(15)
def test_a_value_whose_time_cannot_be_read_is_uncertain_and_has_none() -> None:
    tag = Topic(asset="M-07", tag="t", address="a#v", time="ts", time_unit="ms")
    reading = read(tag, ("v",), Content(b'{"v": 1, "ts": "soon"}'), NOW, retained=False, zone=ZONE)
    assert isinstance(reading, Reading)
    assert (reading.value, reading.quality, reading.sourced_at) == (1, Quality.UNCERTAIN, None) and reading.why


@given(
    st.binary(max_size=200), st.sampled_from(["value", "waveform", "frame", "line"]), st.sampled_from(["", "v", "a.b"])
)
def test_no_payload_does_more_than_become_bad(payload: bytes, kind: str, path: str) -> None:
    tag = Topic(asset="M-07", tag="t", address=f"a#{path}" if path else "a", kind=kind, rate_hz=1)  # type: ignore[arg-type]  # one of four
    try:
        atom = read(tag, steps(path), Content(payload), NOW, retained=False, zone=ZONE)
    except Skip:
        return
    if isinstance(atom, Reading):
        assert (atom.value is None) == (atom.quality is Quality.BAD)


def message(number: int, *, again: bool = False) -> Message:
    return Message("a/b", str(number).encode(), number % 65_535 + 1, retained=False, again=again, received_at=NOW)


@given(st.lists(st.integers(1, 40), min_size=1, max_size=60), st.data())
def test_what_was_committed_and_comes_again_is_left_out_and_nothing_else(sizes: list[int], data: st.DataObject) -> None:
    marks, memory, said, crash = Marks(), dict[str, bytes](), 0, data.draw(st.integers(0, len(sizes)))
    for commit, size in enumerate(sizes):
        if commit == crash:  # a new process goes on, with the rest of the last batch lost
            marks = Marks()
            marks.remember(memory)
        assert not any(marks.met(message(said + step)) for step in range(size))
        memory |= marks.kept()
        said += size
    after = Marks()
    after.remember(memory)
    assert all(after.met(message(number, again=True)) for number in range(said))
    assert not after.met(message(0, again=True))  # twice means that it is another one
    assert not after.met(message(said, again=True)) and not after.met(message(1, again=False))


def test_marks_are_bounded() -> None:
    marks, memory = Marks(), dict[str, bytes]()
    for number in range(40_000):
        marks.met(message(number))
        memory |= marks.kept()
    assert len(memory) <= 513 and sum(map(len, memory.values())) < 400_000


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"endpoint": "http://x"}, "expected mqtts"),
        ({"endpoint": "mqtt://x:99999"}, "expected mqtts"),
        ({"endpoint": "mqtt://x", "user": {"name": "a", "password": {"env": "P"}}}, "readable on the wire"),
        ({"endpoint": "mqtt://x", "ca": "/x"}, "need mqtts"),
        ({"endpoint": "mqtts://x", "certificate": "/x"}, "belong together"),
        ({"endpoint": "mqtt://x", "tag": []}, "no tags"),
        ({"endpoint": "mqtt://x", "qos": 2}, "Invalid enum value 2"),
    ],
)
def test_settings_that_cannot_work_are_refused_with_what_to_do(fields: dict[str, object], why: str) -> None:
    tag = {"asset": "A", "tag": "a", "address": "a/b"}
    with pytest.raises(msgspec.ValidationError, match=why):
        settings_of(Settings, name="m", **({"tag": [tag]} | fields))


def test_a_time_beyond_every_clock_is_none() -> None:
    assert moment_of(10**400, "s", ZoneInfo("UTC")) is None
    assert moment_of("9" * 400, "ms", ZoneInfo("UTC")) is None


@pytest.mark.parametrize("kind", ["value", "waveform", "frame"])
def test_a_number_that_no_computer_holds_is_a_bad_value_and_no_end(kind: str) -> None:
    tag = msgspec.convert({"asset": "A", "tag": "t", "address": "x", "kind": kind, "rate_hz": 1000}, Topic)
    huge = b"1" + b"0" * 380
    content = Content(huge if kind == "value" else b"[" + huge + b", 2]")
    found = read(tag, (), content, datetime(2026, 3, 18, tzinfo=UTC), retained=False, zone=ZONE)
    assert isinstance(found, Reading) and (found.value, found.quality) == (None, Quality.BAD)
