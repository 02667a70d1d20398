"""A camera's own numbers: kept as they came, degrees Celsius for whoever asks."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import numpy as np
import pytest

from connectors.line.shapes import ShapeTag, Times, Unfit, frame
from gateway.core.diagnosis import Diagnosis
from gateway.core.reading import Quality, ThermalFrame
from gateway.core.window import Window
from gateway.diagnosis.hotspot import find_hot_spot, picture_of, usable
from gateway.flow.evidence import of_window
from gateway.flow.live import AssetView
from gateway.store.settings import Settings as StoreSettings
from gateway.web.pages.frame import frame_of

AT = datetime(2026, 3, 1, tzinfo=UTC)
TIMES = Times(AT, AT, AT)
CENTIKELVIN = ShapeTag(asset="M", tag="thermal", address="x", kind="frame", encoding="centikelvin", unit="degC")


def numbers(shape: tuple[int, int] = (48, 64)) -> np.ndarray:
    """A room of 22 degrees with a hot spot, as the camera says it: kelvin x 100."""
    down, across = np.mgrid[0 : shape[0], 0 : shape[1]]
    spot = 900 * np.exp(-((down - 20) ** 2 + (across - 40) ** 2) / 30)
    return np.asarray(29_515 + spot + np.random.default_rng(2).normal(0, 8, shape)).astype("<u2")


def in_degrees(raw: np.ndarray) -> ThermalFrame:
    """The same picture as it was kept before: float32 degrees Celsius."""
    exact = raw.astype(np.float32)
    exact = exact * np.float32(0.01) + np.float32(-273.15)
    return ThermalFrame("M", "thermal", exact.tobytes(), raw.shape[0], raw.shape[1], Quality.GOOD, AT, AT, AT)


def test_a_camera_s_numbers_stay_and_every_measure_of_them_is_what_it_was() -> None:
    raw = numbers()
    made, before = frame(CENTIKELVIN, raw, Quality.GOOD, TIMES), in_degrees(raw)
    assert made.pixels == raw.tobytes() and len(before.pixels) == 2 * len(made.pixels)
    assert (made.form, made.scale, made.offset) == ("<u2", 0.01, -273.15)
    assert usable(made) and usable(before)
    assert np.array_equal(picture_of(made), picture_of(before))
    assert find_hot_spot(picture_of(made)) == find_hot_spot(picture_of(before))
    assert frame_of(AssetView("M", frame=made), None) == frame_of(AssetView("M", frame=before), None)


@pytest.mark.parametrize("kind", ["<u2", ">u2", "|u1"])
@pytest.mark.parametrize(("scale", "offset"), [(1.0, 0.0), (0.5, -40.0), (-0.25, 100.0)])
def test_degrees_are_the_same_for_whole_and_for_real_numbers(kind: str, scale: float, offset: float) -> None:
    tag = ShapeTag(asset="M", tag="t", address="x", kind="frame", encoding="raw", scale=scale, offset=offset)
    raw = np.arange(12).reshape(3, 4)
    whole = frame(tag, raw.astype(kind), Quality.GOOD, TIMES)
    real = frame(tag, raw.astype("<f4"), Quality.GOOD, TIMES)
    assert (whole.form, real.form) == ("<u2", "<f4")
    assert np.array_equal(whole.celsius(), real.celsius())


@pytest.mark.parametrize("scale", [0.01, -0.01])
def test_a_pixel_out_of_range_refuses_the_picture_whichever_end_it_is_at(scale: float) -> None:
    tag = ShapeTag(asset="M", tag="t", address="x", kind="frame", encoding="raw", scale=scale, low=-10, high=10)
    picture = np.full((4, 4), 500, "<u2")
    assert frame(tag, picture, Quality.GOOD, TIMES).is_whole
    picture[3, 3] = 1001
    with pytest.raises(Unfit, match="out of range"):
        frame(tag, picture, Quality.GOOD, TIMES)


def test_a_scale_that_leaves_the_numbers_that_there_are_refuses_the_picture() -> None:
    tag = ShapeTag(asset="M", tag="t", address="x", kind="frame", encoding="raw", scale=1e38)
    with pytest.raises(Unfit, match="finite"):
        frame(tag, np.full((4, 4), 500, "<u2"), Quality.GOOD, TIMES)


def test_a_frame_of_an_older_journal_is_degrees_as_it_was() -> None:
    before = in_degrees(numbers())
    old = msgspec.msgpack.encode(msgspec.structs.astuple(before)[:9])
    told = msgspec.msgpack.decode(old, type=ThermalFrame)
    assert told == before and (told.form, told.scale, told.offset) == ("<f4", 1.0, 0.0)


def test_a_torn_frame_is_not_whole_and_not_used() -> None:
    made = frame(CENTIKELVIN, numbers(), Quality.GOOD, TIMES)
    torn = msgspec.structs.replace(made, pixels=made.pixels[:-2])
    assert not torn.is_whole and not usable(torn)
    assert frame_of(AssetView("M", frame=torn), None).thermal is None


async def test_evidence_is_the_camera_s_bytes_and_says_how_they_become_degrees(tmp_path: Path) -> None:
    made = frame(CENTIKELVIN, numbers(), Quality.GOOD, TIMES)
    window = Window("M", AT, AT + timedelta(seconds=2), frame=made)
    seen = Diagnosis("M", window.start, window.end, None, 0.0, 0.0, 0.0, {})
    store = StoreSettings(path=str(tmp_path)).open()
    try:
        kept, _ = await store.write(lambda tx: of_window(tx, window, seen))
        [shown] = [one for one in kept if one.kind == "frame"]
        found = await store.read(lambda tx: tx.blob(shown.sha256))
    finally:
        await store.close()
    assert found is not None
    content, media = found
    kind, *fields = media.split(";")
    said = dict(field.split("=") for field in fields)
    assert kind == "application/vnd.andon.uint16-le" and content == made.pixels
    again = np.frombuffer(content, "<u2").astype(np.float32).reshape(int(said["height"]), int(said["width"]))
    again = again * np.float32(said["scale"]) + np.float32(said["offset"])
    assert np.array_equal(again, made.celsius())
