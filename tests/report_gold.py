"""Reports with the answers that people gave: the plants that they are about, and how well they are read."""

import json
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec

from gateway.core.asset import Asset, Plant, Site
from gateway.core.report import Extraction
from gateway.core.units import decode
from nlp.training.score import Score

CASES = Path(__file__).parent / "cases" / "reports"


def plant_of(name: str) -> Plant:
    """Read the plant of a file of cases."""
    content = tomllib.loads((CASES / name).read_text("utf-8"))
    return Plant(
        msgspec.convert(content["site"], Site, dec_hook=decode),
        tuple(msgspec.convert(row, Asset, dec_hook=decode) for row in content["asset"]),
    )


def hold(name: str, language: str, floor: Mapping[str, float], read: Callable[[str, str], Extraction]) -> None:
    """See that the reports of a file in one language are read as well as `floor` says; else name what was wrong."""
    score, wrong = Score(), []
    for line in (CASES / name).read_text("utf-8").splitlines():
        row = json.loads(line)
        if row["lang"] == language:
            faults = score.add(read(row["text"], row["reported_at"]), row["gold"])
            wrong += [f"{row['id']}: {', '.join(faults)}"] if faults else []
    rows = score.rows()
    low = {field: (round(rows[field], 3), least) for field, least in floor.items() if rows[field] < least}
    assert not low, f"{low}\n" + "\n".join(wrong)
