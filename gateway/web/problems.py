"""Problem details (RFC 9457) for every error; nothing of an exception's insides leaves."""

import math
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import msgspec
import structlog
from litestar import Request, Response
from litestar.exceptions import HTTPException

from gateway.core.errors import Conflict, Doubtful, Full, Misconfigured, Missing, Refused, Reused, Unreachable

MEDIA_TYPE = "application/problem+json"
RETRY_AFTER_S = 5

log: structlog.stdlib.BoundLogger = structlog.get_logger()


class FieldFault(msgspec.Struct, frozen=True):
    """One field that is wrong, by its name in the request, and what it should be."""

    field: str
    message: str


class Problem(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What went wrong, for machines and people. `type` is stable; `errors` names every faulty field."""

    type: str
    title: str
    status: int
    detail: str = ""
    errors: tuple[FieldFault, ...] = ()


class Wrong(Exception):
    """A request that the sender must change. Carries every fault that was found."""

    def __init__(self, status: int, detail: str, errors: tuple[FieldFault, ...] = (), kind: str = "") -> None:
        super().__init__(detail)
        self.status, self.detail, self.errors, self.kind = status, detail, errors, kind


class Denied(Exception):
    """No token, a bad one (401), or one without the scope (403). `error` is the word of RFC 6750."""

    def __init__(self, status: int, detail: str, *, error: str = "", scope: str = "") -> None:
        super().__init__(detail)
        self.status, self.detail, self.error, self.scope = status, detail, error, scope

    def challenge(self) -> str:
        """Give the WWW-Authenticate header."""
        parts = ['realm="andon"']
        if self.error:
            parts.append(f'error="{self.error}"')
        if self.scope:
            parts.append(f'scope="{self.scope}"')
        return "Bearer " + ", ".join(parts)


def problem_of(error: Exception) -> tuple[Problem, dict[str, str]]:
    """Translate any exception into a problem and the headers that go with it."""
    match error:
        case Wrong():
            return _said(error.status, error.kind, error.detail, error.errors), {}
        case Denied():
            return _said(error.status, error.error, error.detail), {"WWW-Authenticate": error.challenge()}
        case Full():
            return _said(507, "full", str(error)), _wait(error)
        case Doubtful():  # no Retry-After: a machine must not try again by itself
            return _said(504, "doubtful", str(error)), {}
        case Unreachable():
            return _said(503, "unreachable", str(error)), _wait(error)
        case Reused():
            return _said(422, "idempotency-key-reused", str(error)), {}
        case Conflict():
            return _said(409, "conflict", str(error)), {}
        case Missing():
            return _said(404, "", str(error)), {}
        case Refused():
            return _said(422, "refused", str(error)), {}
        case HTTPException():
            return _of_http(error)
        case TimeoutError():
            return _said(503, "busy", "not finished in time; ask again"), {"Retry-After": str(RETRY_AFTER_S)}
        case Misconfigured():
            log.error("http.misconfigured", fault=str(error))
            return _said(500, "", ""), {}
        case _:
            log.error("http.unhandled", exc_info=error)
            return _said(500, "", ""), {}


def answer(_request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    """Litestar's handler for every exception."""
    problem, headers = problem_of(error)
    return Response(msgspec.json.encode(problem), status_code=problem.status, media_type=MEDIA_TYPE, headers=headers)


def _of_http(error: HTTPException) -> tuple[Problem, dict[str, str]]:
    status = error.status_code
    detail = "" if status >= HTTPStatus.INTERNAL_SERVER_ERROR else error.detail
    return _said(status, "", detail, tuple(_faults(error.extra))), dict(error.headers or {})


def _faults(extra: Any) -> list[FieldFault]:
    if not isinstance(extra, list):
        return []
    return [
        FieldFault(str(row.get("key", "")), str(row.get("message", ""))) for row in extra if isinstance(row, Mapping)
    ]


def _said(status: int, kind: str, detail: str, errors: tuple[FieldFault, ...] = ()) -> Problem:
    title = HTTPStatus(status).phrase
    name = kind.replace("_", "-") or title.lower().replace(" ", "-")
    return Problem(type=f"urn:andon:problem:{name}", title=title, status=status, detail=detail, errors=errors)


def _wait(error: Unreachable) -> dict[str, str]:
    seconds = error.after.total_seconds() if error.after is not None else RETRY_AFTER_S
    return {"Retry-After": str(max(1, math.ceil(seconds)))}
