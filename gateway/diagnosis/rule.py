"""The first day's answer: textbook thresholds over the same features, without any training."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gateway.core.asset import Plant
from gateway.core.diagnosis import Contribution, Fault
from gateway.core.ports import Modality, Verdict
from gateway.diagnosis.assemble import layout_of
from gateway.diagnosis.diagnoser import FusedDiagnoser
from gateway.diagnosis.fusion import FAULTS, VELOCITY, ZONE_A_MM_S, decide
from gateway.diagnosis.process import Process
from gateway.diagnosis.vibration import Vibration

MODEL = "rule"
# A comb of lines stands out by 4 spreads by chance in one healthy window out of a hundred (41 slips are tried).
_COMB, _SLOPE = 4.0, 1.3
_HOT_K = 35.0


@dataclass(frozen=True, slots=True)
class Rule:
    """A judge (see `FusedDiagnoser`) that needs no bundle. Its probabilities are not calibrated."""

    columns: tuple[str, ...]

    def verdicts(self, rows: npt.NDArray[np.float64]) -> list[Verdict]:
        """Judge rows of shape (n, columns)."""
        return [self._one({name: float(v) for name, v in zip(self.columns, row, strict=True)}) for row in rows]

    def _one(self, row: dict[str, float]) -> Verdict:
        odds = dict.fromkeys(FAULTS, -4.0)
        odds[Fault.HEALTHY] = 1.0
        combs = {part: _known(row, f"vibration.{part}_z+") for part in ("outer", "inner", "ball", "cage")}
        rings = max(combs["outer"], combs["inner"])
        odds[Fault.BEARING_OUTER] = _SLOPE * (combs["outer"] - _COMB)
        odds[Fault.BEARING_INNER] = _SLOPE * (combs["inner"] - _COMB)
        rolling = combs["ball"] if combs["cage"] < rings else max(combs["ball"], combs["cage"])
        odds[Fault.BEARING_BALL] = _SLOPE * (rolling - _COMB)
        moving = 2 * (_known(row, VELOCITY) - float(np.log(4 * ZONE_A_MM_S)))
        odds[Fault.IMBALANCE] = moving + 6 * (_known(row, "vibration.share_x1") - 0.6)
        odds[Fault.MISALIGNMENT] = moving + 6 * (_known(row, "vibration.share_x2") - 0.35)
        odds[Fault.LOOSENESS] = moving + 6 * (_known(row, "vibration.share_half") - 0.15)
        odds[Fault.OVERHEATING] = (_known(row, "process.temperature_rise") - _HOT_K) / 4
        broken = max(_known(row, "vibration.flat") / 0.05, _known(row, "vibration.clip") / 0.02)
        odds[Fault.SENSOR] = 4 * (broken - 1)
        return _verdict({fault: float(np.clip(o, -12, 12)) for fault, o in odds.items()})


def _known(row: dict[str, float], name: str) -> float:
    """Give a feature; one that is missing speaks for nothing."""
    value = row.get(name, float("nan"))
    return 0.0 if np.isnan(value) else value


def _verdict(odds: dict[Fault, float]) -> Verdict:
    weights = np.exp(np.array([odds[fault] for fault in FAULTS]))
    chances = weights / weights.sum()
    fault, confidence, remarks = decide(chances, (1.0,) * len(FAULTS))
    sick = 1 - float(chances[FAULTS.index(Fault.HEALTHY)])
    top = max((f for f in FAULTS if f is not Fault.HEALTHY), key=lambda f: odds[f])
    return Verdict(
        fault=fault,
        confidence=confidence,
        anomaly=sick,
        severity=sick * float(np.clip(odds[top] / 8, 0, 1)),
        probabilities={str(one): float(p) for one, p in zip(FAULTS, chances, strict=True)},
        contributions=(Contribution("vibration", round(odds[top], 3)),),
        remarks=(*remarks, "by rule: no trained model"),
    )


def open_rule(plant: Plant, modalities: Sequence[Modality] = ()) -> FusedDiagnoser:
    """Make a diagnoser that judges by rule over vibration, process values and what else is given."""
    every: list[Modality] = [Vibration(), Process(), *modalities]
    return FusedDiagnoser(MODEL, plant, every, Rule(layout_of(every).columns))
