"""Files: waveforms and thermal frames as instruments write them, judged before a sample is decoded.

TIFF and PNG (16 bit, or 32 bit numbers), NPY, WAV (PCM 16, 24, 32 bit and float), CSV, and raw numbers.
Nothing is unpickled. JPEG is refused: it loses what it measured, and the gateway has no use for a mere picture.
"""

import csv
import io
import math
import re
import struct
from collections.abc import Sequence
from typing import Annotated, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from connectors.line.shapes import MOST_PIXELS, MOST_SAMPLES, ShapeTag, Unfit, frame, waveform
from connectors.line.tags import Times
from gateway.core.reading import Quality, ThermalFrame, Waveform

Array = NDArray[np.generic]
Form = Literal["tiff", "png", "npy", "wav", "csv", "raw"]
_SUFFIXES: dict[str, Form] = {
    ".tif": "tiff", ".tiff": "tiff", ".png": "png", ".npy": "npy", ".wav": "wav", ".csv": "csv", ".txt": "csv",
    ".asc": "csv", ".raw": "raw", ".bin": "raw", ".dat": "raw", ".f32": "raw", ".i16": "raw",
}  # fmt: skip
_MEDIA: dict[str, Form] = {
    "image/tiff": "tiff", "image/png": "png", "application/x-npy": "npy", "application/x-npy-file": "npy",
    "audio/wav": "wav", "audio/x-wav": "wav", "audio/wave": "wav", "audio/vnd.wave": "wav", "text/csv": "csv",
    "application/octet-stream": "raw",
}  # fmt: skip
MEDIA_TYPES = tuple(_MEDIA)
_PCM, _FLOAT, _EXTENSIBLE = 1, 3, 0xFFFE
_MOST_HEADER_LINES = 200
_MOST_COLUMNS = 8192
_NUMBER = re.compile(r"[-+]?(?:\d+[.,]?\d*|[.,]\d+)(?:[eE][-+]?\d+)?|[-+]?(?:nan|inf)", re.IGNORECASE)
_MATRIX = 2


class FileTag(ShapeTag, frozen=True, kw_only=True):
    """A tag whose values come as files.

    `column` chooses a column of a CSV (its name, or its number from 0) or a channel of a WAV (its number).
    WAV samples of whole numbers are taken as parts of full scale (-1 to 1); `scale` makes the unit of them.
    """

    kind: Literal["value", "waveform", "frame"] = "waveform"
    column: Annotated[str, msgspec.Meta(max_length=128)] = ""


def form_of(content: bytes, name: str = "", media_type: str = "") -> Form:
    """Say what a file is: by its first bytes, then by media type or suffix. Raises `Unfit` with what is taken."""
    head = content[:12]
    if head[:3] == b"\xff\xd8\xff":
        raise Unfit("JPEG loses what was measured: let the camera write TIFF or PNG of 16 bit")
    if head[:6] == b"\x93NUMPY":
        return "npy"
    if head[:4] == b"RIFF" and head[8:12] == b"WAVE":
        return "wav"
    if head[:4] in {b"II*\0", b"MM\0*"}:
        return "tiff"
    if head[:4] == b"\x89PNG":
        return "png"
    suffix = name[name.rfind(".") :].lower() if "." in name else ""
    form = _MEDIA.get(media_type) or _SUFFIXES.get(suffix)
    if form is None:
        raise Unfit(f"{media_type or suffix or 'a file without a suffix'} is not taken: TIFF, PNG, NPY, WAV, CSV, raw")
    if form not in {"csv", "raw"}:
        raise Unfit(f"the bytes are not {form.upper()}")
    return form


def read(tag: FileTag, content: bytes, form: Form, times: Times) -> Waveform | ThermalFrame:
    """Make the atom of a file, of the tag's kind. Blocking: call it in a thread. Raises `Unfit`."""
    if tag.kind == "frame":
        return frame(tag, _pixels(tag, content, form), Quality.GOOD, times)
    if form in {"tiff", "png"}:
        raise Unfit("a picture is no waveform")
    samples, rate = _samples(tag, content, form)
    rate = tag.rate_hz or rate
    if rate is None:
        raise Unfit("no rate: give rate_hz (only WAV says it itself)")
    return waveform(tag, samples, rate, Quality.GOOD, times)


def _samples(tag: FileTag, content: bytes, form: Form) -> tuple[Array | bytes, float | None]:
    if form == "wav":
        return _wav(tag, content)
    if form == "raw":
        return content, None
    if form == "npy":
        return _one(_npy(content, MOST_SAMPLES), tag.column), None
    return _one(_csv(tag, content), ""), None


def _pixels(tag: FileTag, content: bytes, form: Form) -> Array | bytes:
    if form == "npy":
        return _npy(content, MOST_PIXELS)
    if form == "csv":
        return _csv(tag, content)
    if form == "wav":
        raise Unfit("a sound is no picture")
    if form == "raw" and tag.height and tag.width and len(content) == tag.height * tag.width * 2:
        kind = "<i2" if tag.encoding == "int16" else "<u2"
        return np.frombuffer(content, kind).reshape(tag.height, tag.width)
    return content


def _one(table: Array, column: str) -> Array:
    """Choose one column; a table of one row or one column needs no choice."""
    if table.ndim == 1:
        return table
    if table.ndim != _MATRIX:
        raise Unfit(f"an array of shape {table.shape} is not a waveform")
    if not column:
        if 1 in table.shape:
            return table.reshape(-1)
        raise Unfit(f"{table.shape[1]} columns: say which one (column)")
    if not column.isdecimal() or int(column) >= table.shape[1]:
        raise Unfit(f"there is no column {column!r}")
    return table[:, int(column)]


