"""A rig: everything that stays the same about one machine, its surroundings, its sensor and its camera."""

from dataclasses import dataclass, field

import numpy as np

from simulators.bearings import CATALOGUE, Bearing, named
from simulators.path import Mode
from simulators.seeds import generator


@dataclass(frozen=True, slots=True)
class Gear:
    """A gear stage: teeth per shaft turn, amplitude in g, depth of its once-per-turn modulation."""

    teeth: int
    level_g: float
    depth: float


@dataclass(frozen=True, slots=True)
class Neighbour:
    """Another machine on the same floor: its shaft in Hz and what of it arrives here, in g."""

    shaft_hz: float
    level_g: float
    vanes: int


@dataclass(frozen=True, slots=True)
class Camera:
    """A thermal camera: shape in pixels, emissivity of what it sees, noise in K, where the bearing sits (0..1)."""

    height: int = 48
    width: int = 64
    emissivity: float = 0.95
    noise_k: float = 0.08
    across: float = 0.62
    down: float = 0.5
    spread: float = 0.09
    mirrored: bool = False


@dataclass(frozen=True, slots=True)
class Rig:
    """One machine. `speed_rpm` is its real rated speed, `nameplate_rpm` what is written on it."""

    name: str
    bearing: Bearing
    speed_rpm: float
    nameplate_rpm: float
    rate_hz: float
    designation: str = ""
    modes: tuple[Mode, ...] = (Mode(2400, 0.03, 0.6), Mode(3300, 0.025, 1.0), Mode(4600, 0.03, 0.5))
    slip: float = 0.008
    """How much slower the cage turns than pure rolling says (0..0.02)."""
    roughness_g: float = 0.05
    """RMS of the healthy rolling noise at rated speed, through the transfer path."""
    noise_g: float = 0.004
    """RMS of the sensor's own white noise."""
    gain: float = 1.0
    """Calibration error of the sensor: what it says over what is there."""
    full_scale_g: float = 25.0
    bits: int = 16
    cutoff: float = 0.45
    """Corner of the anti-alias filter as a share of the sampling rate."""
    unbalance_mm_s: float = 0.5
    """Healthy 1X velocity, RMS, at rated speed."""
    coupling_mm_s: float = 0.25
    """Healthy 2X velocity, RMS, at rated speed."""
    compliance: float = 0.1
    """Depth to which the balls' passing through the load zone modulates the rolling noise."""
    speed_wander: float = 0.002
    load_wander: float = 0.05
    load_wave: float = 0.05
    """Depth of the load's pulsation with the shaft."""
    variable_speed: bool = False
    gear: Gear | None = None
    neighbours: tuple[Neighbour, ...] = ()
    mains_hz: float = 50.0
    hum_g: float = 0.0
    knocks_hz: float = 0.0
    """Rate of stray knocks (tools, doors, parts falling), irregular, in every condition."""
    ambient_c: float = 23.0
    heat_k: float = 22.0
    """How far the housing warms above ambient at full load, healthy."""
    camera: Camera = field(default_factory=Camera)


def plain_rig(
    name: str, *, bearing: str = "6205", speed_rpm: float = 1797, rate_hz: float = 12_800, seed: int = 1
) -> Rig:
    """Make a rig with a given bearing, speed and rate; structure, noise and surroundings drawn mildly from the seed."""
    draw = generator(seed, "plain", name)
    return Rig(
        name=name,
        designation=bearing,
        bearing=named(bearing),
        speed_rpm=speed_rpm,
        nameplate_rpm=speed_rpm,
        rate_hz=rate_hz,
        modes=_modes(draw),
        slip=float(draw.uniform(0.0, 0.012)),
        roughness_g=float(draw.uniform(0.03, 0.08)),
        unbalance_mm_s=float(draw.uniform(0.3, 0.8)),
        hum_g=float(draw.uniform(0, 0.004)),
        ambient_c=float(draw.uniform(20, 27)),
        camera=Camera(across=float(draw.uniform(0.35, 0.7)), down=float(draw.uniform(0.4, 0.6))),
    )


