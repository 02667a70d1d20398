"""Quality reports read against hand-written gold, Chinese and English apart, and reports per second of one core.

--data holds `reports/` with `examples.jsonl` (or `reports.jsonl`) and `site.toml`, or is that folder itself; without
it the project's own set is read.
ECE is the expected calibration error of `confidence`. A target of "" is a figure without one.
"""

import json
import sys
import time
import tomllib
from datetime import datetime
from pathlib import Path

import msgspec
from report import Row, arguments, publish

from gateway.core.asset import Asset, Plant, Site
from gateway.core.ports import Interpreter
from gateway.core.report import QualityReport
from gateway.core.units import decode
from nlp.interpret import open_interpreter
from nlp.training.score import Score

OWN = Path(__file__).parents[1] / "tests" / "cases" / "reports"
TARGETS = {
    "asset": 0.95,
    "intent": 0.9,
    "fine_intent": 0.85,
    "due": 0.9,
    "failure_modes": 0.85,
    "defects": 0.85,
    "causes": 0.8,
    "measurements": 0.95,
    "slots": 0.8,
    "straight_through_precision": 0.9,
}
SECONDS = 5.0


def plant_of(path: Path) -> Plant:
    """Read the plant of a set."""
    content = tomllib.loads(path.read_text("utf-8"))
    assets = tuple(msgspec.convert(row, Asset, dec_hook=decode) for row in content.get("asset", []))
    return Plant(msgspec.convert(content["site"], Site, dec_hook=decode), assets)


def rows_of(score: Score, language: str, engine: str) -> list[Row]:
    """Every figure of one language."""
    return [
        Row(
            f"{name} ({language}, {engine}, {score.reports} reports)",
            round(value, 4),
            None,
            "ECE" if name == "calibration_error" else "share",
            None,
            f">= {TARGETS[name]}" if name in TARGETS else "",
            value >= TARGETS.get(name, 0.0),
        )
        for name, value in score.rows().items()
    ]


def speed_of(interpreter: Interpreter, reports: list[QualityReport], plant: Plant, seconds: float) -> float:
    """Reports per second of one core."""
    done, start = 0, time.process_time()
    while time.process_time() - start < seconds:
        for report in reports:
            interpreter.interpret(report, plant)
        done += len(reports)
    return done / (time.process_time() - start)


def main() -> None:
    """Read the set with both engines and print the figures."""
    given = arguments("reports", data=True)
    folder = given.data or OWN
    folder = folder / "reports" if (folder / "reports").is_dir() else folder
    found = [folder / name for name in ("examples.jsonl", "reports.jsonl") if (folder / name).exists()]
    if not found:
        sys.exit(f"{folder}: no examples.jsonl and no reports.jsonl")
    plant = plant_of(folder / "site.toml")
    labelled = [json.loads(line) for line in found[0].read_text("utf-8").splitlines()]
    rows: list[Row] = []
    for engine in ("lite",) if given.quick else ("lite", "encoder"):
        interpreter = open_interpreter("lite" if engine == "lite" else "encoder")
        scores = {"zh": Score(), "en": Score()}
        reports = []
        for row in labelled:
            report = QualityReport(
                id=row["id"], text=row["text"], reported_at=datetime.fromisoformat(row["reported_at"])
            )
            reports.append(report)
            scores[row["lang"]].add(interpreter.interpret(report, plant), row["gold"])
        for language, score in scores.items():
            rows += rows_of(score, language, engine)
        seconds = 1.0 if given.quick else SECONDS
        pace = speed_of(interpreter, reports, plant, seconds)
        rows.append(Row(f"reports per second of one core ({engine})", round(pace, 1), None, "1/s", None, "", ok=True))
    publish("reports", rows, given.output)


if __name__ == "__main__":
    main()
