"""What a request costs against a register, learned while reading. Pure."""

import msgspec

GAP = 60
"""How many unused registers are read over while nothing is learned yet."""
_MOST_GAP = 124
_ENOUGH, _SPREAD = 40, 8.0
_FORGET = 0.995
_ODD = 4.0


class Cost(msgspec.Struct):
    """Fits `seconds = a + b * registers` to the answers of an endpoint; old answers fade.

    To read over a gap costs b per register, to ask once more costs a: a gap of a / b is worth as much as a request.
    """

    weight: float = 0.0
    x: float = 0.0
    y: float = 0.0
    xx: float = 0.0
    xy: float = 0.0
    seen: int = 0

    def learn(self, registers: float, seconds: float) -> None:
        """Take one answer in. One that took far longer than most says nothing about its length: it is cut down."""
        if self.seen > _ENOUGH // 4:
            seconds = min(seconds, _ODD * max(self.seconds(registers), self.y / self.weight))
        keep = _FORGET
        self.weight = keep * self.weight + 1
        self.x = keep * self.x + registers
        self.y = keep * self.y + seconds
        self.xx = keep * self.xx + registers * registers
        self.xy = keep * self.xy + registers * seconds
        self.seen += 1

    @property
    def known(self) -> bool:
        """Whether enough answers of different lengths were seen."""
        return self.seen >= _ENOUGH and self._variance > _SPREAD**2

    @property
    def _variance(self) -> float:
        return self.xx / self.weight - (self.x / self.weight) ** 2 if self.weight else 0.0

    @property
    def _fit(self) -> tuple[float, float]:
        """Seconds of a request, and of a register."""
        if not self.weight:
            return 0.0, 0.0
        mean_x, mean_y = self.x / self.weight, self.y / self.weight
        variance = self._variance
        slope = max(0.0, (self.xy / self.weight - mean_x * mean_y) / variance) if variance > 1.0 else 0.0
        return max(0.0, mean_y - slope * mean_x), slope

    def seconds(self, registers: float) -> float:
        """How long an answer of this many registers takes."""
        base, slope = self._fit
        return base + slope * registers

    @property
    def gap(self) -> int:
        """How many unused registers are cheaper than one more request: 0 to 124."""
        if not self.known:
            return GAP
        base, slope = self._fit
        return _MOST_GAP if slope * _MOST_GAP <= base else int(base / slope)
