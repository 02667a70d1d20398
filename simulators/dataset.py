"""Records runs of many rigs to files, without a network: `python -m simulators.dataset --out DIR --seed 1`.

One .npz per run, named RIG-NN-FAULT.npz. A rig differs from the others in bearing, speed, structure, sensor,
noise, surroundings and camera; a run of it differs in load, speed and, where there is a fault, in the defect
itself. Keys:

waveform         float32 (n,), g as the sensor says it (its gain error included)
rate_hz          sampling rate
speed_rpm        mean real speed of the run; nameplate_rpm is what the plate says (up to 3 % off, and the set
                 speed of a variable-speed drive is `set_rpm`)
load_pct         mean load in per cent
designation, balls, ball_mm, pitch_mm, contact_deg     the bearing
fault, severity  one of simulators.faults.FAULTS or "healthy"; 0..1
rig, run         rig id (split by this) and number of the run
baseline         true for the healthy runs that a site would learn its baseline from
frames           float32 (k, height, width) degrees Celsius as the camera says them
ambient_c, temperature_c                               scalars; bearing housing
logs, log_levels what the machine logged during the run and some seconds before, RFC 5424 severity of each
"""

import argparse
import itertools
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from simulators.console import fail
from simulators.faults import FAULTS, HEALTHY
from simulators.machine import STEP_S, Machine
from simulators.path import Floats
from simulators.rig import Rig, random_rig
from simulators.seeds import generator

BASELINES = 3
SETTLE_S = 0.2
"""Signal that is thrown away at the beginning: the filters fill."""


@dataclass(frozen=True, slots=True)
class Run:
    """What one run of a rig shall be; `pace` is the set speed over the rated one."""

    number: int
    fault: str
    severity: float
    load: float
    pace: float
    frames: int
    baseline: bool = False


def plan(rig: Rig, seed: int, healthy: int, severities: int) -> Iterator[Run]:
    """Plan the runs of a rig: baselines, further healthy ones, then each fault at severities spread over 0..1."""
    draw = generator(seed, "plan", rig.name)
    conditions = [(HEALTHY, 0.0)] * (BASELINES + healthy)
    for fault in FAULTS:
        edges = np.linspace(0.05, 1.0, severities + 1)
        conditions += [(fault, float(draw.uniform(low, high))) for low, high in itertools.pairwise(edges)]
    for number, (fault, severity) in enumerate(conditions):
        pace = float(draw.uniform(0.6, 1.0)) if rig.variable_speed else float(draw.uniform(0.985, 1.0))
        load, frames = float(draw.uniform(0.15, 1.1)), int(draw.integers(1, 5))
        yield Run(number, fault, severity, load, pace, frames, baseline=number < BASELINES)


def record(rig: Rig, run: Run, seed: int, seconds: float, folder: Path) -> Path:
    """Record one run to a file and give its path."""
    machine = Machine(rig, seed * 1000 + run.number, pace=run.pace, load=run.load)
    draw = generator(seed, "record", rig.name, str(run.number))
    if run.fault != HEALTHY:
        machine.inject(run.fault, run.severity)
    machine.rest(float(draw.uniform(0.5, 8)))
    machine.read(round(rig.rate_hz * SETTLE_S))
    waveform, speed, load = _measure(machine, seconds)
    lines = machine.lines()
    pictures = []
    for _ in range(run.frames):
        pictures.append(machine.picture())
        machine.rest(0.2)
    path = folder / f"{rig.name}-{run.number:02d}-{run.fault}.npz"
    now = machine.temperatures
    np.savez(
        path,
        waveform=waveform.astype(np.float32),
        rate_hz=rig.rate_hz,
        speed_rpm=speed,
        set_rpm=rig.nameplate_rpm * run.pace,
        nameplate_rpm=rig.nameplate_rpm,
        load_pct=load,
        designation=rig.designation,
        balls=rig.bearing.balls,
        ball_mm=rig.bearing.ball_mm,
        pitch_mm=rig.bearing.pitch_mm,
        contact_deg=rig.bearing.contact_deg,
        fault=run.fault,
        severity=run.severity,
        rig=rig.name,
        run=run.number,
        baseline=run.baseline,
        frames=np.stack(pictures),
        ambient_c=now.ambient + float(draw.normal(0, 0.5)),
        temperature_c=now.bearing + float(draw.normal(0, 0.4)),
        logs=np.array([line.text for line in lines], dtype=np.str_),
        log_levels=np.array([line.severity for line in lines], dtype=np.int8),
    )
    return path


def _measure(machine: Machine, seconds: float) -> tuple[Floats, float, float]:
    """Read the waveform, the mean speed in rpm and the mean load in per cent."""
    step, total = round(STEP_S * machine.rig.rate_hz), round(seconds * machine.rig.rate_hz)
    blocks, speeds, loads = [], [], []
    for start in range(0, total, step):
        blocks.append(machine.read(min(step, total - start)))
        speeds.append(machine.speed_rpm)
        loads.append(machine.load_pct)
    return np.concatenate(blocks), float(np.mean(speeds)), float(np.mean(loads))


def main(arguments: list[str] | None = None) -> int:
    """Record what the command line asks for."""
    parser = argparse.ArgumentParser(
        prog="simulators.dataset", description="Record runs of simulated rigs to .npz files"
    )
    parser.add_argument("--out", type=Path, required=True, help="folder, made when it is not there")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--rigs", type=int, default=12, help="number of rigs")
    parser.add_argument("--first", type=int, default=0, help="number of the first rig (to share the work out)")
    parser.add_argument("--seconds", type=float, default=6.0, help="length of each waveform")
    parser.add_argument("--healthy", type=int, default=4, help="healthy runs per rig besides the baselines")
    parser.add_argument("--severities", type=int, default=3, help="runs per fault and rig")
    options = parser.parse_args(arguments)
    try:
        count = _record_all(options)
    except OSError as wrong:
        return fail("simulators.dataset", str(wrong))
    print(f"{count} runs in {options.out}")
    return 0


def _record_all(options: argparse.Namespace) -> int:
    """Record every run of every rig; gives their number."""
    options.out.mkdir(parents=True, exist_ok=True)
    count = 0
    for index in range(options.first, options.first + options.rigs):
        rig = random_rig(options.seed, index)
        for run in plan(rig, options.seed, options.healthy, options.severities):
            record(rig, run, options.seed, options.seconds, options.out)
            count += 1
        print(f"{rig.name}: {rig.designation}, {rig.speed_rpm:.0f} rpm, {rig.rate_hz:.0f} Hz", file=sys.stderr)
    return count


if __name__ == "__main__":
    sys.exit(main())
