"""Every fault of a settings file at once: its place, what is wrong, and a suggestion."""

import difflib
import re
import typing
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from gateway.core.units import decode

_HEADER = re.compile(r"^\s*(\[\[?)\s*([^\]]+?)\s*\]\]?\s*(#.*)?$")
_KEY = re.compile(r"^\s*([A-Za-z0-9_\-\"']+)\s*=")


class Fault(msgspec.Struct, frozen=True):
    """One fault. `at` is the dotted path (`line.cell-a.tag[2].unit`), `line` its line in the file or 0."""

    at: str
    what: str
    hint: str = ""

    def said(self, places: Mapping[str, int], file: str) -> str:
        """Say it as `file:line: path: what (hint)`."""
        line = place_of(self.at, places)
        where = f"{file}:{line}" if line else file
        return f"{where}: {self.at}: {self.what}" + (f" ({self.hint})" if self.hint else "")


def faults(value: Any, kind: Any, at: str) -> Iterator[Fault]:
    """Walk a decoded TOML value against a type; give every fault, not only the first."""
    if _is_struct(kind):
        yield from _of_struct(value, kind, at)
        return
    item = _item_of(kind)
    if item is not None and isinstance(value, list):
        for index, member in enumerate(value):
            yield from faults(member, item, f"{at}[{index}]")
        return
    try:
        msgspec.convert(value, kind, dec_hook=decode)
    except (msgspec.ValidationError, ValueError) as bad:
        choices = [str(choice) for choice in typing.get_args(kind)] if typing.get_origin(kind) is typing.Literal else []
        hint = suggest(value, choices) if choices else _example_of(kind)
        yield Fault(at, str(bad).replace(" - at `$`", ""), hint)


def _example_of(kind: Any) -> str:
    """Give the example that a type of text has, for its pattern says little to people; "" when it has none."""
    metas = (meta for meta in getattr(kind, "__metadata__", ()) if isinstance(meta, msgspec.Meta))
    return next((f"for example {meta.examples[0]}" for meta in metas if meta.examples), "")


def _of_struct(value: Any, kind: Any, at: str) -> Iterator[Fault]:
    if not isinstance(value, dict):
        yield Fault(at, f"Expected a table, got {type(value).__name__}")
        return
    fields = {field.encode_name: field for field in msgspec.structs.fields(kind)}
    for key in value:
        if key not in fields:
            yield Fault(_join(at, key), "unknown key", suggest(key, fields))
    sound = {}
    for key, field in fields.items():
        if key in value:
            found = list(faults(value[key], field.type, _join(at, key)))
            yield from found
            if not found:
                sound[key] = value[key]
        elif field.required:
            yield Fault(_join(at, key), "missing")
    yield from _of_whole(value, sound, kind, at)


def _of_whole(value: dict[str, Any], sound: dict[str, Any], kind: Any, at: str) -> Iterator[Fault]:
    """What only the whole table can say (`__post_init__`), with the faulty scalars left out so that it can be asked.

    A table with a faulty list of tables cannot be asked: without its list it would complain of that too.
    """
    if any(isinstance(value[key], list | dict) for key in value.keys() - sound.keys()):
        return
    missing = [field for field in msgspec.structs.fields(kind) if field.required and field.encode_name not in sound]
    if missing:
        return
    try:
        msgspec.convert(sound, kind, dec_hook=decode)
    except (msgspec.ValidationError, ValueError) as bad:
        yield Fault(at, str(bad).replace(" - at `$`", ""))


def suggest(word: str, known: typing.Iterable[str]) -> str:
    """Give `did you mean "x"?`, or what there is to choose from."""
    names = sorted(set(known))
    near = difflib.get_close_matches(str(word), names, n=1, cutoff=0.6)
    return f'did you mean "{near[0]}"?' if near else f"known: {', '.join(names)}"


def places(text: str) -> dict[str, int]:
    """Map each dotted path of a TOML text to its line (1-based), as far as plain headers and keys go."""
    found: dict[str, int] = {}
    counts: dict[str, int] = {}
    here = ""
    for number, line in enumerate(text.splitlines(), 1):
        if header := _HEADER.match(line):
            here = _indexed(header[2].replace(" ", "").replace('"', "").replace("'", ""), counts, new=header[1] == "[[")
            found.setdefault(here.split(".")[0], number)
            found.setdefault(here, number)
        elif key := _KEY.match(line):
            found.setdefault(_join(here, key[1].strip("\"'")), number)
    return found


def place_of(at: str, known: Mapping[str, int]) -> int:
    """Give the line of a path, or of the nearest table that holds it."""
    while at:
        if at in known:
            return known[at]
        cut = max(at.rfind("."), at.rfind("["))
        at = at[:cut] if cut > 0 else ""
    return 0


def _indexed(path: str, counts: dict[str, int], *, new: bool) -> str:
    """Put the running index behind each array of tables that the path goes through."""
    done = ""
    parts = path.split(".")
    for number, part in enumerate(parts):
        done = _join(done, part)
        last = number == len(parts) - 1
        if last and new:
            counts[done] = counts.get(done, -1) + 1
        if done in counts:
            done = f"{done}[{counts[done]}]"
    return done


def _join(at: str, key: str) -> str:
    return f"{at}.{key}" if at else key


def _is_struct(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, msgspec.Struct)


def _item_of(kind: Any) -> Any | None:
    arguments = typing.get_args(kind)
    if typing.get_origin(kind) is tuple and len(arguments) == 2 and arguments[1] is ...:  # noqa: PLR2004  (X, ...)
        return arguments[0]
    return None
