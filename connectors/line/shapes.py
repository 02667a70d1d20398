"""Waveforms and thermal frames: arrays and byte strings turned into the big atoms, checked and bounded."""

import io
import math
import struct
import warnings
from datetime import timedelta
from typing import Annotated, Any, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from connectors.line.tags import NOT_FINITE, OUT_OF_RANGE, Tag, Times
from gateway.core.reading import Quality, ThermalFrame, Waveform, degrees

__all__ = ["MOST_PIXELS", "MOST_SAMPLES", "Encoding", "ShapeTag", "Times", "Unfit", "frame", "waveform"]

Encoding = Literal["", "degC", "kelvin", "centikelvin", "raw", "float32", "int16"]
Numbers = NDArray[Any]
MOST_SAMPLES = 4_194_304
MOST_PIXELS = 4_194_304
_LONGEST_S = 366 * 86_400
_IMAGES = (b"\x89PNG", b"II*\0", b"MM\0*")
_HEADER = struct.Struct("<HH")


class ShapeTag(Tag, frozen=True, kw_only=True):
    """A tag that may also be a waveform or a thermal frame.

    `rate_hz` is the sampling rate of a waveform; without it the node's own property is read.
    `encoding` says what a raw number is: of a frame `degC`, `kelvin`, `centikelvin` (K x 100) or
    `raw` (then `scale` and `offset` make degrees Celsius); of a waveform's byte string `float32` or
    `int16` (little-endian). `height` and `width` shape a frame that comes as a flat array.
    """

    kind: Literal["value", "waveform", "frame"] = "value"
    rate_hz: Annotated[float, msgspec.Meta(gt=0, le=10_000_000)] | None = None
    encoding: Encoding = ""
    height: Annotated[int, msgspec.Meta(ge=1, le=8192)] | None = None
    width: Annotated[int, msgspec.Meta(ge=1, le=8192)] | None = None


class Unfit(ValueError):
    """The raw value cannot be what the tag says it is; the message is the reason."""


def waveform(tag: ShapeTag, raw: object, rate_hz: float, quality: Quality, times: Times) -> Waveform:
    """Make a waveform of a flat array or a byte string. Raises `Unfit` with the reason.

    Without a source time the server's is taken; without both, the receive time less the block's length.
    """
    if not 0 < rate_hz < math.inf:
        raise Unfit("no sampling rate: give rate_hz")
    samples = _numbers(tag, raw)
    if samples.ndim != 1 or not samples.size:
        raise Unfit(f"an array of shape {samples.shape} is not a waveform")
    if samples.size > MOST_SAMPLES:
        raise Unfit(f"{samples.size} samples are more than {MOST_SAMPLES}")
    if samples.size / rate_hz > _LONGEST_S:
        raise Unfit(f"{samples.size} samples at {rate_hz:g} Hz would last more than a year")
    started_at = times.sourced_at or times.served_at
    return Waveform(
        asset=tag.asset,
        tag=tag.tag,
        samples=_converted(tag, samples),
        rate_hz=rate_hz,
        unit=tag.unit,
        quality=quality,
        sourced_at=started_at or times.received_at - timedelta(seconds=samples.size / rate_hz),
        served_at=times.served_at,
        received_at=times.received_at,
    )


def frame(tag: ShapeTag, raw: object, quality: Quality, times: Times) -> ThermalFrame:
    """Make a thermal frame of a 2-D array, a flat array with a known shape, or a byte string.

    A byte string is PNG, TIFF, or uint16 little-endian height, width and pixels. Unsigned pixels of up to 16 bit
    stay the camera's own numbers. Raises `Unfit`.
    """
    pixels = _picture(tag, raw) if isinstance(raw, bytes | memoryview) else _array(raw)
    if pixels.ndim == 1 and tag.height and tag.width and pixels.size == tag.height * tag.width:
        pixels = pixels.reshape(tag.height, tag.width)
    if pixels.ndim != 2:  # noqa: PLR2004 (a picture has two dimensions)
        raise Unfit(f"an array of shape {pixels.shape} is not a picture; give height and width")
    if not 0 < pixels.size <= MOST_PIXELS:
        raise Unfit(f"{pixels.size} pixels: not between 1 and {MOST_PIXELS}")
    factor, shift = _TO_CELSIUS.get(tag.encoding, (1.0, 0.0))
    scale, offset = factor * tag.scale, shift * tag.scale + tag.offset
    raw_stays = pixels.dtype.kind == "u" and pixels.dtype.itemsize <= _SMALL
    return ThermalFrame(
        asset=tag.asset,
        tag=tag.tag,
        pixels=_kept(tag, pixels, scale, offset) if raw_stays else _converted(tag, pixels.reshape(-1), factor, shift),
        height=int(pixels.shape[0]),
        width=int(pixels.shape[1]),
        quality=quality,
        sourced_at=times.sourced_at or times.served_at or times.received_at,
        served_at=times.served_at,
        received_at=times.received_at,
        form="<u2" if raw_stays else "<f4",
        scale=scale if raw_stays else 1.0,
        offset=offset if raw_stays else 0.0,
    )


