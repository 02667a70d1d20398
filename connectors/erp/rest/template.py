"""Addresses and headers with slots: what an order or the ERP says is encoded into them, never pasted."""

import re
from collections.abc import Callable, Mapping
from typing import Annotated
from urllib.parse import quote

import msgspec

from gateway.core.errors import Refused

Path = Annotated[str, msgspec.Meta(pattern=r"^/[^?#\s]*$", max_length=500)]
"""A path with slots such as {key}, {number}, {id}; `{key|odata}` inside OData's quotes, `{key|quoted}` inside ours."""
HeaderName = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9-]{1,64}$")]
Text = Annotated[str, msgspec.Meta(max_length=1000)]

SLOTS = ("key", "number", "id")
_SLOT = re.compile(r"\{([a-z]+)(?:\|([a-z]+))?\}")
_ESCAPES: Mapping[str, Callable[[str], str]] = {
    "": lambda value: value,
    "odata": lambda value: value.replace("'", "''"),
    "quoted": lambda value: value.replace("\\", "\\\\").replace('"', '\\"'),
}


def faults_of(template: str) -> list[str]:
    """Name the slots of a template that are not known."""
    found = [f"there is no slot {{{slot}}}" for slot, _ in _SLOT.findall(template) if slot not in SLOTS]
    found += [f"there is no escape |{escape}" for _, escape in _SLOT.findall(template) if escape not in _ESCAPES]
    if re.search(r"[{}]", _SLOT.sub("", template)):
        found.append("a brace belongs to no slot")
    return found


def path(template: str, values: Mapping[str, str]) -> str:
    """Fill the slots of a path, percent-encoded. Raises `Refused` for a value that cannot be a part of one."""
    filled = _filled(template, values, lambda value: quote(value, safe=""))
    if any(part in {".", ".."} for part in filled.split("/")):
        raise Refused("a number of dots alone cannot be asked for")
    return filled


def text(template: str, values: Mapping[str, str]) -> str:
    """Fill the slots of a query parameter; the client encodes the whole."""
    return _filled(template, values, lambda value: value)


def header(template: str, values: Mapping[str, str]) -> str:
    """Fill the slots of a header. Raises `Refused` for a value that no header can carry."""
    filled = text(template, values)
    if not filled.isascii() or not filled.isprintable():
        raise Refused("a value has characters that no header can carry")
    return filled


def _filled(template: str, values: Mapping[str, str], encode: Callable[[str], str]) -> str:
    def one(slot: re.Match[str]) -> str:
        value = values.get(slot[1], "")
        if not value:
            raise Refused(f"there is no {slot[1]} to ask with")
        return encode(_ESCAPES[slot[2] or ""](value))

    return _SLOT.sub(one, template)
