"""File names: what the name of a dropped file says of asset, tag and time. Pure."""

import os
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from connectors.line.shapes import Unfit

FIELD = re.compile(r"\{(\w+)\}|\*|\?")
_STAMP = re.compile(
    r"(\d{4})[-_.]?(\d{2})[-_.]?(\d{2})[-_T. ]?(\d{2})[-_:.h]?(\d{2})[-_:.m]?(\d{2})(?:[.,_-]?(\d{1,6}))?(Z)?"
)
_DIGITS = 6  # of a second's parts


def pattern_of(address: str) -> re.Pattern[str]:
    """Turn `{asset}_{time}*.tif` into an expression."""
    parts: list[str] = []
    at = 0
    for found in FIELD.finditer(address):
        parts.append(re.escape(address[at : found.start()]))
        at = found.end()
        if found[1]:
            parts.append(f"(?P<{found[1]}>[^/]+?)")
        else:
            parts.append("[^/]*" if found[0] == "*" else "[^/]")
    parts.append(re.escape(address[at:]))
    return re.compile("".join(parts), re.IGNORECASE)


def fill(name: str, said: Mapping[str, str]) -> str:
    """Put what the file's name said into a name. Raises `Unfit`."""
    for field, value in said.items():
        name = name.replace("{" + field + "}", value)
    if not 0 < len(name) <= 128 or "{" in name or not name.isprintable():  # noqa: PLR2004 (the longest name)
        raise Unfit(f"{name[:40]!r} is not a name")
    return name


def time_of(stamp: str, form: str, zone: ZoneInfo) -> datetime:
    """Read the time in a file's name. Raises `Unfit`."""
    try:
        if form:
            at = datetime.strptime(stamp, form)  # noqa: DTZ007 (the zone follows)
        else:
            found = _STAMP.fullmatch(stamp)
            if found is None:
                raise ValueError(stamp)  # noqa: TRY301 (one place says why)
            year, month, day, hour, minute, second = (int(part) for part in found.groups()[:6])
            part = int((found[7] or "").ljust(_DIGITS, "0") or 0)
            at = datetime(year, month, day, hour, minute, second, part, UTC if found[8] else None)
    except ValueError as no:
        raise Unfit(f"{stamp!r} is not a time{f' of the form {form}' if form else ''}") from no
    return (at if at.tzinfo is not None else at.replace(tzinfo=zone)).astimezone(UTC)


def shown(name: str) -> str:
    """Give a file's name as text; bytes that are no UTF-8 (a name written in GBK, say) become U+FFFD."""
    return os.fsencode(name).decode("utf-8", "replace")
