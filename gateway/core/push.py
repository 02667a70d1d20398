"""Push: what a device hands in over HTTP, and what became of it."""

from datetime import datetime
from typing import Annotated, Literal

import msgspec

from gateway.core.reading import Moment


class PushFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What a sender says about its bytes; what it leaves out is as the settings say.

    `t0` is the time of the first sample or of the exposure (aware). `rate_hz` is a waveform's rate. `encoding`
    says what raw numbers are, `height` and `width` shape a raw picture. `unit` must be the tag's, when the
    settings declare one.
    """

    t0: Moment | None = None
    rate_hz: Annotated[float, msgspec.Meta(gt=0, le=10_000_000)] | None = None
    unit: Annotated[str, msgspec.Meta(max_length=32)] | None = None
    encoding: Literal["", "degC", "kelvin", "centikelvin", "raw", "float32", "int16"] = ""
    height: Annotated[int, msgspec.Meta(ge=1, le=8192)] | None = None
    width: Annotated[int, msgspec.Meta(ge=1, le=8192)] | None = None


class Push(msgspec.Struct, frozen=True, kw_only=True):
    """Bytes for one tag of one asset. `key` makes sending them again safe; "" is no key. It is the sender's own."""

    asset: str
    tag: str
    content: bytes
    media_type: str
    facts: PushFacts
    key: str = ""


class Receipt(msgspec.Struct, frozen=True):
    """The values are on disk. `count` is their number; `repeated`: they already were."""

    asset: str
    tag: str
    received_at: datetime
    count: int
    repeated: bool = False
