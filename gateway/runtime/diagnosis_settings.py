"""The parts of `andon.toml` about diagnosis and language: windows, what confirms a trouble, which models."""

from typing import Annotated, Literal

import msgspec

from gateway.core.units import Duration

WITHOUT = "none"
"""In place of a model bundle: no diagnosis."""
_SHORTEST_WINDOW, _LONGEST_WINDOW = 0.1, 3600.0


class DiagnosisSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How windows are cut and troubles confirmed.

    `window` is the length of a window, `late` how long a slow input is waited for. `missing` says what
    becomes of a window that lacks samples of a waveform: "degrade" judges it and names its gaps, "wait"
    waits as long as the input is believed to come back (30 s), "skip" leaves the window out. A value
    that is older than `max_skew` at a window's start, or a picture older than `picture_age`, is no
    evidence about the window: no row mixes fresh and stale without saying so. A trouble is
    confirmed by `confirm` windows before three clean ones, and over after `clear` clean windows.
    `models = "none"` is a gateway without diagnosis and without the memory that models take: the line is
    journalled and shown, reports still lead to orders.
    """

    window: Duration = Duration(2.0)
    late: Duration = Duration(3.0)
    missing: Literal["degrade", "wait", "skip"] = "degrade"
    max_skew: Duration = Duration(60.0)
    picture_age: Duration = Duration(15.0)
    confirm: Annotated[int, msgspec.Meta(ge=1, le=100)] = 3
    clear: Annotated[int, msgspec.Meta(ge=1, le=10_000)] = 30
    order_confidence: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.6
    models: str = "bundled"

    def __post_init__(self) -> None:
        if not _SHORTEST_WINDOW <= self.window <= _LONGEST_WINDOW:
            raise ValueError(f"A window is between 100ms and 1h long, not {self.window:g}s")
        if self.late > _LONGEST_WINDOW:
            raise ValueError("A slow input is waited for at most an hour (late)")


class LanguageSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which engine reads reports: `encoder` (grammar, lexicon and network) or `lite` (no network)."""

    engine: Literal["encoder", "lite"] = "encoder"
    encoder: str = "bundled"