def _npy(content: bytes, most: int) -> Array:
    """Read NPY; its header is judged first. Objects are refused: they would be unpickled."""
    file = io.BytesIO(content)
    try:
        version = np.lib.format.read_magic(file)
        if version == (1, 0):
            shape, fortran, kind = np.lib.format.read_array_header_1_0(file)
        elif version == (2, 0):
            shape, fortran, kind = np.lib.format.read_array_header_2_0(file)
        else:
            raise Unfit(f"NPY of version {version} is not taken")
    except (ValueError, EOFError, SyntaxError, TypeError) as torn:
        raise Unfit("the NPY header cannot be read") from torn
    if kind.kind not in "fiub":
        raise Unfit(f"NPY of type {kind} does not hold numbers")
    count = math.prod(shape)
    if not 0 < count <= most or len(shape) > _MATRIX:
        raise Unfit(f"an array of shape {shape} is not taken")
    if len(content) - file.tell() != count * kind.itemsize:
        raise Unfit("the NPY file is torn")
    flat = np.frombuffer(content, kind, offset=file.tell())
    return flat.reshape(shape, order="F" if fortran else "C")


def _wav(tag: FileTag, content: bytes) -> tuple[Array, float]:
    """Read WAV by its chunks. PCM becomes parts of full scale, -1 to 1; float stays as it is."""
    form = data = b""
    at = 12
    while at + 8 <= len(content) and not data:
        name, size = struct.unpack_from("<4sI", content, at)
        body = content[at + 8 : at + 8 + size]
        if name == b"fmt ":
            form = body
        elif name == b"data":
            data = body
        at += 8 + size + size % 2
    if len(form) < 16 or not data:  # noqa: PLR2004 (the shortest format chunk)
        raise Unfit("the WAV file is torn")
    code, channels, rate, _, block, bits = struct.unpack_from("<HHIIHH", form)
    if code == _EXTENSIBLE and len(form) >= 26:  # noqa: PLR2004 (the real code stands at 24)
        code = struct.unpack_from("<H", form, 24)[0]
    if not channels or not rate or block != channels * bits // 8:
        raise Unfit("the WAV header contradicts itself")
    data = data[: len(data) - len(data) % block]
    if not 0 < len(data) // block <= MOST_SAMPLES:
        raise Unfit(f"{len(data) // block} samples: not between 1 and {MOST_SAMPLES}")
    channel = int(tag.column) if tag.column.isdecimal() else 0
    if channel >= channels or (channels > 1 and not tag.column):
        raise Unfit(f"{channels} channels: say which one (column)")
    return _pcm(data, code, bits).reshape(-1, channels)[:, channel], float(rate)


def _pcm(data: bytes, code: int, bits: int) -> NDArray[np.floating]:
    if code == _FLOAT and bits in {32, 64}:
        return np.frombuffer(data, f"<f{bits // 8}")
    if code != _PCM or bits not in {16, 24, 32}:
        raise Unfit(f"WAV of code {code} and {bits} bit is not taken: PCM of 16, 24, 32 bit, or float")
    if bits == 24:  # noqa: PLR2004
        wide = np.zeros((len(data) // 3, 4), np.uint8)
        wide[:, 1:] = np.frombuffer(data, np.uint8).reshape(-1, 3)
        return wide.view("<i4").reshape(-1) / 2.0**31
    return np.frombuffer(data, f"<i{bits // 8}") / 2.0 ** (bits - 1)


def _csv(tag: FileTag, content: bytes) -> Array:
    """Read a table of numbers. Lines before the first row of numbers are its head; a torn row is refused."""
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = content.decode("latin-1")
    lines = [line for line in text.splitlines() if line.strip()]
    if not lines or len(lines) > MOST_SAMPLES:
        raise Unfit(f"{len(lines)} lines: not between 1 and {MOST_SAMPLES}")
    start = next((place for place, line in enumerate(lines[:_MOST_HEADER_LINES]) if _is_numbers(line)), None)
    if start is None:
        raise Unfit("no row of numbers")
    comma = _comma(lines[start])
    first = _cells(lines[start], comma)
    if len(first) > _MOST_COLUMNS or len(first) * (len(lines) - start) > max(MOST_SAMPLES, MOST_PIXELS):
        raise Unfit(f"{len(first)} columns and {len(lines) - start} rows are too many")
    places = _places(tag, lines[start - 1] if start else "", comma, len(first))
    body = [line.replace(",", ".") for line in lines[start:]] if comma in {";", "\t"} else lines[start:]
    try:
        return np.loadtxt(
            body, np.float64, comments=None, delimiter=None if comma == " " else comma, usecols=places, ndmin=2
        )
    except ValueError as no:
        raise Unfit(f"not a table of numbers: {str(no)[:120]}") from no


def _places(tag: FileTag, head: str, comma: str, count: int) -> Sequence[int]:
    """Say which columns are wanted: the chosen one of a waveform, else all."""
    if tag.kind == "frame" or not tag.column:
        return range(count)
    names = [name.strip().casefold() for name in _cells(head, comma)] if head else []
    if tag.column.casefold() in names:
        return (names.index(tag.column.casefold()),)
    if tag.column.isdecimal() and int(tag.column) < count:
        return (int(tag.column),)
    raise Unfit(f"there is no column {tag.column!r}")


def _comma(line: str) -> str:
    return next((mark for mark in (";", "\t", ",") if mark in line), " ")


def _cells(line: str, comma: str) -> list[str]:
    if comma == " ":
        return line.split()
    return [cell.strip() for cell in next(csv.reader([line], delimiter=comma))]


def _is_numbers(line: str) -> bool:
    cells = [cell for cell in _cells(line, _comma(line)) if cell]
    return bool(cells) and all(_NUMBER.fullmatch(cell) for cell in cells)
