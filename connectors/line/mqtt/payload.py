"""Plain MQTT messages: what one says about one tag. Pure."""

import base64
import binascii
import math
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import msgspec

from connectors.line.lines import clean, read_line, stamp
from connectors.line.mqtt.address import MISSING, Path, find, steps
from connectors.line.mqtt.settings import Topic
from connectors.line.shapes import Unfit, frame, waveform
from connectors.line.tags import Times, bad, judge
from gateway.core.reading import LogLine, Quality, Reading, ThermalFrame, Waveform

Atom = Reading | Waveform | ThermalFrame | LogLine
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_PER_SECOND = {"s": 1, "ms": 1000, "us": 1_000_000, "ns": 1_000_000_000}
_MOST_TEXT = 65_536
_RAW = {"float32", "int16"}
NO_STAMP = "the time in the message cannot be read"
OLD = "retained by the broker, of unknown age"


class Skip(Exception):
    """The message says nothing about this tag; the message is the reason."""


class Content:
    """The payload of one message; its JSON is decoded once, when it is first needed."""

    __slots__ = ("_json", "payload")

    def __init__(self, payload: bytes) -> None:
        self.payload = payload
        self._json: object = MISSING

    def json(self) -> object:
        """Give the decoded JSON. Raises `Unfit`."""
        if self._json is MISSING:
            try:
                self._json = msgspec.json.decode(self.payload)
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as no:
                raise Unfit("not JSON") from no
        return self._json

    def at(self, path: Path) -> object:
        """Give what stands at a path. Raises `Unfit`, or `Skip` when there is nothing."""
        found = find(self.json(), path)
        if found is MISSING:
            raise Skip("no value at " + ".".join(str(step) for step in path))
        return found


def read(tag: Topic, path: Path, content: Content, received_at: datetime, *, retained: bool, zone: ZoneInfo) -> Atom:
    """Say what a message means for a tag (whose asset and name are filled in).

    A value that does not fit is a BAD reading with its reason, whatever kind the tag is of. Raises `Skip`.
    """
    try:
        at, why = _time(tag, content, zone)
        if tag.kind == "value":
            return _value(tag, path, content, Times(at, None, received_at), why, retained=retained)
        if retained and at is None:
            raise Skip(OLD)
        return _big(tag, path, content, Times(at, None, received_at), why, zone)
    except Unfit as no:
        return bad(tag, str(no), received_at)


def _value(tag: Topic, path: Path, content: Content, times: Times, why: str, *, retained: bool) -> Reading:
    raw = content.at(path) if path else _whole(tag, content)
    value, fault = judge(tag, _typed(tag, raw))
    if fault:
        quality, why = Quality.BAD, fault
    elif retained and times.sourced_at is None:
        quality, why = Quality.UNCERTAIN, why or OLD
    else:
        quality = Quality.UNCERTAIN if why else Quality.GOOD
    return Reading(
        tag.asset, tag.tag, value, tag.unit, quality, times.sourced_at, None, times.received_at, why, 0, retained
    )


def _whole(tag: Topic, content: Content) -> object:
    """The payload itself: JSON when it is a single value, text otherwise."""
    if tag.type != "text":
        try:
            found = content.json()
        except Unfit:
            found = MISSING
        if found is not MISSING:
            return found
    if len(content.payload) > _MOST_TEXT:
        raise Unfit(f"{len(content.payload)} bytes are too many for a text")
    try:
        return content.payload.decode()
    except UnicodeDecodeError as no:
        raise Unfit("the payload is neither JSON nor text") from no


def _typed(tag: Topic, raw: object) -> object:
    """Hold a value against its declared type. Raises `Unfit`; nothing is coerced but a number written as text."""
    if tag.type == "number" and not (isinstance(raw, int | float) and not isinstance(raw, bool)):
        if isinstance(raw, str):
            try:
                number = float(raw)
            except ValueError:
                raise Unfit(f"{raw[:40]!r} is no number") from None
            return int(number) if number.is_integer() and abs(number) < 2**53 and "." not in raw else number
        raise Unfit(f"{type(raw).__name__} is no number")
    if tag.type == "bool" and not isinstance(raw, bool):
        raise Unfit(f"{str(raw)[:40]!r} is neither true nor false")
    if tag.type == "text" and not isinstance(raw, str):
        raise Unfit(f"{type(raw).__name__} is no text")
    if isinstance(raw, dict | list):
        raise Unfit("a whole object is no value: give a path into it (topic#path)")
    return clean(raw) if isinstance(raw, str) else raw


def _time(tag: Topic, content: Content, zone: ZoneInfo) -> tuple[datetime | None, str]:
    """Read the value's own time; None and a reason when it cannot be read."""
    if not tag.time:
        return None, ""
    try:
        at = moment_of(content.at(steps(tag.time)), tag.time_unit, zone)
    except (Skip, Unfit):
        return None, NO_STAMP
    return at, "" if at is not None else NO_STAMP


def moment_of(raw: object, unit: str, zone: ZoneInfo) -> datetime | None:
    """Turn a time into aware UTC; None when it is not one."""
    if unit == "iso":
        return stamp(raw, zone) if isinstance(raw, str) else None
    if isinstance(raw, str):
        try:
            raw = int(raw) if raw.isdecimal() else float(raw)
        except ValueError:
            return None
    if isinstance(raw, bool) or not isinstance(raw, int | float):
        return None
    try:
        if not math.isfinite(raw):
            return None
        return _EPOCH + timedelta(microseconds=int(raw * 1_000_000 // _PER_SECOND[unit]))
    except OverflowError:
        return None


def _big(tag: Topic, path: Path, content: Content, times: Times, why: str, zone: ZoneInfo) -> Atom:
    quality = Quality.UNCERTAIN if why else Quality.GOOD
    if tag.kind == "line":
        text = content.at(path) if path else content.payload
        if not isinstance(text, str | bytes):
            raise Unfit(f"{type(text).__name__} is no text")
        said = read_line(text if isinstance(text, bytes) else text.encode(), zone)
        return LogLine(tag.asset, said.text, said.severity, times.sourced_at or said.at, times.received_at)
    raw = _array_of(tag, path, content)
    if tag.kind == "frame":
        return frame(tag, raw, quality, times)
    rate = content.at(steps(tag.rate)) if tag.rate else tag.rate_hz
    if isinstance(rate, bool) or not isinstance(rate, int | float) or not 0 < rate <= 1e7:  # noqa: PLR2004 (10 MHz)
        raise Unfit("no rate: give rate_hz, or rate as a path to it")
    return waveform(tag, raw, float(rate), quality, times)


def _array_of(tag: Topic, path: Path, content: Content) -> object:
    """Samples or pixels: raw bytes, base64 in JSON, or a JSON array."""
    if not path and (tag.encoding in _RAW or content.payload.lstrip()[:1] != b"["):
        return content.payload
    found = content.at(path) if path else content.json()
    if isinstance(found, str):
        try:
            return base64.b64decode(found, validate=True)
        except (binascii.Error, ValueError) as no:
            raise Unfit("not base64") from no
    return found
