"""What an importer found: lines with their tags, and notes on everything that could not be taken over as it was."""

import re
from collections.abc import Iterable

import msgspec

Field = str | int | float | bool | dict[str, str | dict[str, str]] | list[str]
"""A value of our TOML that an importer writes."""
_BARE = re.compile(r"[^A-Za-z0-9_-]+")
_LONGEST = 128


class Note(msgspec.Struct, frozen=True):
    """Something that a person must know: where in the source, and what about it."""

    where: str
    told: str


class ImportedLine(msgspec.Struct, frozen=True):
    """One `[line.<name>]`: its fields, its tag groups, and its tags as cells by column."""

    name: str
    protocol: str
    fields: dict[str, Field]
    tags: tuple[dict[str, str], ...]
    groups: tuple[dict[str, Field], ...] = ()


class Imported(msgspec.Struct, frozen=True):
    """All that was found in the source."""

    lines: tuple[ImportedLine, ...]
    notes: tuple[Note, ...]

    @property
    def assets(self) -> list[str]:
        """The assets of all tags, each once, in their order."""
        return list(dict.fromkeys(tag["asset"] for line in self.lines for tag in line.tags))

    @property
    def secrets(self) -> list[str]:
        """The environment variables that the settings name."""
        found: list[str] = []
        for line in self.lines:
            for value in line.fields.values():
                found += _variables(value)
        return list(dict.fromkeys(found))


def _variables(value: object) -> list[str]:
    if not isinstance(value, dict):
        return []
    own = [str(value["env"])] if isinstance(value.get("env"), str) else []
    return own + [name for member in value.values() for name in _variables(member)]


class Finding:
    """Lines and notes while they are being found; names are made unique here."""

    def __init__(self) -> None:
        self._lines: list[ImportedLine] = []
        self._notes: list[Note] = []

    def note(self, where: str, told: str) -> None:
        """Tell a person something, once per place."""
        note = Note(where, told)
        if note not in self._notes:
            self._notes.append(note)

    def line(
        self,
        name: str,
        protocol: str,
        fields: dict[str, Field],
        tags: Iterable[dict[str, str]],
        groups: Iterable[dict[str, Field]] = (),
    ) -> None:
        """Add a line, unless it has no tag; names that stand twice get a number and a note."""
        where = name
        called = line_name(name)
        taken = {line.name for line in self._lines}
        number = 2
        while called in taken:
            called, number = f"{line_name(name)}-{number}", number + 1
        listed = self._distinct(tags, where)
        if not listed:
            self.note(where, "has no tag that could be taken over: the line is left out")
            return
        self._lines.append(ImportedLine(called, protocol, fields, tuple(listed), tuple(groups)))

    def _distinct(self, tags: Iterable[dict[str, str]], where: str) -> list[dict[str, str]]:
        listed: list[dict[str, str]] = []
        seen: set[tuple[str, str]] = set()
        for tag in tags:
            name, number = tag["tag"], 2
            while (tag["asset"], name) in seen:
                name, number = f"{tag['tag']}_{number}", number + 1
            if name != tag["tag"]:
                self.note(f"{where}: {tag['asset']}/{tag['tag']}", f"stands twice: the other is called {name}")
            seen.add((tag["asset"], name))
            listed.append({**tag, "tag": name})
        return listed

    def done(self) -> Imported:
        """Give what was found."""
        return Imported(tuple(self._lines), tuple(self._notes))


def joined(several: Iterable[Imported]) -> Imported:
    """Put what several files gave into one; lines of the same name get a number."""
    finding = Finding()
    for one in several:
        for note in one.notes:
            finding.note(note.where, note.told)
        for line in one.lines:
            finding.line(line.name, line.protocol, line.fields, line.tags, line.groups)
    return finding.done()


def line_name(text: str) -> str:
    """Make a line's name that needs no quotes in TOML."""
    return _BARE.sub("-", text).strip("-").lower()[:64] or "line"


def plain_name(text: str) -> str:
    """Make an asset's or a tag's name: one line, not too long, never empty, no topic levels in braces."""
    bare = " ".join(text.replace("/", ".").replace("{", "(").replace("}", ")").split())
    return bare[:_LONGEST] or "unnamed"


def number_text(value: float) -> str:
    """Write a number as it is read back: 0.1, 10, -3.5."""
    return repr(int(value)) if isinstance(value, int) or float(value).is_integer() else repr(float(value))
