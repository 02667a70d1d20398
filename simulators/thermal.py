"""Heat: how the parts of a machine warm up, and what a thermal camera makes of them."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from simulators.defect import Warmth
from simulators.path import Floats
from simulators.rig import Camera, Rig
from simulators.seeds import generator

Picture = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Temperatures:
    """Temperatures in degrees Celsius."""

    ambient: float
    body: float
    bearing: float
    coupling: float
    foot: float


class Heat:
    """First-order warming of one machine; `tau_s` is how long a part takes to get two thirds of the way.

    Real housings take many minutes. The simulators run faster, so that a demonstration can show it.
    """

    def __init__(self, rig: Rig, *, tau_s: float = 25.0) -> None:
        self._rig = rig
        self._tau_s = tau_s
        self._above: Floats | None = None

    def push(self, load: float, pace: float, extra: Warmth, severity: float, seconds: float) -> None:
        """Let time pass under a load (1 = rated), a speed and a defect."""
        work = self._rig.heat_k * (0.35 + 0.65 * load) * (0.5 + 0.5 * pace)
        grown = severity**0.8 if severity > 0 else 0.0
        goal = np.array([work, 0.8 * work, 0.35 * work, 0.25 * work]) + grown * np.array(
            [extra.body, extra.bearing, extra.coupling, extra.foot]
        )
        if self._above is None:
            self._above = goal if grown == 0 else goal * 0.9
        self._above = goal + (self._above - goal) * float(np.exp(-seconds / self._tau_s))

    @property
    def now(self) -> Temperatures:
        """The temperatures at this moment."""
        body, bearing, coupling, foot = (
            (0.0, 0.0, 0.0, 0.0) if self._above is None else (float(part) for part in self._above)
        )
        ambient = self._rig.ambient_c
        return Temperatures(ambient, ambient + body, ambient + bearing, ambient + coupling, ambient + foot)


class ThermalCamera:
    """Takes pictures of one rig: floor and wall, housing with fins, bearing, coupling, shaft and feet."""

    def __init__(self, rig: Rig, seed: int) -> None:
        self._camera = rig.camera
        self._random = generator(seed, "camera", rig.name)
        self._stripes = self._random.normal(0, 0.4 * rig.camera.noise_k, (1, rig.camera.width))
        self._wall = float(self._random.uniform(-1.5, 2.5))
        self._masks = _scene(rig.camera, self._random)

    def picture(self, temperatures: Temperatures) -> Picture:
        """Take a picture: float32 degrees Celsius, shape (height, width)."""
        camera, t = self._camera, temperatures
        down = np.linspace(0, 1, camera.height)[:, None]
        scene = t.ambient + self._wall * (1 - down) + np.zeros((camera.height, camera.width))
        for mask, part in zip(self._masks, (t.foot, t.body, t.coupling, t.bearing), strict=True):
            scene += mask * (part - scene)
        # Grey body: the camera also sees the room mirrored in the surface.
        seen = camera.emissivity * (scene + 273.15) ** 4 + (1 - camera.emissivity) * (t.ambient + 273.15) ** 4
        noise = self._random.normal(0, camera.noise_k, scene.shape) + self._stripes
        shown = seen**0.25 - 273.15 + noise
        return np.asarray(shown[:, ::-1] if camera.mirrored else shown, dtype=np.float32)


def _scene(camera: Camera, random: np.random.Generator) -> tuple[Floats, ...]:
    """Soft masks (0..1) of foot, body, coupling and bearing, each of the picture's shape."""
    down, across = np.mgrid[0 : camera.height, 0 : camera.width].astype(np.float64)
    down, across = down / camera.height, across / camera.width
    size = float(random.uniform(0.8, 1.2))
    middle, centre = camera.down, camera.across
    body = _box(across, down, centre - 0.34 * size, centre + 0.08, middle - 0.24 * size, middle + 0.24 * size)
    body *= 1 - 0.06 * (np.sin(across * 90) > 0)
    foot = _box(across, down, centre - 0.3 * size, centre + 0.05, middle + 0.24 * size, middle + 0.34 * size)
    coupling = _box(across, down, centre + 0.1, centre + 0.1 + 0.16 * size, middle - 0.06, middle + 0.06)
    aspect = camera.width / camera.height
    distance = ((across - centre - 0.03) * aspect) ** 2 + (down - middle) ** 2
    bearing = np.exp(-distance / (2 * (camera.spread * size) ** 2))
    return foot, body, coupling, bearing


def _box(across: Floats, down: Floats, left: float, right: float, top: float, bottom: float) -> Floats:
    soft = 0.015
    edges = ((across - left), (right - across), (down - top), (bottom - down))
    return np.asarray(np.prod([1 / (1 + np.exp(-np.clip(edge / soft, -50, 50))) for edge in edges], axis=0))
