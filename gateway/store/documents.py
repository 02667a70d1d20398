"""Documents: how a struct is kept in a row. MessagePack after one byte, which says whether zlib has packed it."""

import zlib
from typing import Any, TypeVar

import msgspec

from gateway.core.series import Layout

_WORTH_TRYING = 256
_SAMPLE = 4096
_PAYS = 0.9
_LARGE = 256 * 1024
_PAYS_LARGE = 0.25
"""A picture shrinks to a half, at 10 ms of a core for each MiB: only what shrinks a lot is worth that."""

T = TypeVar("T")
_decoders: dict[Any, Any] = {}


def pack(thing: Any) -> bytes:
    """Encode a struct as a document, compressed when that pays."""
    raw = msgspec.msgpack.encode(thing, enc_hook=_digest)
    if len(raw) < _WORTH_TRYING:
        return b"\0" + raw
    # Waveforms do not shrink; a sample from the middle finds out before the whole is tried.
    half = len(raw) // 2
    middle = raw[half : half + _SAMPLE] if len(raw) > 4 * _SAMPLE else b""
    least = _PAYS if len(raw) < _LARGE else _PAYS_LARGE
    if middle and len(zlib.compress(middle, 1)) > least * len(middle):
        return b"\0" + raw
    small = zlib.compress(raw, 1)
    return b"\1" + small if len(small) < _PAYS * len(raw) else b"\0" + raw


def unpack(body: bytes, kind: type[T] | msgspec.msgpack.Decoder[T]) -> T:
    """Decode a document, with a decoder when its kind needs one of its own.

    Raises `msgspec.ValidationError` when it is not of this kind.
    """
    raw = memoryview(body)[1:]
    plain = zlib.decompress(raw) if body[0] else raw
    if isinstance(kind, msgspec.msgpack.Decoder):
        return kind.decode(plain)
    if kind not in _decoders:
        _decoders[kind] = msgspec.msgpack.Decoder(kind)
    decoder: msgspec.msgpack.Decoder[T] = _decoders[kind]
    return decoder.decode(plain)


def _digest(thing: Any) -> str:
    """Say how a layout stands in a document: by its digest."""
    if isinstance(thing, Layout):
        return thing.digest
    raise NotImplementedError(f"{type(thing).__name__} cannot be stored")
