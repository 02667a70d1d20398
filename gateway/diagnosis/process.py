"""Process values beside the vibration: the bearing's temperature, and how far it is above the room's."""

from collections.abc import Sequence

from gateway.core.asset import Asset
from gateway.core.window import Window
from gateway.diagnosis.features import Feature, names_of
from gateway.diagnosis.hotspot import background_of, usable

FEATURES: tuple[Feature, ...] = (
    Feature("temperature", "degC", direct=False, against=True, prior=2.5),
    Feature("temperature_rise", "K", against=True, prior=2.5),
)
MAX_AGE_S = 60.0
_NAN = float("nan")


class Process:
    """The `temperature` tag. Its rise is over the `ambient` tag, else over the thermal frame's background."""

    name = "process"
    features = FEATURES

    @property
    def names(self) -> Sequence[str]:
        """The feature names in order."""
        return names_of(FEATURES)

    def encode(self, windows: Sequence[Window], assets: Sequence[Asset]) -> list[list[float] | None]:
        """Give the values per window; None without a fresh `temperature`."""
        del assets
        return [_one(window) for window in windows]


def _one(window: Window) -> list[float] | None:
    temperature = _fresh(window, "temperature")
    if temperature is None:
        return None
    ambient = _fresh(window, "ambient")
    if ambient is None and window.frame is not None and usable(window.frame):
        ambient = background_of(window.frame)
    return [temperature, _NAN if ambient is None else temperature - ambient]


def _fresh(window: Window, tag: str) -> float | None:
    scalar = window.scalar(tag)
    return None if scalar is None or scalar.age_s > MAX_AGE_S else scalar.mean
