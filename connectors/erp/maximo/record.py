"""Maximo's errors in common words; the one for a record that somebody else changed becomes a 412 (pure)."""

import re
from collections.abc import Sequence
from http import HTTPStatus

from connectors.erp.http import Answer
from connectors.erp.preset import problem
from connectors.erp.rest.door import Reading, Said, plainly

_FIELDS = (
    re.compile(r"specified for (\w+) is"),
    re.compile(r"for the (\w+) field"),
    re.compile(r"no property (\w+)"),
    re.compile(r"[Tt]he field (\w+) is"),
)


def reading(stale: Sequence[str]) -> Reading:
    """Give how an answer is read."""

    def read(answer: Answer) -> Said:
        said = plainly(answer)
        error = said.body.get("Error") if isinstance(said.body, dict) else None
        if answer.status < HTTPStatus.BAD_REQUEST or not isinstance(error, dict):
            return said
        code, text = error.get("reasonCode"), error.get("message")
        if not isinstance(code, str) or not isinstance(text, str):
            return said
        if code in stale:
            return problem(answer, text, status=HTTPStatus.PRECONDITION_FAILED)
        if answer.status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
            # The message may name the user.
            return problem(answer, code)
        named = error.get("errorattrname")
        field = next((found[1].lower() for one in _FIELDS if (found := one.search(text))), "")
        return problem(answer, text, named if isinstance(named, str) else field)

    return read
