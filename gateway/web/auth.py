"""Who may do what, and where: every route names its scope and its reach, and a route without one is closed."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from litestar import Request
from litestar.enums import ScopeType
from litestar.middleware import ASGIMiddleware
from litestar.types import ASGIApp, Receive, Scope, Send

from gateway.runtime.gateway import Gateway
from gateway.web.caller import Caller
from gateway.web.once import Once
from gateway.web.problems import Denied

PUBLIC = "public"
"""Open to everybody: health, static files, the documentation."""
SIGNED = "signed"
"""Proven by what a webhook carries, a signature or a secret in its address: the handler checks it itself."""
TOKEN_ONLY = frozenset({"production:write", "line:write", "dlq:write"})
EVERYWHERE, ONE_ASSET, OWN = "everywhere", "asset", "own"
"""How far a route reaches: it shows or changes the whole plant; one asset, that the address names; or its handler
looks at the caller's lines itself. A token for some lines passes only the last two."""
REACHES = frozenset({EVERYWHERE, ONE_ASSET, OWN})
SCOPES = frozenset({PUBLIC, SIGNED, "read", "reports:write", "review:write", "orders:write", "line:push", *TOKEN_ONLY})


class Guard(ASGIMiddleware):
    """Checks the caller against the scope in the route's `opt`, and bounds every answer that is not a stream.

    A route whose `opt` says `once` takes Idempotency-Keys.
    """

    scopes = (ScopeType.HTTP,)

    def __init__(self, gateway: Gateway) -> None:
        self._gateway, self._api = gateway, gateway.api
        self._once = Once(gateway)
        self._caller_of: Callable[[str], Awaitable[Caller]] = _nobody
        if gateway.api.issuer or gateway.api.token_folder is not None:
            # cryptography takes 10 MiB, and most small gateways trust no issuer.
            from gateway.web.tokens import Tokens  # noqa: PLC0415

            self._caller_of = Tokens(gateway.api, gateway.now).caller

    async def handle(self, scope: Scope, receive: Receive, send: Send, next_app: ASGIApp) -> None:
        """Let a request through to its handler, or raise `Denied`."""
        opt = scope["route_handler"].opt
        if scope["type"] == ScopeType.HTTP and scope["method"] != "OPTIONS":
            request: Request[Any, Any, Any] = Request(scope)
            scope["user"] = caller = await self._caller(request, opt.get("scope", ""))
            self._check_reach(request, caller, opt.get("reach", EVERYWHERE))
        if opt.get("stream"):
            await next_app(scope, receive, send)
            return
        async with asyncio.timeout(self._api.deadline):
            if opt.get("once") and scope["type"] == ScopeType.HTTP and scope["method"] == "POST":
                await self._once.handle(scope, receive, send, next_app, scope["user"])
            else:
                await next_app(scope, receive, send)

    async def _caller(self, request: Request[Any, Any, Any], needed: str) -> Caller:
        if needed in {PUBLIC, SIGNED}:
            return Caller()
        if needed not in SCOPES:
            raise Denied(403, "this route has no rule and is closed")
        caller = await self._known(request)
        if needed in caller.scopes:
            return caller
        if not caller.subject:
            raise Denied(401, "a bearer token is needed", scope=needed)
        raise Denied(403, f"the token lacks the scope {needed}", error="insufficient_scope", scope=needed)

    async def _known(self, request: Request[Any, Any, Any]) -> Caller:
        given = request.headers.getall("authorization", [])
        if not given:
            _same_origin(request)
            return Caller(scopes=frozenset(self._api.anonymous) - TOKEN_ONLY)
        kind, _, token = given[0].partition(" ")
        if len(given) > 1 or kind.lower() != "bearer" or not token.strip():
            raise Denied(401, "send one Authorization header: Bearer and the token", error="invalid_token")
        caller = await self._caller_of(token.strip())
        return msgspec.structs.replace(caller, subject=caller.subject or "token")

    def _check_reach(self, request: Request[Any, Any, Any], caller: Caller, reach: str) -> None:
        """Keep a token to its site and lines: deny by default. Raises `Denied` 403."""
        if caller.site and caller.site != self._gateway.plant.site.id:
            raise Denied(403, "the token is for another site", error="insufficient_scope")
        if caller.lines is None or reach == OWN:
            return
        if reach != ONE_ASSET:
            raise Denied(403, "this is for tokens of every line", error="insufficient_scope")
        named = [*request.query_params.getall("asset", [])]
        if "asset" in request.path_params:
            named.append(str(request.path_params["asset"]))
        if len(named) != 1 or not reaches(self._gateway, caller, named[0]):
            raise Denied(403, "name one asset of the token's lines", error="insufficient_scope")


async def _nobody(_: str) -> Caller:
    raise Denied(401, "the token is not valid", error="invalid_token")


def _same_origin(request: Request[Any, Any, Any]) -> None:
    """Refuse a write that another site's page sends through a browser on our network."""
    origin = request.headers.get("origin")
    if origin is None or request.method in {"GET", "HEAD"}:
        return
    if origin.partition("://")[2].lower() != request.headers.get("host", "").lower():
        raise Denied(403, "this page comes from another origin")


def reaches(gateway: Gateway, caller: Caller, asset: str | None) -> bool:
    """Say whether a caller may see and touch an asset; what belongs to no line is for tokens of every line."""
    if caller.lines is None:
        return True
    known = gateway.plant.asset(asset) if asset is not None else None
    return known is not None and known.line in caller.lines


def caller_of(request: Request[Any, Any, Any]) -> Caller:
    """Give the caller that `Guard` let through."""
    caller = request.scope["user"]
    if not isinstance(caller, Caller):
        raise TypeError("the request did not come through Guard")
    return caller
