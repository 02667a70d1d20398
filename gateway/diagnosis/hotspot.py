"""Measures of a thermal frame that a person understands: the hot spot, its place and its surroundings."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gateway.core.reading import Quality, ThermalFrame

Picture = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class HotSpot:
    """The hottest place: `row`, `column` in pixels, `peak_c` there, `background_c` the room behind.

    `area` is the share of pixels warmer than halfway between background and peak; `body_c` the median
    of what is warm; all temperatures in degrees Celsius.
    """

    row: int
    column: int
    peak_c: float
    background_c: float
    body_c: float
    area: float


def picture_of(frame: ThermalFrame) -> Picture:
    """Decode a frame: float32 degrees Celsius, shape (height, width)."""
    return frame.celsius()


def usable(frame: ThermalFrame) -> bool:
    """Tell whether a frame can be read: quality, size, finite and earthly temperatures."""
    if frame.quality is Quality.BAD or not frame.is_whole:
        return False
    if min(frame.height, frame.width) < 8:  # noqa: PLR2004 -- smaller ones have no shape
        return False
    picture = picture_of(frame)
    return bool(np.isfinite(picture).all() and picture.min() > -100 and picture.max() < 2000)  # noqa: PLR2004


def find_hot_spot(picture: Picture) -> HotSpot:
    """Find the hot spot after a 3x3 mean, so that one bad pixel is none."""
    padded = np.pad(picture, 1, mode="edge")
    rows, columns = picture.shape
    smooth = np.mean([padded[r : r + rows, c : c + columns] for r in range(3) for c in range(3)], axis=0)
    row, column = divmod(int(np.argmax(smooth)), columns)
    peak = float(smooth[row, column])
    background = float(np.percentile(smooth, 10))
    warm = smooth > background + 0.25 * (peak - background)
    return HotSpot(
        row=row,
        column=column,
        peak_c=peak,
        background_c=background,
        body_c=float(np.median(smooth[warm])) if warm.any() else background,
        area=float(np.mean(smooth > (peak + background) / 2)),
    )


def background_of(frame: ThermalFrame) -> float:
    """Give the room's temperature behind the machine in degrees Celsius."""
    return find_hot_spot(picture_of(frame)).background_c
