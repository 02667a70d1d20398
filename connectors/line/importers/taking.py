"""Taking values out of somebody else's table so that nothing is left unsaid: what nobody took is noted."""

from collections.abc import Iterator, Mapping
from typing import Any

from connectors.line.importers.found import Finding
from gateway.core.plural import plural

Foreign = Mapping[str, Any]
"""A table of the source as its parser gave it. It is taken apart here and goes no further."""


class Taking:
    """A table of the source, with its place. Each key is taken once; `rest` notes the others."""

    def __init__(self, table: object, where: str, finding: Finding) -> None:
        self._table: Foreign = table if isinstance(table, Mapping) else {}
        self.where, self._finding = where, finding
        self._taken: set[str] = set()
        if not isinstance(table, Mapping):
            finding.note(where, "is not a table: left out")

    def __contains__(self, key: str) -> bool:
        return key in self._table

    def note(self, told: str, key: str = "") -> None:
        """Tell something about this table, or about one of its keys."""
        self._finding.note(f"{self.where}: {key}" if key else self.where, told)

    def renamed(self, **table: str) -> "Taking":
        """Give another table that stands at this one's place."""
        return Taking(table, self.where, self._finding)

    def _take(self, key: str) -> Any:
        self._taken.add(key)
        return self._table.get(key)

    def text(self, key: str, otherwise: str = "") -> str:
        """Take a text; numbers count as texts."""
        value = self._take(key)
        if value is None or isinstance(value, dict | list):
            if value is not None:
                self.note("is not a text: left out", key)
            return otherwise
        return str(value)

    def number(self, key: str) -> float | None:
        """Take a number, also one that is written as a text."""
        value = self._take(key)
        if value is None or value == "":
            return None
        try:
            return value if isinstance(value, int | float) and not isinstance(value, bool) else float(str(value))
        except ValueError:
            self.note(f"{value!r} is not a number: left out", key)
            return None

    def whole(self, key: str) -> int | None:
        """Take a whole number."""
        value = self.number(key)
        if value is None:
            return None
        if value != int(value):
            self.note(f"{value!r} is not a whole number: left out", key)
            return None
        return int(value)

    def flag(self, key: str) -> bool | None:
        """Take true or false."""
        value = self._take(key)
        if value is None or isinstance(value, bool):
            return value
        self.note(f"{value!r} is neither true nor false: left out", key)
        return None

    def texts(self, key: str) -> list[str]:
        """Take a list of texts or numbers, or one of them."""
        value = self._take(key)
        if value is None:
            return []
        return [str(one) for one in value] if isinstance(value, list) else [str(value)]

    def table(self, key: str) -> "Taking":
        """Take a table; an empty one when there is none."""
        value = self._take(key)
        return Taking({} if value is None else value, f"{self.where}.{key}", self._finding)

    def tables(self, key: str) -> Iterator["Taking"]:
        """Take a list of tables, or one table."""
        value = self._take(key)
        listed = value if isinstance(value, list) else [] if value is None else [value]
        for number, one in enumerate(listed):
            named = one.get("name") or one.get("tag") or one.get("key") if isinstance(one, Mapping) else None
            yield Taking(one, f"{self.where}.{key}[{named or number}]", self._finding)

    def known(self, why: str, *keys: str) -> None:
        """Pass over keys that need no place here, saying why when one is there."""
        for key in keys:
            if self._take(key) not in (None, [], {}, ""):
                self.note(why, key)

    def usual(self, why: str, **values: object) -> None:
        """Pass over keys whose usual value is ours too; another value is noted."""
        for key, value in values.items():
            given = self._take(key)
            if given is not None and str(given).lower() not in {"", str(value).lower()}:
                self.note(f"{_short(given)}: {why}", key)

    def settled(self, *keys: str) -> None:
        """Pass over keys that say what is so anyway."""
        self._taken.update(keys)

    def rest(self) -> None:
        """Note every key that nobody took."""
        for key, value in self._table.items():
            if key not in self._taken and value not in (None, [], {}, ""):
                self.note(f"is not taken over (it was {_short(value)})", key)


def _short(value: object) -> str:
    if isinstance(value, dict | list):
        return plural(len(value), "entry", "entries")
    return "a text" if isinstance(value, str) and len(value) > 40 else repr(value)  # noqa: PLR2004 (what fits a line)
