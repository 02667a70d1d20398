"""Scripts of faults: what goes wrong, when, how badly, how fast.

A script is TOML::

    title = "An outer race goes"
    seed = 7                      # used when the command line names none
    [[step]]
    at = "20s"                    # after the start; "500ms", "20s", "3min"
    asset = "M-01"                # left out: the first machine
    fault = "bearing_outer_race"  # "healthy" repairs
    severity = 0.7
    ramp = "30s"                  # left out: at once
"""

import re
from pathlib import Path
from typing import Annotated

import msgspec

from simulators.faults import FAULTS, HEALTHY

READY_MADE = Path(__file__).with_name("scenarios")
_SPAN = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|min|h)")
_SECONDS = {"ms": 1e-3, "s": 1.0, "min": 60.0, "h": 3600.0}


class Step(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One event of a script. Durations as text ("20s")."""

    at: str
    fault: str
    severity: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.7
    ramp: str = "0s"
    asset: str = ""


class Script(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A script; its steps in the order in which they happen."""

    step: list[Step]
    title: str = ""
    seed: int | None = None


def seconds(text: str) -> float:
    """Read a duration. Raises ValueError with an example."""
    found = _SPAN.fullmatch(text.strip())
    if found is None:
        raise ValueError(f"not a duration: {text!r} (write 500ms, 20s, 3min)")
    return float(found[1]) * _SECONDS[found[2]]


def load(name: str, assets: list[str]) -> Script:
    """Read a script from a file, or a ready-made one by its name. Raises ValueError naming the step."""
    path = Path(name) if name.endswith(".toml") else READY_MADE / f"{name}.toml"
    try:
        script = msgspec.toml.decode(path.read_bytes(), type=Script)
    except FileNotFoundError:
        known = ", ".join(sorted(made.stem for made in READY_MADE.glob("*.toml")))
        raise ValueError(f"no script {path}; ready-made: {known}") from None
    except (msgspec.DecodeError, OSError) as wrong:
        raise ValueError(f"script {path}: {wrong}") from wrong
    for number, step in enumerate(script.step, start=1):
        _check(step, f"script {path}, step {number}", assets)
    return msgspec.structs.replace(script, step=sorted(script.step, key=lambda step: seconds(step.at)))


def _check(step: Step, where: str, assets: list[str]) -> None:
    try:
        seconds(step.at)
        seconds(step.ramp)
    except ValueError as wrong:
        raise ValueError(f"{where}: {wrong}") from None
    if step.fault not in (*FAULTS, HEALTHY):
        raise ValueError(f"{where}: unknown fault {step.fault!r}; known: {', '.join(FAULTS)}")
    if step.asset and step.asset not in assets:
        raise ValueError(f"{where}: no machine {step.asset!r} here; there are {', '.join(assets)}")
