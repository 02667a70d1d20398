"""A work order in Dataverse's words: links to other tables, status labels, errors (pure)."""

import re
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

from connectors.erp.http import Answer
from connectors.erp.mapping import Rule, Table
from connectors.erp.preset import Coded, problem, rows_in
from connectors.erp.rest.door import Reading, Said, plainly
from gateway.core.errors import Misconfigured, Refused
from gateway.core.order import WorkOrder

BIND = "@odata.bind"
LABELS: Mapping[int, str] = {
    690_970_000: "Unscheduled",
    690_970_001: "Scheduled",
    690_970_002: "In Progress",
    690_970_003: "Completed",
    690_970_004: "Posted",
    690_970_005: "Canceled",
}
_LINK = re.compile(r"^/\w+\(")
_BY_ID = re.compile(r"^/(\w+)\(([0-9a-fA-F-]{36})\)$")
_FIELDS = (
    re.compile(r"property '([\w.@]+)'"),
    re.compile(r"the '([\w.]+)' attribute"),
    re.compile(r"value of '([\w.]+)'"),
)
_RIGHT = re.compile(r"\bprv(Create|Read|Write|Delete|AppendTo|Append|Assign|Share)(\w{1,100})\b")
_INNER = re.compile(r"^.*InnerException\s*:\s*(?:[\w.]+Exception:\s*)?")


class Linked(Coded):
    """A table whose `..@odata.bind` targets are links to other tables. Raises `Misconfigured` for one that is none."""

    def __init__(self, table: Table, links: Mapping[str, str]) -> None:
        super().__init__(table, None, 20)
        self._links = links
        faults = [
            f"mapping.{target}: {rule.source or rule.constant!r} is no link; give values that begin with a slash,"
            f" or a template in links"
            for target, rule in self.rules.items()
            if target.endswith(BIND) and target not in links and not all(_is_link(one) for one in _known(rule))
        ]
        if faults:
            raise Misconfigured("the mapping to the ERP is wrong", tuple(faults))

    @property
    def sets(self) -> Mapping[str, str]:
        """Give the entity set of each link that is by an id alone: only these are known again in a record."""
        told: dict[str, str] = {}
        for target, rule in self.rules.items():
            found = [_BY_ID.match(str(one)) for one in _known(rule)]
            if target.endswith(BIND) and target not in self._links and found[0] and all(found):
                told[target] = found[0][1]
        return told

    def fields(self, order: WorkOrder) -> dict[str, Any]:
        """Give an order as columns and links."""
        return {name: self._told(name, value) for name, value in super().fields(order).items()}

    def _told(self, name: str, value: Any) -> Any:
        if not name.endswith(BIND):
            return value
        if _is_link(value):
            # Dataverse shows an id in small letters.
            return value.lower() if _BY_ID.match(value) else value
        link = self._links.get(name)
        if link is None:
            raise Refused(f"field {name}: there is no link for {str(value)[:60]!r}; see values and links")
        return link.replace("{}", quote(str(value).replace("'", "''"), safe=""))


def _known(rule: Rule) -> list[Any]:
    """Give the values that a rule can have as far as they are known; its source where they are not."""
    return [rule.constant] if rule.constant is not None else list(rule.values.values()) or [rule.source]


def _is_link(value: Any) -> bool:
    return isinstance(value, str) and _LINK.match(value) is not None


def reading(status: str, sets: Mapping[str, str]) -> Reading:
    """Give how an answer is read: a status as its label, links as they are written, errors with their field."""
    columns = {target: f"_{target.removesuffix(BIND).lower()}_value" for target in sets}

    def read(answer: Answer) -> Said:
        said = plainly(answer)
        if answer.status >= HTTPStatus.BAD_REQUEST:
            return _error(said)
        for row in rows_in(said.body, "value"):
            row["@status"] = _label(row.get(status))
            row |= {target: f"/{sets[target]}({row[column]})" for target, column in columns.items() if row.get(column)}
        return said

    return read


def _label(status: Any) -> str:
    return LABELS.get(status, str(status)) if isinstance(status, int) else str(status or "")


def _error(said: Said) -> Said:
    error = said.body.get("error") if isinstance(said.body, dict) else None
    message = error.get("message") if isinstance(error, dict) else None
    if not isinstance(message, str):
        return said
    if said.status == HTTPStatus.FORBIDDEN:
        # The message names the user.
        right = _RIGHT.search(message)
        return problem(said.answer, f"the privilege {right[1]} on {right[2]} is missing" if right else "")
    text = _INNER.sub("", message)
    field = next((found[1] for one in _FIELDS if (found := one.search(text))), "")
    return problem(said.answer, text, field)
