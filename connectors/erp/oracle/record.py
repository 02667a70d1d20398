"""A work order in Oracle's words: the version that its links show, errors with their attribute (pure)."""

import re
from http import HTTPStatus
from typing import Any

from connectors.erp.http import Answer
from connectors.erp.preset import problem, rows_in
from connectors.erp.rest.door import Said, plainly

VERSION = "@version"
"""Where a record that was read has its ETag."""
_CODE = re.compile(r"^(?:JBO-[\w.:-]*\d+:\s*)+")


def read(answer: Answer) -> Said:
    """Read an answer: records get the ETag that their own link shows, errors name their attribute."""
    said = plainly(answer)
    if answer.status >= HTTPStatus.BAD_REQUEST:
        return _error(said)
    for row in rows_in(said.body, "items"):
        row[VERSION] = _version(row)
    return said


def _version(row: dict[str, Any]) -> str:
    links = row.get("links")
    for link in links if isinstance(links, list) else []:
        inner = link.get("properties") if isinstance(link, dict) and link.get("rel") == "self" else None
        told = inner.get("changeIndicator") if isinstance(inner, dict) else None
        if isinstance(told, str) and told:
            return told if told.startswith('"') else f'"{told}"'
    return ""


def _error(said: Said) -> Said:
    details = said.body.get("o:errorDetails") if isinstance(said.body, dict) else None
    first = details[0] if isinstance(details, list) and details else None
    text = first.get("detail") if isinstance(first, dict) else None
    if not isinstance(text, str) or said.status == HTTPStatus.FORBIDDEN:
        return said
    place = first.get("o:errorPath") if isinstance(first, dict) else None
    return problem(said.answer, _CODE.sub("", text), place.strip("/") if isinstance(place, str) else "")
