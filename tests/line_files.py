"""Files as instruments write them."""

import io
import struct

import numpy as np
from numpy.typing import NDArray
from PIL import Image


def tiff(kelvin: NDArray[np.floating]) -> bytes:
    """A picture of 16 bit in hundredths of a kelvin."""
    out = io.BytesIO()
    Image.fromarray((kelvin * 100).astype(np.uint16)).save(out, "TIFF")
    return out.getvalue()


def png(kelvin: NDArray[np.floating]) -> bytes:
    out = io.BytesIO()
    Image.fromarray((kelvin * 100).astype(np.uint16)).save(out, "PNG")
    return out.getvalue()


def jpeg() -> bytes:
    out = io.BytesIO()
    Image.new("L", (8, 8)).save(out, "JPEG")
    return out.getvalue()


def npy(array: NDArray[np.generic]) -> bytes:
    out = io.BytesIO()
    np.lib.format.write_array(out, array, allow_pickle=False)
    return out.getvalue()


def wav(data: bytes, *, code: int = 1, bits: int = 16, rate: int = 12_800, channels: int = 1) -> bytes:
    """A WAV file around raw samples."""
    block = channels * bits // 8
    form = struct.pack("<HHIIHH", code, channels, rate, rate * block, block, bits)
    body = b"WAVEfmt " + struct.pack("<I", len(form)) + form + b"LIST\x03\0\0\0abc\0"
    body += b"data" + struct.pack("<I", len(data)) + data
    return b"RIFF" + struct.pack("<I", len(body)) + body
