"""Files of instruments: read right, judged before they are decoded, refused by reason."""

import zlib
from contextlib import suppress
from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.line.files import FileTag, form_of, read
from connectors.line.shapes import Unfit
from connectors.line.tags import Times
from gateway.core.reading import ThermalFrame, Waveform
from tests.line_files import jpeg, npy, png, tiff, wav

NOW = datetime(2026, 3, 18, 6, 30, tzinfo=UTC)
TIMES = Times(NOW, None, NOW)
WAVE = FileTag(asset="M-07", tag="vibration", address="*", unit="g", rate_hz=1000)
FRAME = FileTag(asset="M-07", tag="thermal", address="*", kind="frame", unit="degC", encoding="centikelvin")


def taken(tag: FileTag, content: bytes, name: str = "file.bin") -> Waveform | ThermalFrame:
    return read(tag, content, form_of(content, name), TIMES)


def samples(atom: Waveform | ThermalFrame) -> list[float]:
    return (np.frombuffer(atom.samples, "<f4") if isinstance(atom, Waveform) else atom.celsius().reshape(-1)).tolist()


@pytest.mark.parametrize("write", [tiff, png])
def test_a_radiometric_picture_becomes_degrees(write: object) -> None:
    kelvin = np.array([[293.15, 294.15, 295.15], [373.15, 273.15, 300.15]])
    atom = taken(FRAME, write(kelvin), "shot.tif")  # type: ignore[operator]  # one of the two writers
    assert isinstance(atom, ThermalFrame) and (atom.height, atom.width) == (2, 3)
    assert samples(atom) == pytest.approx((kelvin - 273.15).ravel().tolist(), abs=0.02)


def test_wav_of_every_kind_is_parts_of_full_scale_and_says_its_rate() -> None:
    tag = FileTag(asset="M-07", tag="vibration", address="*", unit="g", scale=50)
    for bits in (16, 24, 32):
        half = (1 << (bits - 2)).to_bytes(bits // 8, "little", signed=True)
        least = (-(1 << (bits - 1))).to_bytes(bits // 8, "little", signed=True)
        atom = taken(tag, wav(half + least, bits=bits))
        assert isinstance(atom, Waveform) and atom.rate_hz == 12_800
        assert samples(atom) == [25, -50]
    floats = np.array([0.5, -2.0], "<f4").tobytes()
    assert samples(taken(tag, wav(floats, code=3, bits=32))) == [25, -100]


def test_a_channel_is_chosen_and_two_need_a_choice() -> None:
    both = np.array([[1, 2], [3, 4]], "<f4").tobytes()
    with pytest.raises(Unfit, match="2 channels: say which"):
        taken(WAVE, wav(both, code=3, bits=32, channels=2))
    tag = FileTag(asset="M-07", tag="v", address="*", column="1")
    assert samples(taken(tag, wav(both, code=3, bits=32, channels=2))) == [2, 4]


def test_csv_of_the_field_is_read() -> None:
    german = "Messung 7\nZeit;Beschl.\n0,0;1,5\n0,1;-2,25\n".encode("latin-1")
    tag = FileTag(asset="M-07", tag="v", address="*", rate_hz=10, column="beschl.")
    assert samples(taken(tag, german, "a.csv")) == [1.5, -2.25]
    assert samples(taken(WAVE, b"\xef\xbb\xbf1\n2\n3\n", "a.txt")) == [1, 2, 3]
    plain = FileTag(asset="M-07", tag="t", address="*", kind="frame", unit="degC")
    frame = taken(plain, b"20,21\n22,23\n", "a.csv")
    assert isinstance(frame, ThermalFrame) and samples(frame) == [20, 21, 22, 23]
    with pytest.raises(Unfit, match="not a table of numbers"):
        taken(WAVE, b"1\n2\nthree\n", "a.csv")
    with pytest.raises(Unfit, match="say which one"):
        taken(WAVE, b"1,2\n2,3\n", "a.csv")


def test_npy_of_numbers_is_taken_and_objects_are_refused() -> None:
    assert samples(taken(WAVE, npy(np.array([1, 2, 3], "<i2")))) == [1, 2, 3]
    turned = np.asfortranarray(np.array([[1.0, 2.0], [3.0, 4.0]]))
    assert samples(taken(FileTag(asset="a", tag="t", address="*", kind="frame"), npy(turned))) == [1, 2, 3, 4]
    pickled = b"\x93NUMPY\x01\x00" + (
        b"v\x00" + b"{'descr': '|O', 'fortran_order': False, 'shape': (1,), }".ljust(117) + b"\n"
    )
    with pytest.raises(Unfit, match="does not hold numbers"):
        taken(WAVE, pickled + b"cos\nsystem\n")
    with pytest.raises(Unfit, match="torn"):
        taken(WAVE, npy(np.arange(9.0))[:-1])


def test_raw_numbers_need_their_size_and_rate() -> None:
    half = FileTag(asset="a", tag="v", address="*", encoding="int16", rate_hz=100, scale=0.5)
    assert samples(taken(half, np.array([2, -4], "<i2").tobytes(), "a.raw")) == [1, -2]
    with pytest.raises(Unfit, match="no rate"):
        taken(FileTag(asset="a", tag="v", address="*"), bytes(8), "a.raw")
    sized = FileTag(asset="a", tag="t", address="*", kind="frame", encoding="centikelvin", height=1, width=2)
    assert samples(taken(sized, np.array([27315, 28315], "<u2").tobytes(), "a.raw")) == pytest.approx([0, 10], abs=0.01)


@pytest.mark.parametrize(
    ("content", "name", "why"),
    [
        (jpeg(), "shot.tif", "JPEG loses"),
        (b"PK\x03\x04", "a.zip", "is not taken"),
        (b"nothing", "a.tif", "the bytes are not TIFF"),
        (b"nothing", "file", "without a suffix"),
        (wav(b""), "a.wav", "torn"),
    ],
)
def test_what_is_not_taken_is_said(content: bytes, name: str, why: str) -> None:
    with pytest.raises(Unfit, match=why):
        taken(WAVE, content, name)


def bomb() -> bytes:
    """A PNG of a few bytes that claims 5,000 x 5,000 pixels."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return len(data).to_bytes(4, "big") + name + data + zlib.crc32(name + data).to_bytes(4, "big")

    head = (5_000).to_bytes(4, "big") * 2 + b"\x10\0\0\0\0"
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
    )


@pytest.mark.pain(7)
def test_a_bomb_is_refused_before_a_pixel_is_decoded() -> None:
    with pytest.raises(Unfit, match="more than"):
        taken(FRAME, bomb(), "bomb.png")
    huge = npy(np.zeros(3)).replace(b"(3,)", b"(9999999999,)".ljust(4))
    with pytest.raises(Unfit):
        taken(WAVE, huge)


@given(
    st.binary(max_size=200),
    st.sampled_from([".tif", ".png", ".npy", ".wav", ".csv", ".raw"]),
    st.sampled_from([FRAME, WAVE]),
)
def test_no_bytes_do_more_than_be_refused(content: bytes, suffix: str, tag: FileTag) -> None:
    heads = {".tif": b"II*\0", ".png": b"\x89PNG\r\n\x1a\n", ".npy": b"\x93NUMPY\x01\0", ".wav": b"RIFF\0\0\0\0WAVE"}
    with suppress(Unfit):
        taken(tag, heads.get(suffix, b"") + content, "a" + suffix)
