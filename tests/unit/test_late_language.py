"""The lite engine is loaded with the first report, once."""

import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pytest

from gateway.core.asset import Plant, Site
from gateway.core.ports import Interpreter
from gateway.core.report import QualityReport
from gateway.runtime.making import open_interpreter
from gateway.runtime.models import Models
from gateway.runtime.settings import Settings, load

PLANT = Plant(Site(id="P-01"), ())
LITE = """
[store]
path = "store"
[diagnosis]
models = "none"
[language]
engine = "lite"
"""


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(2) as made:
        yield made


async def test_the_words_are_loaded_with_the_first_report_and_once(tmp_path: Path, pool: ThreadPoolExecutor) -> None:
    file = tmp_path / "andon.toml"
    file.write_text(LITE, "utf-8")
    opened: list[Interpreter] = []

    def opener(settings: Settings) -> Interpreter:
        opened.append(open_interpreter(settings))
        return opened[-1]

    models = Models(load(str(file)), pool, lambda _: pytest.fail("nobody diagnoses"), opener)
    interpreter = await models.interpreter()
    assert (interpreter.engine, opened, await models.interpreter()) == ("lite", [], interpreter)
    at = datetime.now(UTC)
    reports = [QualityReport(id=f"r{n}", text="M-01 leckt Öl", reported_at=at) for n in range(8)]
    told = list(pool.map(lambda report: interpreter.interpret(report, PLANT), reports))
    assert len(opened) == 1 and [one.id for one in told] == [report.id for report in reports]
    assert told[0].engine == "lite" and "nlp.interpret" in sys.modules
