"""Encoded windows into fusion's rows, in the situations that a plant brings.

With and without a baseline, in the middle of a run and at its beginning, with modalities missing.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from gateway.core.diagnosis import Fault
from gateway.diagnosis.assemble import Layout, Vector
from gateway.diagnosis.baseline import FREEZE, RECENT, Memory, Normal, take
from gateway.diagnosis.features import names_of
from gateway.diagnosis.fusion import FAULTS
from gateway.diagnosis.training.encode import Encoded
from gateway.diagnosis.vibration import FEATURES

DROPOUT = 0.3
_NO_BASELINE = 0.35
_BORN_SICK = 0.15  # the gateway came when the machine was sick already: it took that for normal
_SMEARED = 0.45
_NAMES = names_of(FEATURES)
_SPIN = {"ball_z", "ball", "ball_side_z", *(name for name in _NAMES if name.startswith("ball_at_"))}
_IMPULSES = {"kurtosis", "crest", "envelope_kurtosis", "high_floor"}


Row = tuple[Vector, int, float, str, str, int]


@dataclass(frozen=True, slots=True)
class Table:
    """Rows (n, columns) with labels; `groups` are rigs, `runs` recordings, `scene` 0 none, 1 own, 2 sick baseline.

    `turn` counts how often the run was used.
    """

    rows: npt.NDArray[np.float32]
    labels: npt.NDArray[np.int64]
    severity: npt.NDArray[np.float32]
    groups: npt.NDArray[np.str_]
    runs: npt.NDArray[np.str_]
    scene: npt.NDArray[np.int8]
    turn: npt.NDArray[np.int16]

    def where(self, keep: npt.NDArray[np.bool_]) -> "Table":
        """Give the rows that are kept."""
        return Table(
            self.rows[keep],
            self.labels[keep],
            self.severity[keep],
            self.groups[keep],
            self.runs[keep],
            self.scene[keep],
            self.turn[keep],
        )


def build(
    encoded: Sequence[Sequence[Encoded]], layout: Layout, speed_place: tuple[int, int], seed: int, *, repeats: int
) -> Table:
    """Build `repeats` rows per window, each in a situation of its own. `speed_place` is (modality, feature)."""
    random = np.random.default_rng(seed)
    healthy: dict[str, list[Encoded]] = defaultdict(list)
    for run in encoded:
        for one in run:
            if one.baseline:
                healthy[one.rig].append(one)
    rows: list[Row] = []
    turns: list[int] = []
    for run in encoded:
        if not run:
            continue
        for turn in range(repeats):
            rows += _one_run(run, healthy[run[0].rig], layout, speed_place, random)
            turns += [turn] * len(run)
    return Table(
        rows=np.array([r[0] for r in rows], np.float32),
        labels=np.array([r[1] for r in rows]),
        severity=np.array([r[2] for r in rows], np.float32),
        groups=np.array([r[3] for r in rows]),
        runs=np.array([r[4] for r in rows]),
        scene=np.array([r[5] for r in rows], np.int8),
        turn=np.array(turns, np.int16),
    )


def _one_run(
    run: Sequence[Encoded],
    healthy: Sequence[Encoded],
    layout: Layout,
    speed_place: tuple[int, int],
    random: np.random.Generator,
) -> list[Row]:
    dropped = _dropped(layout, random)
    draw = random.random()
    scene = 0 if draw < _NO_BASELINE else 2 if draw < _NO_BASELINE + _BORN_SICK else 1
    others = [one for one in healthy if one.run != run[0].run]
    teachers = [] if scene == 0 else list(run) if scene == 2 else others  # noqa: PLR2004 -- the scenes of Table
    memory = Memory()
    _teach(memory, teachers, layout, speed_place, random)
    before = _before(others, layout, random)
    smear = random.random() < _SMEARED and bool(others)
    rows = []
    for one in run:
        if smear and one.fault is Fault.BEARING_BALL:
            one = _smeared(one, others[int(random.integers(len(others)))], random)  # noqa: PLW2901  (it is the same window)
        vectors = [None if name in dropped else v for name, v in zip(layout.modalities, one.vectors, strict=True)]
        direct, against = layout.split(vectors)
        profiles = layout.profiles(vectors)
        speed = _speed(one, speed_place)
        normal = None if speed is None else memory.normal_at(speed)
        rows.append(
            (
                layout.row(direct, against, [*before[-(RECENT - 1) :], profiles], normal),
                FAULTS.index(one.fault),
                one.severity,
                one.rig,
                one.run,
                scene,
            )
        )
        before = [*before, profiles]
    return rows


def _smeared(one: Encoded, healthy: Encoded, random: np.random.Generator) -> Encoded:
    """Lose the spin line and, half of the time, the impulses: a ball tumbles and slides, its cage does not."""
    own, other = one.vectors[0], healthy.vectors[0]
    if own is None or other is None:
        return one
    lost = _SPIN | (_IMPULSES if random.random() < 0.5 else set())  # noqa: PLR2004
    vector = [theirs if name in lost else mine for name, mine, theirs in zip(_NAMES, own, other, strict=True)]
    return replace(one, vectors=(vector, *one.vectors[1:]))


def _dropped(layout: Layout, random: np.random.Generator) -> set[str]:
    """Choose what is missing: each modality now and then, never all of them."""
    gone = {name for name in layout.modalities if random.random() < DROPOUT}
    if "vibration" in gone and random.random() < 0.5:  # noqa: PLR2004 -- it is there more often than the rest
        gone.discard("vibration")
    return gone if len(gone) < len(layout.modalities) else gone - {"vibration"}


def _teach(
    memory: Memory,
    teachers: Sequence[Encoded],
    layout: Layout,
    speed_place: tuple[int, int],
    random: np.random.Generator,
) -> None:
    if not teachers:
        return
    count = min(len(teachers), int(random.integers(3, FREEZE)))
    for place in random.permutation(len(teachers))[:count]:
        one = teachers[place]
        speed = _speed(one, speed_place)
        if speed is None:
            continue
        _, against = layout.split(one.vectors)
        normal = memory.normal_at(speed)
        if normal is None:
            normal = Normal(speed)
            memory.normals.append(normal)
        take(normal, against)


def _before(others: Sequence[Encoded], layout: Layout, random: np.random.Generator) -> list[Vector]:
    """Healthy windows before the run, half of the time: the fault has just begun."""
    if not others or random.random() < 0.5:  # noqa: PLR2004
        return []
    chosen = random.permutation(len(others))[: int(random.integers(1, RECENT))]
    return [layout.profiles(others[place].vectors) for place in chosen]


def _speed(one: Encoded, place: tuple[int, int]) -> float | None:
    vector = one.vectors[place[0]]
    return None if vector is None else vector[place[1]]


def weights_of(table: Table) -> npt.NDArray[np.float64]:
    """Weigh rigs and faults alike; healthy windows count for half of all, as most of a plant is well."""
    counts: Mapping[tuple[str, int], int] = _counts(table)
    weight = np.array([1 / counts[g, c] for g, c in zip(table.groups.tolist(), table.labels.tolist(), strict=True)])
    well = table.labels == FAULTS.index(Fault.HEALTHY)
    weight[well] *= 0.5 / weight[well].sum()
    weight[~well] *= 0.5 / weight[~well].sum()
    return np.asarray(weight * len(weight))


def _counts(table: Table) -> dict[tuple[str, int], int]:
    counts: dict[tuple[str, int], int] = defaultdict(int)
    for key in zip(table.groups.tolist(), table.labels.tolist(), strict=True):
        counts[key] += 1
    return counts
