"""Exit codes: one list for all commands, the documents and the help; no command invents its own."""

import ast
import re
from pathlib import Path

from click.testing import CliRunner

from gateway.cli.exits import Exit
from gateway.cli.main import andon

ROOT = Path(__file__).parents[2]
OWN = {"demo.py"}
"""Its exit code is the story's."""


def test_the_documents_have_every_code_as_it_is_meant() -> None:
    text = (ROOT / "docs" / "operate.md").read_text("utf-8").partition("## Exit codes")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| (\d+) \| (.+) \|$", text, re.MULTILINE)
    assert rows == [(str(code.value), code.means) for code in Exit]


def test_no_command_ends_with_a_bare_number() -> None:
    bare = [
        f"{file.name}:{call.lineno}"
        for file in sorted((ROOT / "gateway" / "cli").glob("*.py"))
        if file.name not in OWN
        for call in ast.walk(ast.parse(file.read_text("utf-8")))
        if isinstance(call, ast.Call) and ast.unparse(call.func) == "sys.exit"
        if any(isinstance(part, ast.Constant) and isinstance(part.value, int) for part in ast.walk(call))
    ]
    assert bare == []


def test_the_help_says_them() -> None:
    told = " ".join(CliRunner().invoke(andon, ["--help"]).stdout.split())
    assert "3 there is nothing of the name that was asked for" in told
