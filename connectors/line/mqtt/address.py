"""Addresses of MQTT tags: a topic filter and where in the message the value stands. Pure."""

import re
from collections.abc import Iterable, Sequence
from typing import Literal

import msgspec

Key = str | int
Path = tuple[Key, ...]
Form = Literal["plain", "sparkplug"]
PLAIN: Form = "plain"
SPARKPLUG: Form = "sparkplug"
MISSING = object()
"""There is nothing at that path."""

_SPARKPLUG = "sparkplug:"
_STEP = re.compile(r"([^.\[\]]+)|\[(\d{1,6})\]")
_WORD = re.compile(r"\{(\w+)\}")
_LONGEST_TOPIC = 65535
_LONGEST_NAME = 128
_LEVELS = (2, 3)


class Address(msgspec.Struct, frozen=True):
    """Where a value comes from.

    `filter` is an MQTT topic filter. Of a plain message `path` leads into its JSON, () for the whole
    payload. Of Sparkplug `filter` is group/node or group/node/device (`+` for any) and `metric` is the
    metric's name, `*` for every one.
    """

    form: Form
    filter: str
    path: Path = ()
    metric: str = ""


def parse(text: str) -> Address:
    """Read `topic`, `topic#path`, or `sparkplug:group/node[/device]#metric`. Raises ValueError with an example."""
    if text.startswith(_SPARKPLUG):
        return _sparkplug(text.removeprefix(_SPARKPLUG))
    topic, path = _split(text)
    check_filter(topic)
    return Address(PLAIN, topic, steps(path))


def _sparkplug(text: str) -> Address:
    place, found, metric = text.partition("#")
    parts = place.split("/")
    if not found or not metric or len(parts) not in _LEVELS or not all(parts):
        raise ValueError(f"{text!r}: expected sparkplug:group/node/device#metric, the device only if there is one")
    if any(part != "+" and set(part) & set("+#") for part in parts):
        raise ValueError(f"{text!r}: + stands for a whole level")
    return Address(SPARKPLUG, place, metric=metric)


def _split(text: str) -> tuple[str, str]:
    """Split at the first `#` that is not the wildcard, which stands behind a slash or at the beginning."""
    for place, letter in enumerate(text):
        if letter == "#" and place and text[place - 1] != "/":
            return text[:place], text[place + 1 :]
    return text, ""


def check_filter(topic: str) -> None:
    """Check an MQTT topic filter. Raises ValueError."""
    levels = topic.split("/")
    if not topic or len(topic.encode()) > _LONGEST_TOPIC or "\0" in topic:
        raise ValueError(f"{topic!r} is not a topic")
    for place, level in enumerate(levels):
        if "#" in level and (level != "#" or place != len(levels) - 1):
            raise ValueError(f"{topic!r}: # stands alone, at the end (example: plant/cell-a/+/temp#value)")
        if "+" in level and level != "+":
            raise ValueError(f"{topic!r}: + stands for a whole level")


def steps(path: str) -> Path:
    """Read a dotted path (`motor.phases[2]`) or a JSON pointer (`/motor/phases/2`). Raises ValueError."""
    if not path:
        return ()
    if path.startswith("/"):
        return tuple(part.replace("~1", "/").replace("~0", "~") for part in path[1:].split("/"))
    found: list[Key] = []
    at = 0
    while at < len(path):
        step = _STEP.match(path, at)
        if step is None:
            raise ValueError(f"{path!r}: expected a path such as motor.phases[2] or /motor/phases/2")
        found.append(step[1] if step[1] is not None else int(step[2]))
        at = step.end()
        if at < len(path) and path[at] == ".":
            at += 1
            if at == len(path):
                raise ValueError(f"{path!r} ends with a dot")
    return tuple(found)


def find(value: object, path: Path) -> object:
    """Follow a path into decoded JSON; `MISSING` when it leads nowhere."""
    for key in path:
        if isinstance(value, dict):
            value = value.get(str(key), MISSING)
        elif isinstance(value, list):
            number = key if isinstance(key, int) else int(key) if key.isdecimal() and len(key) < 8 else -1  # noqa: PLR2004 (no list is longer)
            value = value[number] if 0 <= number < len(value) else MISSING
        else:
            return MISSING
        if value is MISSING:
            return MISSING
    return value


def matches(wanted: str, topic: str) -> bool:
    """Say whether a topic fits a filter; topics that begin with $ fit no wildcard at their beginning."""
    want, have = wanted.split("/"), topic.split("/")
    if topic.startswith("$") and want[0] in {"+", "#"}:
        return False
    for place, level in enumerate(want):
        if level == "#":
            return True
        if place >= len(have) or level not in {"+", have[place]}:
            return False
    return len(want) == len(have)


def fewest(filters: Iterable[str]) -> list[str]:
    """Leave out filters that another one covers: a broker may send what two filters fit twice."""
    every = list(dict.fromkeys(filters))
    return [one for one in every if not any(other != one and _covers(other, one) for other in every)]


def _covers(wide: str, narrow: str) -> bool:
    want, have = wide.split("/"), narrow.split("/")
    for place, level in enumerate(want):
        if level == "#":
            return True
        if place >= len(have) or have[place] == "#" or (level != "+" and level != have[place]):
            return False
    return len(want) == len(have)


def fill(name: str, words: Sequence[str], named: dict[str, str] | None = None) -> str:
    """Put topic levels into a name: `{2}` is the third level, `{device}` what Sparkplug calls so.

    Raises ValueError when there is no such level, or the result is no name.
    """
    if "{" not in name:
        return name

    def word(found: re.Match[str]) -> str:
        key = found[1]
        if named is not None and key in named:
            return named[key]
        if key.isdecimal() and int(key) < len(words):
            return words[int(key)]
        raise ValueError(f"{name!r}: the topic has no level {key}")

    filled = _WORD.sub(word, name)
    if not 0 < len(filled) <= _LONGEST_NAME or not filled.isprintable():
        raise ValueError(f"{filled[:40]!r} is not a name")
    return filled
