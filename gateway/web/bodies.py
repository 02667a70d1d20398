"""Request bodies: bounded, decoded once, every faulty field named."""

import re
from typing import Any, TypeVar

import msgspec
from litestar import Request

from gateway.core.delivery import A_DATE, DATED
from gateway.web.problems import FieldFault, Wrong

T = TypeVar("T", bound=msgspec.Struct)
_NUL = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")  # no database keeps it in a text


async def read(request: Request[Any, Any, Any], kind: type[T], *, limit: int) -> T:
    """Read a JSON body of at most `limit` bytes. Raises `Wrong` 413, 415 or 400 with all faults."""
    if request.content_type[0] not in {"application/json", "application/cloudevents+json"}:
        raise Wrong(415, "send application/json")
    return decode(await raw(request, limit), kind)


async def raw(request: Request[Any, Any, Any], limit: int) -> bytes:
    """Read the body's bytes. Raises `Wrong` 413 beyond `limit`."""
    said = request.headers.get("content-length", "")
    if said.isdigit() and int(said) > limit:
        raise Wrong(413, f"at most {limit} bytes")
    parts = bytearray()
    async for part in request.stream():
        parts += part
        if len(parts) > limit:
            raise Wrong(413, f"at most {limit} bytes")
    return bytes(parts)


def decode(content: bytes, kind: type[T]) -> T:
    """Decode JSON into a struct. Raises `Wrong` 400 that names every faulty field."""
    if _NUL.search(content):
        raise Wrong(400, "a text holds the character NUL")
    try:
        return msgspec.json.decode(content, type=kind)
    except msgspec.ValidationError as bad:
        first = bad
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as bad:
        raise Wrong(400, "the body is not JSON") from bad
    raise Wrong(400, "the request is not as it should be", tuple(_every_fault(content, kind, first)))


def convert(rows: dict[str, Any], kind: type[T]) -> T:
    """Convert form fields into a struct, reading numbers from strings. Raises `Wrong` 400 with all faults."""
    if any("\0" in value for value in rows.values() if isinstance(value, str)):
        raise Wrong(400, "a text holds the character NUL")
    try:
        return msgspec.convert(rows, kind, strict=False)
    except msgspec.ValidationError as bad:
        found = _faults_of(rows, kind, strict=False) or [_fault("", bad)]
        raise Wrong(400, "the request is not as it should be", tuple(found)) from bad


def _every_fault(content: bytes, kind: type[msgspec.Struct], first: msgspec.ValidationError) -> list[FieldFault]:
    try:
        value = msgspec.json.decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):  # it may go wrong further on than `first`
        return [_fault("", first)]
    if not isinstance(value, dict):
        return [_fault("", first)]
    return _faults_of(value, kind, strict=True) or [_fault("", first)]


def _faults_of(value: dict[str, Any], kind: type[msgspec.Struct], *, strict: bool) -> list[FieldFault]:
    fields = {field.encode_name: field for field in msgspec.structs.fields(kind)}
    found = []
    if kind.__struct_config__.forbid_unknown_fields:
        found += [FieldFault(name, "unknown field") for name in value if name not in fields]
    for name, field in fields.items():
        if name not in value:
            if field.required:
                found.append(FieldFault(name, "missing"))
            continue
        try:
            msgspec.convert(value[name], field.type, strict=strict)
        except msgspec.ValidationError as bad:
            found.append(_fault(name, bad))
    return found


def _fault(name: str, bad: msgspec.ValidationError) -> FieldFault:
    message, _, place = str(bad).partition(" - at `$")
    if repr(DATED) in message:
        message = f"expected a day, or a time with its offset, such as {A_DATE}"
    return FieldFault((name + place.rstrip("`")).lstrip("."), message)
