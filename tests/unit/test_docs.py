"""The documents: paths exist, commands exist, settings are right, both READMEs have the same shape."""

import re
import shlex
from pathlib import Path

import pytest
from click import Context, Group

from gateway.cli.main import andon
from gateway.runtime.settings import parse

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "README.zh.md", *sorted((ROOT / "docs").glob("**/*.md")), ROOT / "CONTRIBUTING.md"]
COMMAND = re.compile(r"`andon ((?:[a-z-]+)(?: [^`]*)?)`")
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)#\s]+)[^)]*\)")
FILE = re.compile(r"`((?:gateway|connectors|nlp|simulators|tests|bench|docs|tools|migrations|examples)/[\w./-]+\.\w+)`")
MACHINE_PATH = re.compile(r"(?<![\w./])/(?:home|root|mnt|Users)/")


@pytest.mark.parametrize("document", PAGES, ids=lambda document: document.name)
def test_links_and_files_that_a_page_names_exist(document: Path) -> None:
    text = document.read_text("utf-8")
    for target in LINK.findall(text):
        assert "://" in target or (document.parent / target).exists(), target
    for path in FILE.findall(text):
        assert (ROOT / path).exists(), path
    assert not MACHINE_PATH.search(text)


def test_the_road_of_one_order_names_every_file_of_the_flow() -> None:
    named = set(FILE.findall((ROOT / "docs/road.md").read_text("utf-8")))
    there = {f"gateway/flow/{path.name}" for path in (ROOT / "gateway/flow").glob("*.py")} - {
        "gateway/flow/__init__.py"
    }
    assert not there - named, "say on docs/road.md where on the road this stands"


@pytest.mark.parametrize("document", PAGES, ids=lambda document: document.name)
def test_settings_that_a_page_shows_are_right(document: Path) -> None:
    for language, block in BLOCK.findall(document.read_text("utf-8")):
        if language == "toml":
            parse(block, document.name)


@pytest.mark.parametrize("document", PAGES, ids=lambda document: document.name)
def test_commands_and_options_that_a_page_names_exist(document: Path) -> None:
    text = document.read_text("utf-8")
    lines = COMMAND.findall(text)
    for language, block in BLOCK.findall(text):
        if language == "sh":
            lines += re.findall(r"^\s*(?:&& )?andon ([^#&|\n]+)", block, re.MULTILINE)
    for line in lines:
        words = shlex.split(line)
        command, context = andon, Context(andon)
        while isinstance(command, Group) and words and not words[0].startswith("-"):
            name, found, words = command.resolve_command(context, words)
            assert found is not None, line
            command, context = found, Context(found, parent=context, info_name=name)
        if context.info_name in {"machine", "recording", "oven", "erp", "dataset"}:
            continue  # a simulator reads its own options
        known = {option for parameter in command.params for option in parameter.opts} | {"--help"}
        assert {word for word in words if word.startswith("-")} <= known, line


def test_both_readmes_have_the_same_headings_and_commands() -> None:
    english, chinese = ((ROOT / name).read_text("utf-8") for name in ("README.md", "README.zh.md"))
    shape = [[line.split(" ")[0] for line in text.splitlines() if line.startswith("#")] for text in (english, chinese)]
    assert shape[0] == shape[1]
    assert sorted(COMMAND.findall(english)) == sorted(COMMAND.findall(chinese))
    assert re.findall(r"`(.venv/bin/python bench/[^`]+)`", english) == re.findall(
        r"`(.venv/bin/python bench/[^`]+)`", chinese
    )


@pytest.mark.parametrize("example", sorted((ROOT / "examples").glob("*.toml")), ids=lambda example: example.name)
def test_example_settings_are_right(example: Path) -> None:
    assert parse(example.read_text("utf-8"), example.name).assets
