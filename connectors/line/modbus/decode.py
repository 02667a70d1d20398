"""Decoding: the bytes of many answers become columns, all values of one kind in one go. Pure."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from connectors.line.column import Column
from connectors.line.modbus.address import Address, text_of
from gateway.core.series import NEVER

_KINDS = {
    "int16": ("<i2", "<i8"),
    "uint16": ("<u2", "<i8"),
    "int32": ("<i4", "<i8"),
    "uint32": ("<u4", "<i8"),
    "int64": ("<i8", "<i8"),
    "uint64": ("<u8", "<u8"),
    "float32": ("<f4", "<f8"),
    "float64": ("<f8", "<f8"),
}
"""How a kind stands in a register, and the form that its values have in a column."""


class Spot(NamedTuple):
    """A tag in the bytes: its place in the list of tags, its address, where its bytes begin; for a bit which bit."""

    place: int
    address: Address
    at: int
    bit: int = 0


class _Numbers(NamedTuple):
    """Values of one kind: whose, and where each of their bytes stands."""

    places: NDArray[np.int64]
    where: NDArray[np.intp]
    kind: str
    form: str


class _Bits(NamedTuple):
    """Bits: whose, in which byte, and how far from its lowest bit."""

    places: NDArray[np.int64]
    where: NDArray[np.intp]
    shift: NDArray[np.uint8]


class Decoder:
    """Takes the values of these spots out of bytes. Whatever the byte order, a value is a choice of bytes."""

    def __init__(self, spots: Sequence[Spot]) -> None:
        kinds: dict[str, list[Spot]] = {}
        bits: list[tuple[int, int, int]] = []
        self._texts: list[Spot] = []
        for spot in spots:
            kind = spot.address.kind
            if kind.startswith("string"):
                self._texts.append(spot)
            elif kind in _KINDS:
                kinds.setdefault(kind, []).append(spot)
            else:
                bits.append(_bit_of(spot))
        self._numbers = [
            _Numbers(
                np.array([spot.place for spot in group], np.int64),
                np.array([[spot.at + byte for byte in reversed(spot.address.wire)] for spot in group], np.intp),
                *_KINDS[kind],
            )
            for kind, group in kinds.items()
        ]
        whose, where, how_far = zip(*bits, strict=True) if bits else ((), (), ())
        self._bits = _Bits(np.array(whose, np.int64), np.array(where, np.intp), np.array(how_far, np.uint8))

    def columns(self, raw: bytes) -> Iterator[Column]:
        """Give the numbers and bits, unscaled; the equipment has no clock."""
        every = np.frombuffer(raw, np.uint8)
        for places, where, kind, form in self._numbers:
            with np.errstate(invalid="ignore"):  # a signalling NaN is refused as not finite later
                values = every[where].view(kind)[:, 0].astype(form, copy=False)
            yield timeless(places, values)
        places, where, shift = self._bits
        if len(places):
            yield timeless(places, (every[where] >> shift & 1).astype(np.bool_))

    def texts(self, raw: bytes) -> Iterator[tuple[int, str]]:
        """Give the texts, each with its tag's place."""
        for spot in self._texts:
            yield spot.place, text_of(raw[spot.at : spot.at + 2 * spot.address.count], spot.address)


def timeless(places: NDArray[np.int64], values: NDArray[Any]) -> Column:
    """Make a column of values without source and server time."""
    never = np.full(len(places), NEVER)
    return Column(places, values, never, never)


def _bit_of(spot: Spot) -> tuple[int, int, int]:
    """Where a bit stands: a coil's byte and bit, or those of a register."""
    if spot.address.is_bit:
        return spot.place, spot.at, spot.bit
    number = int(spot.address.kind.removeprefix("bit"))
    high, low = spot.address.wire
    return spot.place, spot.at + (high if number >= 8 else low), number % 8  # noqa: PLR2004 (bits of a byte)
