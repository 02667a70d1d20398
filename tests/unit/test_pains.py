"""The pains of other gateways' users, each with its tests: docs/pains.md names them, the tests say which they show."""

import ast
import re
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "pains.md"
PAINS = range(1, 26)
ROW = re.compile(r"^\|\s*P(\d+)\s*\|.*\|([^|]*)\|\s*$", re.MULTILINE)
NAMED = re.compile(r"`(tests/[\w/.]+\.py)`")


def marked() -> dict[int, set[str]]:
    """Find which files hold a test that is marked with a pain's number."""
    found: dict[int, set[str]] = defaultdict(set)
    for file in sorted((ROOT / "tests").rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "pytest.mark.pain":
                for argument in node.args:
                    assert isinstance(argument, ast.Constant) and isinstance(argument.value, int), file
                    found[argument.value].add(file.relative_to(ROOT).as_posix())
    return found


def test_every_pain_has_a_test_by_its_number() -> None:
    assert sorted(set(PAINS) - set(marked())) == []
    assert sorted(set(marked()) - set(PAINS)) == []


def test_the_page_names_for_every_pain_the_files_that_hold_its_tests() -> None:
    rows = {int(number): set(NAMED.findall(tests)) for number, tests in ROW.findall(PAGE.read_text("utf-8"))}
    assert sorted(rows) == list(PAINS)
    assert {number: sorted(files) for number, files in rows.items()} == {
        number: sorted(files) for number, files in sorted(marked().items())
    }
