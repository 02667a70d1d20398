"""Vibration recordings on disk: MATLAB, NumPy, WAV and CSV, read as one waveform in g."""

import csv
import struct
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

Samples = npt.NDArray[np.float64]

IN_G = {"g": 1.0, "mg": 1e-3, "m/s2": 1 / 9.80665, "mm/s2": 1 / 9806.65}
"""How many g one of each unit is."""
RATE_KEYS = ("rate_hz", "rate", "fs", "sample_rate", "samplerate")
SPEED_KEYS = ("speed_rpm", "rpm")
BROKEN = (OSError, ValueError, TypeError, KeyError, EOFError, struct.error, zlib.error, zipfile.BadZipFile)
"""What the readers raise on a file that is not what its name says."""
_LEAST = 16
_TABLE = 2


class Unreadable(ValueError):
    """The file is not a recording that can be played; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Recording:
    """A waveform in g, shape (n,), with its rate in Hz; the speed in rpm where the file tells it."""

    samples: Samples
    rate_hz: float
    channel: str = ""
    speed_rpm: float | None = None


@dataclass(frozen=True, slots=True)
class Content:
    """What a file holds: numeric arrays by name, and the facts that it tells by itself."""

    channels: dict[str, Samples]
    rate_hz: float | None = None
    speed_rpm: float | None = None


def read(
    path: Path, *, channel: str | None = None, rate_hz: float | None = None, unit: str = "g", scale: float = 1.0
) -> Recording:
    """Read a recording. A value in the file times `scale` is in `unit`. Raises `Unreadable`."""
    if unit not in IN_G:
        raise Unreadable(f"unknown unit {unit!r}; known: {', '.join(IN_G)}")
    content = _open(path)
    name = _pick(content.channels, channel, path)
    rate = rate_hz or content.rate_hz
    if rate is None or not np.isfinite(rate) or rate <= 0:
        raise Unreadable(f"{path.name} does not tell its sampling rate: give --rate in Hz")
    samples = content.channels[name] * scale * IN_G[unit]
    if not np.isfinite(samples).all():
        raise Unreadable(f"{path.name}, channel {name}: holds values that are no numbers")
    return Recording(samples, rate, name, content.speed_rpm)


def _open(path: Path) -> Content:
    readers = {".mat": _mat, ".npy": _npy, ".npz": _npz, ".wav": _wav, ".csv": _csv, ".txt": _csv}
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise Unreadable(
            f"{path.name}: cannot read {path.suffix or 'a file without suffix'}; known: {', '.join(readers)}"
        )
    if not path.is_file():
        raise Unreadable(f"no file {path}")
    try:
        return reader(path)
    except BROKEN as broken:
        if isinstance(broken, Unreadable):
            raise
        why = str(broken).splitlines()[0] if str(broken) else type(broken).__name__
        raise Unreadable(f"{path.name} is not a readable {path.suffix} file: {why}") from broken


def _pick(channels: dict[str, Samples], wanted: str | None, path: Path) -> str:
    """Find the channel asked for by its name or by a distinct part of it ("DE"), else the only one."""
    if not channels:
        raise Unreadable(f"{path.name} holds no waveform (a row of at least 16 numbers)")
    names = ", ".join(list(channels)[:12])
    if wanted is None:
        if len(channels) > 1:
            raise Unreadable(f"{path.name} holds several channels: give --channel, one of {names}")
        return next(iter(channels))
    if wanted in channels:
        return wanted
    matching = [name for name in channels if wanted.lower() in name.lower().replace("_", " ").split()]
    if len(matching) != 1:
        raise Unreadable(f"{path.name} has no channel {wanted!r}; there are {names}")
    return matching[0]


def _of_arrays(arrays: Mapping[str, object]) -> Content:
    channels, scalars = {}, {}
    for name, value in arrays.items():
        if not isinstance(value, np.ndarray) or value.dtype.kind not in "iufb":
            continue
        if value.size == 1:
            scalars[name.lower()] = float(value.ravel()[0])
        elif value.size >= _LEAST and max(value.shape) == value.size:
            channels[name] = value.ravel().astype(np.float64)
        elif value.ndim == _TABLE:
            channels |= _of_table(name, value)
    rate = next((scalars[key] for key in RATE_KEYS if key in scalars), None)
    # CWRU calls the speed X097RPM.
    speed = next((value for key, value in scalars.items() if key.endswith(SPEED_KEYS)), None)
    return Content(channels, rate, speed)


def _of_table(name: str, table: npt.NDArray[np.generic]) -> dict[str, Samples]:
    """Split a table into its long rows, named by their number."""
    rows = table if table.shape[0] < table.shape[1] else table.T
    if rows.shape[1] < _LEAST:
        return {}
    prefix = f"{name} " if name else ""
    return {f"{prefix}{number}": row.astype(np.float64) for number, row in enumerate(rows)}


def _mat(path: Path) -> Content:
    from scipy.io import loadmat  # noqa: PLC0415 (only this format needs it)
    from scipy.io.matlab import MatReadError  # noqa: PLC0415

    try:
        held = loadmat(path)
    except NotImplementedError as newer:
        raise Unreadable(f"{path.name} is MATLAB v7.3: save it with -v7") from newer
    except MatReadError as broken:
        raise ValueError(str(broken)) from broken
    return _of_arrays({name: value for name, value in held.items() if not name.startswith("__")})


def _npy(path: Path) -> Content:
    array = np.load(path, allow_pickle=False)
    if array.ndim == _TABLE and min(array.shape) > 1:
        return Content(_of_table("", array))
    return _of_arrays({"0": array})


def _npz(path: Path) -> Content:
    with np.load(path, allow_pickle=False) as held:
        small = {name: held[name] for name in held.files if held[name].dtype.kind in "iufb"}
    return _of_arrays(small)


def _wav(path: Path) -> Content:
    from scipy.io import wavfile  # noqa: PLC0415 (only this format needs it)

    rate, data = wavfile.read(path)
    if data.dtype == np.uint8:
        values = (data.astype(np.float64) - 128) / 128
    elif data.dtype.kind == "i":  # full scale is 1; 24 bits come left-aligned in 32
        values = data.astype(np.float64) / float(2 ** (8 * data.dtype.itemsize - 1))
    else:
        values = data.astype(np.float64)
    columns = values.reshape(len(values), -1)
    return Content({str(number): columns[:, number] for number in range(columns.shape[1])}, float(rate))


def _csv(path: Path) -> Content:
    """Read columns of numbers, with or without a header; a column called time gives the rate."""
    text = path.read_text(encoding="utf-8-sig")
    first = text.splitlines()[0] if text.strip() else ""
    if not first:
        raise Unreadable(f"{path.name} is empty")
    separator = next((sign for sign in (";", "\t", ",") if sign in first), None)
    rows = [row for row in csv.reader(text.splitlines(), delimiter=separator or " ", skipinitialspace=True) if row]
    header = None if _numeric(rows[0]) else [cell.strip() for cell in rows[0]]
    body = rows if header is None else rows[1:]
    width = len(rows[0])
    for number, row in enumerate(body, start=1 if header is None else 2):
        if len(row) != width or not _numeric(row):
            raise Unreadable(f"{path.name}, row {number}: expected {width} numbers")
    columns = np.array(body, dtype=np.float64).T if body else np.zeros((width, 0))
    named = dict(zip(header or [str(number) for number in range(width)], columns, strict=True))
    rate = None
    for name in [
        name for name in named if name.lower().split(" ")[0].rstrip(":") in ("time", "t", "time_s", "seconds")
    ]:
        steps = np.diff(named.pop(name))
        rate = float(1 / np.median(steps)) if len(steps) and np.median(steps) > 0 else None
    return Content({name: column for name, column in named.items() if column.size >= _LEAST}, rate)


def _numeric(row: list[str]) -> bool:
    try:
        [float(cell) for cell in row]
    except ValueError:
        return False
    return True
