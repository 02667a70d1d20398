"""The outermost layer: headers on every answer, host names, and one line of facts per request."""

from collections.abc import Mapping
from typing import cast

import msgspec
import structlog
from litestar.enums import ScopeType
from litestar.types import ASGIApp, HTTPResponseStartEvent, Message, Receive, Scope, Send

from gateway.runtime.gateway import Gateway
from gateway.web.problems import MEDIA_TYPE, Wrong, problem_of

log: structlog.stdlib.BoundLogger = structlog.get_logger()

_LOOPBACK = frozenset({"127.0.0.1", "localhost", "[::1]"})
GUARDS: tuple[tuple[bytes, bytes], ...] = (
    (
        b"content-security-policy",
        b"; ".join(
            (
                b"default-src 'none'",
                b"script-src 'self'",
                b"style-src 'self'",
                b"img-src 'self' data:",
                b"connect-src 'self'",
                b"font-src 'self'",
                b"base-uri 'none'",
                b"form-action 'self'",
                b"frame-ancestors 'none'",
            )
        ),
    ),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
)


def guarded(app: ASGIApp, gateway: Gateway) -> ASGIApp:
    """Wrap the whole application, so that 404s and errors carry the headers too."""
    names = _names(gateway)

    async def outer(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != ScopeType.HTTP:
            await app(scope, receive, send)
            return
        status = 0

        async def out(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                own = {name.lower() for name, _ in message["headers"]}
                message["headers"] = [*message["headers"], *(guard for guard in GUARDS if guard[0] not in own)]
            await send(message)

        if not _is_our_name(scope, names):
            await _refuse(out, Wrong(421, "this gateway does not answer to that host name"))
        elif "\0" in scope["path"] or b"%00" in scope["query_string"]:
            await _refuse(out, Wrong(400, "an address holds the character NUL"))
        else:
            await app(scope, receive, out)
        _count(cast(Mapping[str, object], scope), gateway, status)

    return outer


def _names(gateway: Gateway) -> frozenset[str]:
    """Give the host names to answer to; empty means any.

    On a loopback address only its own names count unless the settings say otherwise: a page from
    outside that had its name point here would otherwise read the line through a browser.
    """
    named = frozenset(name.lower() for name in gateway.api.hosts)
    return named or (_LOOPBACK if gateway.api.host in {"127.0.0.1", "::1", "localhost"} else frozenset())


def _is_our_name(scope: Scope, names: frozenset[str]) -> bool:
    if not names or scope["path"].startswith("/health/"):
        return True
    host = dict(scope["headers"]).get(b"host", b"").decode("latin-1").lower()
    bare = host.partition("]")[0] + "]" if host.startswith("[") else host.partition(":")[0]
    return bare in names


async def _refuse(send: Send, wrong: Wrong) -> None:
    problem, _ = problem_of(wrong)
    content = msgspec.json.encode(problem)
    start: HTTPResponseStartEvent = {
        "type": "http.response.start",
        "status": wrong.status,
        "headers": [(b"content-type", MEDIA_TYPE.encode()), (b"content-length", str(len(content)).encode())],
    }
    await send(start)
    await send({"type": "http.response.body", "body": content, "more_body": False})


def _count(scope: Mapping[str, object], gateway: Gateway, status: int) -> None:
    """Count by the route's template: a path may hold anything."""
    route = scope.get("path_template") or "unrouted"
    gateway.telemetry.requests.labels(str(scope["method"]), str(route), str(status)).inc()
