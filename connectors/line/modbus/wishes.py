"""What a Modbus line is told beside its tags: write targets."""

import math
from typing import Annotated

import msgspec

from connectors.line.modbus.address import NUMBERS, parse
from connectors.line.tags import Address

TargetName = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")]


class Target(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The one thing that may be written: a coil, or a number in holding registers between `low` and `high`.

    Values are in the unit of the plant: `(value - offset) / scale` is what is written. `device` is the unit
    number when it is not the line's.
    """

    name: TargetName
    address: Address
    device: Annotated[int, msgspec.Meta(ge=1, le=247)] | None = None
    low: float | None = None
    high: float | None = None
    scale: float = 1.0
    offset: float = 0.0

    def __post_init__(self) -> None:
        address = parse(self.address)
        if address.table not in {"coil", "holding"}:
            raise ValueError(f"target {self.name}: {address.table} cannot be written; coil and holding can")
        if address.is_bit:
            if self.low is not None or self.high is not None:
                raise ValueError(f"target {self.name}: a coil has no low and high")
            return
        if address.kind not in NUMBERS:
            raise ValueError(f"target {self.name}: {address.kind} cannot be written: it would overwrite its neighbours")
        if self.low is None or self.high is None or not -math.inf < self.low <= self.high < math.inf:
            raise ValueError(f"target {self.name}: low and high are mandatory")
        if not math.isfinite(self.scale) or self.scale == 0 or not math.isfinite(self.offset):
            raise ValueError(f"target {self.name}: scale must be finite and not 0, offset must be finite")