def random_rig(seed: int, index: int) -> Rig:
    """Draw a rig that differs from the others in everything that differs between plants."""
    draw = generator(seed, "rig", str(index))
    designation = str(draw.choice(sorted(CATALOGUE)))
    speed = float(draw.uniform(600, 3600))
    rate = float(draw.choice([10_000, 12_000, 12_800, 16_000, 20_000, 20_480, 25_600]))
    rough = _log_uniform(draw, 0.008, 0.2)
    return Rig(
        name=f"R{index:03d}",
        designation=designation,
        bearing=_made(draw, CATALOGUE[designation]),
        speed_rpm=speed,
        nameplate_rpm=speed * float(1 + draw.uniform(-0.03, 0.03)),
        rate_hz=rate,
        modes=_modes(draw),
        slip=float(draw.uniform(0, 0.02)),
        roughness_g=rough,
        noise_g=rough * _log_uniform(draw, 0.02, 1.0),
        gain=_log_uniform(draw, 0.1, 10),
        full_scale_g=float(draw.choice([10, 25, 50, 100])),
        bits=int(draw.choice([14, 16, 24])),
        cutoff=float(draw.uniform(0.36, 0.48)),
        unbalance_mm_s=_log_uniform(draw, 0.2, 1.8),
        coupling_mm_s=_log_uniform(draw, 0.08, 0.9),
        compliance=float(draw.uniform(0, 0.3)),
        speed_wander=_log_uniform(draw, 0.0005, 0.008),
        load_wander=float(draw.uniform(0.01, 0.12)),
        load_wave=float(draw.uniform(0, 0.4)),
        variable_speed=_chance(draw, 0.35),
        gear=_gear(draw, rough) if _chance(draw, 0.4) else None,
        neighbours=tuple(_neighbour(draw, rough) for _ in range(draw.integers(0, 3))),
        mains_hz=float(draw.choice([50.0, 60.0])),
        hum_g=rough * _log_uniform(draw, 0.02, 0.5) if _chance(draw, 0.5) else 0.0,
        knocks_hz=_log_uniform(draw, 0.05, 2.0) if _chance(draw, 0.3) else 0.0,
        ambient_c=float(draw.uniform(8, 38)),
        heat_k=float(draw.uniform(8, 35)),
        camera=_camera(draw),
    )


def _log_uniform(draw: np.random.Generator, low: float, high: float) -> float:
    return float(np.exp(draw.uniform(np.log(low), np.log(high))))


def _chance(draw: np.random.Generator, share: float) -> bool:
    return bool(draw.random() < share)


def _made(draw: np.random.Generator, book: Bearing) -> Bearing:
    """Vary a bearing by what makers differ in; the count of balls stays."""
    ball = book.ball_mm * float(1 + draw.uniform(-0.04, 0.04))
    pitch = book.pitch_mm * float(1 + draw.uniform(-0.015, 0.015))
    return Bearing(book.balls, round(ball, 3), round(pitch, 3), book.contact_deg)


def _modes(draw: np.random.Generator) -> tuple[Mode, ...]:
    count = int(draw.integers(2, 8))
    rest = (
        Mode(_log_uniform(draw, 800, 6000), _log_uniform(draw, 0.01, 0.12), float(draw.normal())) for _ in range(count)
    )
    # One strong mode lies low enough for the slowest sampling rate.
    main = Mode(float(draw.uniform(2000, 4200)), _log_uniform(draw, 0.02, 0.08), float(draw.choice([-1.0, 1.0])))
    return (main, *rest)


def _gear(draw: np.random.Generator, rough: float) -> Gear:
    return Gear(int(draw.integers(15, 60)), rough * _log_uniform(draw, 0.1, 2.0), float(draw.uniform(0.02, 0.3)))


def _neighbour(draw: np.random.Generator, rough: float) -> Neighbour:
    return Neighbour(float(draw.uniform(8, 62)), rough * _log_uniform(draw, 0.02, 0.4), int(draw.integers(3, 9)))


def _camera(draw: np.random.Generator) -> Camera:
    height, width = [(24, 32), (48, 64), (60, 80), (96, 128), (120, 160)][draw.integers(0, 5)]
    return Camera(
        height=height,
        width=width,
        emissivity=float(draw.uniform(0.6, 0.97)),
        noise_k=_log_uniform(draw, 0.04, 0.3),
        across=float(draw.uniform(0.25, 0.75)),
        down=float(draw.uniform(0.3, 0.7)),
        spread=float(draw.uniform(0.05, 0.14)),
        mirrored=_chance(draw, 0.5),
    )