def _kept(tag: ShapeTag, pixels: Numbers, scale: float, offset: float) -> bytes:
    """Give a camera's own numbers as they are, when the degrees that they stand for are right."""
    edges = np.array([pixels.min(), pixels.max()], np.uint16)
    with np.errstate(over="ignore", invalid="ignore"):
        _checked(tag, degrees(edges, scale, offset))
    return pixels.astype("<u2", copy=False).tobytes()


def _numbers(tag: ShapeTag, raw: object) -> Numbers:
    if not isinstance(raw, bytes | memoryview):
        return _array(raw)
    kind = np.dtype("<i2") if tag.encoding == "int16" else np.dtype("<f4")
    if len(raw) % kind.itemsize:
        raise Unfit(f"{len(raw)} bytes do not hold whole {kind.name} samples")
    return np.frombuffer(raw, kind)


def _array(raw: object) -> Numbers:
    """Give an array of numbers as it is; a list becomes one of float64."""
    if isinstance(raw, np.ndarray) and raw.dtype.kind in "fiu":
        return raw
    if not isinstance(raw, list | np.ndarray):
        raise Unfit(f"{type(raw).__name__} is not an array")
    try:
        return np.asarray(raw, np.float64)
    except (ValueError, TypeError, OverflowError) as fault:
        raise Unfit("the array does not hold numbers") from fault


def _converted(tag: ShapeTag, values: Numbers, factor: float = 1.0, shift: float = 0.0) -> bytes:
    """Give flat values as little-endian float32, scaled and checked; part by part, which a cache holds."""
    return b"".join(
        _checked(tag, _scaled(tag, values[start : start + _PART], factor, shift)).tobytes()
        for start in range(0, values.size, _PART)
    )


def _scaled(tag: ShapeTag, values: Numbers, factor: float = 1.0, shift: float = 0.0) -> NDArray[np.float32]:
    """Give (values * factor + shift) * scale + offset as float32, in double precision where single loses digits."""
    plain = factor == tag.scale == 1.0 and shift == tag.offset == 0.0
    single = values.dtype.itemsize <= _SMALL and values.dtype.kind in "iu"
    with np.errstate(over="ignore", invalid="ignore"):  # an overflow becomes inf, which the check below refuses
        if plain:
            return np.ascontiguousarray(values, "<f4")
        exact: Numbers = values.astype(np.float32 if single else np.float64)
        np.multiply(exact, factor * tag.scale, out=exact)
        np.add(exact, shift * tag.scale + tag.offset, out=exact)
        return exact.astype("<f4", copy=False)


_PART = 1 << 16  # values: 256 KiB, for which there is memory at hand
_SMALL = 2  # bytes: such an integer is exact as float32
_TO_CELSIUS = {"centikelvin": (0.01, -273.15), "kelvin": (1.0, -273.15)}


def _checked(tag: ShapeTag, values: NDArray[np.float32]) -> NDArray[np.float32]:
    low, high = float(values.min()), float(values.max())  # a NaN anywhere makes both NaN
    if not (math.isfinite(low) and math.isfinite(high)):
        raise Unfit(NOT_FINITE)
    if (tag.low is not None and low < tag.low) or (tag.high is not None and high > tag.high):
        raise Unfit(OUT_OF_RANGE)
    return values


def _picture(tag: ShapeTag, raw: bytes | memoryview) -> Numbers:
    if bytes(raw[:4]) in _IMAGES:
        return _image(raw)
    if tag.height and tag.width and len(raw) == tag.height * tag.width * 4:
        return np.frombuffer(raw, "<f4")
    if len(raw) < _HEADER.size:
        raise Unfit(f"{len(raw)} bytes are not a picture")
    height, width = _HEADER.unpack_from(raw)
    if height * width * 2 != len(raw) - _HEADER.size:
        raise Unfit(f"{len(raw)} bytes do not hold {height} x {width} pixels")
    return np.frombuffer(raw, "<u2", offset=_HEADER.size).reshape(height, width)


def _image(raw: bytes | memoryview) -> Numbers:
    """Decode PNG or TIFF; the size is judged before a pixel is read."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a doubtful picture is judged below, not talked about
            return _radiometric(Image.open(io.BytesIO(raw), formats=("PNG", "TIFF")))
    except Unfit:
        raise
    # Damaged files make the decoders fail in every way that a parser can; to us they are one: unfit.
    except Exception as fault:
        raise Unfit("the picture cannot be decoded") from fault


def _radiometric(picture: Image.Image) -> Numbers:
    if picture.width * picture.height > MOST_PIXELS:
        raise Unfit(f"{picture.width} x {picture.height} pixels are more than {MOST_PIXELS}")
    if picture.mode not in {"L", "F", "I", "I;16", "I;16L", "I;16B"}:
        raise Unfit(f"a picture of mode {picture.mode} is not radiometric")
    return np.asarray(picture)
