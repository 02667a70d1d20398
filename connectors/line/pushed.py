"""Pushed: what the bytes of one push hold. Blocking: call it in a thread."""

from datetime import UTC, datetime
from typing import Literal
from zoneinfo import ZoneInfo

import msgspec
from msgspec.structs import replace

from connectors.line.files import FileTag, form_of, read
from connectors.line.lines import MOST_TEXT, read_line
from connectors.line.shapes import Unfit
from connectors.line.tags import Address, Times, judge
from gateway.core.push import Push
from gateway.core.reading import LogLine, Moment, Quality, Reading, ThermalFrame, Value, Waveform

Atom = Reading | Waveform | ThermalFrame | LogLine
_MOST_LINES = 10_000


class PushTag(FileTag, frozen=True, kw_only=True):
    """A tag that may be pushed. `address` is only a note. A kind `line` takes log lines, one a line."""

    address: Address = "http"
    kind: Literal["value", "waveform", "frame", "line"] = "waveform"  # type: ignore[assignment]  # wider, but only read


class Scalar(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A value in JSON, with its own time."""

    value: Value
    at: Moment | None = None


def atoms_of(tag: PushTag, push: Push, at: datetime, zone: ZoneInfo) -> list[Atom]:
    """Decode; blocking. Raises `Unfit`."""
    facts = push.facts
    if facts.unit is not None and tag.unit and facts.unit != tag.unit:
        raise Unfit(f"the settings declare {tag.unit!r}, not {facts.unit!r}")
    if tag.kind == "line":
        return _lines(tag, push.content, at, zone)
    times = Times(facts.t0.astimezone(UTC) if facts.t0 is not None else None, None, at)
    if tag.kind == "value":
        return [_value(tag, push.content, times)]
    told = replace(
        tag,
        unit=tag.unit or facts.unit or "",
        rate_hz=facts.rate_hz or tag.rate_hz,
        encoding=facts.encoding or tag.encoding,
        height=facts.height or tag.height,
        width=facts.width or tag.width,
    )
    return [read(told, push.content, form_of(push.content, media_type=push.media_type), times)]


def _value(tag: PushTag, content: bytes, times: Times) -> Reading:
    try:
        said = msgspec.json.decode(content, type=Scalar)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as no:
        raise Unfit('expected {"value": 21.5, "at": "2026-03-18T06:30:00Z"}') from no
    value, why = judge(tag, said.value)
    if isinstance(value, str):
        value = value[:MOST_TEXT]
    sourced_at = said.at.astimezone(UTC) if said.at is not None else times.sourced_at
    quality = Quality.BAD if why else Quality.GOOD
    return Reading(tag.asset, tag.tag, value, tag.unit, quality, sourced_at, None, times.received_at, why)


def _lines(tag: PushTag, content: bytes, at: datetime, zone: ZoneInfo) -> list[Atom]:
    said = [read_line(line, zone) for line in content.splitlines()]
    if len(said) > _MOST_LINES:
        raise Unfit(f"{len(said)} lines are more than {_MOST_LINES}")
    lines: list[Atom] = [LogLine(tag.asset, one.text, one.severity, one.at, at) for one in said if one.text]
    if not lines:
        raise Unfit("no lines")
    return lines
