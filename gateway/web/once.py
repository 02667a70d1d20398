"""`Idempotency-Key`: a request that comes again under its key gets its first answer again, also after a restart.

As draft-ietf-httpapi-idempotency-key-header has it: 400 where a key is needed and missing, 409 while the first still
runs, 422 when the key stood for another request. Kept as long as `keep_inbox` says.
"""

import base64
import hashlib
import re
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

import msgspec
from litestar import Request
from litestar.types import ASGIApp, HTTPRequestEvent, HTTPResponseStartEvent, Message, Receive, Scope, Send

from gateway.core.errors import Doubtful
from gateway.core.ports import Tx
from gateway.runtime.gateway import Gateway
from gateway.web.bodies import raw
from gateway.web.caller import Caller
from gateway.web.problems import MEDIA_TYPE, Wrong, problem_of

AGAIN, NEVER, NEEDED = "again", "never", "needed"
"""What a route's `once` says of a request that was cut off midway: it may run again, because what it does is done
once by itself; it must not, and nobody knows whether it was done; or as the second, and a key must be sent."""

_SCOPE = "idempotency"
_KEY = re.compile(r'"?([\x20\x21\x23-\x5b\x5d-\x7e]{8,128})"?')
_BOUNDARY = re.compile(r"^multipart/form-data\s*;.*boundary=\"?([^\s\";,]{8,})", re.IGNORECASE)
_KEPT_HEADERS = frozenset({b"content-type", b"location"})
_BUSINESS = frozenset({HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT, HTTPStatus.GONE, HTTPStatus.UNPROCESSABLE_ENTITY})


class _Held(msgspec.Struct, frozen=True):
    """What is known of a key: the request that it stands for, and its answer. Status 0 runs, or was cut off."""

    fingerprint: str
    status: int = 0
    headers: tuple[tuple[str, str], ...] = ()
    body: str = ""


class Once:
    """Lets each request under a key run once. Used between the guard and the handler; in one event loop."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._running: set[str] = set()

    async def handle(self, scope: Scope, receive: Receive, send: Send, next_app: ASGIApp, caller: Caller) -> None:
        """Run the handler, or give the first answer again. Raises `Wrong` and `Doubtful`, and what the handler does."""
        rule = scope["route_handler"].opt["once"]
        request: Request[Any, Any, Any] = Request(scope, receive, send)
        key = _key_of(request, needed=rule == NEEDED)
        if key is None:
            await next_app(scope, receive, send)
            return
        content = await raw(request, self._largest(scope))
        facts = [caller.issuer, caller.subject, request.method, request.url.path, key]
        name = hashlib.sha256(msgspec.json.encode(facts)).hexdigest()
        fingerprint = _fingerprint(request, content)
        if name in self._running:
            # Another request under this key is refused for what it is, even while the first runs.
            held = await self._gateway.store.read(lambda tx: _held(tx, name))
            if held is not None and held.fingerprint != fingerprint:
                raise _other()
            raise Wrong(409, "the first request with this Idempotency-Key still runs", kind="still-running")
        self._running.add(name)
        try:
            first = await self._begin(name, fingerprint, rule)
            if first is not None:
                await _replay(send, first)
                return
            await self._run(name, _Held(fingerprint), rule, scope, _given(content), send, next_app)
        finally:
            self._running.discard(name)

    def _largest(self, scope: Scope) -> int:
        """Give how many bytes a request may have: where a form is taken, it may bring a photo (in base64 too)."""
        api = self._gateway.api
        return api.max_body + (api.max_photo * 4 // 3 if "form" in scope["route_handler"].opt else 0)

    async def _begin(self, name: str, fingerprint: str, rule: str) -> _Held | None:
        """Make durable that it runs, before anything is done; or give the answer that it had."""
        at = self._gateway.now()

        def step(tx: Tx) -> _Held | None:
            held = None if tx.first_time(_SCOPE, name, "", at) else _held(tx, name)
            if held is not None:
                if held.fingerprint != fingerprint:
                    raise _other()
                if held.status:
                    return held
                if rule != AGAIN:
                    raise Doubtful("the first request with this key was cut off: look before you ask with a new one")
            tx.put_answer(_SCOPE, name, msgspec.json.encode(_Held(fingerprint)))
            return None

        return await self._gateway.store.write(step)

    async def _run(
        self, name: str, held: _Held, rule: str, scope: Scope, receive: Receive, send: Send, next_app: ASGIApp
    ) -> None:
        """Run the handler; its answer is on disk before it leaves."""
        messages: list[Message] = []

        async def collect(message: Message) -> None:
            messages.append(message)

        try:
            await next_app(scope, receive, collect)
        except Exception as error:
            problem, _ = problem_of(error)
            headers = (("content-type", MEDIA_TYPE),)
            told = _Held(held.fingerprint, problem.status, headers, _text(msgspec.json.encode(problem)))
            await self._end(name, told, rule)
            raise
        await self._end(name, _answer(held.fingerprint, messages), rule)
        for message in messages:
            await send(message)

    async def _end(self, name: str, held: _Held, rule: str) -> None:
        """Keep an answer that is final; let go of a key whose request was not taken, so that it may come again."""
        final = HTTPStatus.OK <= held.status < HTTPStatus.MULTIPLE_CHOICES or held.status in _BUSINESS
        if not final and rule != AGAIN and not _nothing_done(held):
            return  # nobody knows whether it was done: it stays begun
        kept = msgspec.json.encode(held) if final else b""
        await self._gateway.store.write(lambda tx: tx.put_answer(_SCOPE, name, kept))


def _nothing_done(held: _Held) -> bool:
    """Say whether an answer proves that nothing was done: a fault of the request, no room, or nobody to do it."""
    if held.status == HTTPStatus.SERVICE_UNAVAILABLE:
        return b":unreachable" in base64.b64decode(held.body)
    return held.status < HTTPStatus.INTERNAL_SERVER_ERROR or held.status == HTTPStatus.INSUFFICIENT_STORAGE


def _key_of(request: Request[Any, Any, Any], *, needed: bool) -> str | None:
    given: Sequence[str] = request.headers.getall("idempotency-key", [])
    if not given and not needed:
        return None
    found = _KEY.fullmatch(given[0].strip()) if len(given) == 1 else None
    if found is None:
        raise Wrong(400, "send one Idempotency-Key: a string of 8 to 128 characters", kind="idempotency-key")
    return found.group(1)


def _fingerprint(request: Request[Any, Any, Any], content: bytes) -> str:
    """Say what a request is. A form is the same whatever stands between its parts: each try invents that anew."""
    kind = request.headers.get("content-type", "")
    boundary = _BOUNDARY.search(kind)
    if boundary is not None:
        kind = "multipart/form-data"
        content = content.replace(boundary.group(1).encode("latin-1"), b"")
    return hashlib.sha256(f"{request.url.query}\n{kind}\n".encode() + content).hexdigest()


def _held(tx: Tx, name: str) -> _Held | None:
    known = tx.answer_of(_SCOPE, name)
    return msgspec.json.decode(known[1], type=_Held) if known is not None and known[1] else None


def _other() -> Wrong:
    return Wrong(422, "this Idempotency-Key was used for another request", kind="idempotency-key-reused")


def _given(content: bytes) -> Receive:
    """Give the body, that was read here, to the handler."""
    events: list[HTTPRequestEvent] = [{"type": "http.request", "body": content, "more_body": False}]

    async def receive() -> Any:
        return events.pop() if events else {"type": "http.disconnect"}

    return receive


def _answer(fingerprint: str, messages: Sequence[Message]) -> _Held:
    status, body = 500, b""
    headers: tuple[tuple[str, str], ...] = ()
    for message in messages:
        if message["type"] == "http.response.start":
            status = message["status"]
            kept = [(name.lower(), value) for name, value in message["headers"] if name.lower() in _KEPT_HEADERS]
            headers = tuple((name.decode("latin-1"), value.decode("latin-1")) for name, value in kept)
        elif message["type"] == "http.response.body":
            body += message["body"]
    return _Held(fingerprint, status, headers, _text(body))


def _text(body: bytes) -> str:
    return base64.b64encode(body).decode()


async def _replay(send: Send, held: _Held) -> None:
    content = base64.b64decode(held.body)
    named = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in held.headers]
    start: HTTPResponseStartEvent = {
        "type": "http.response.start",
        "status": held.status,
        "headers": [*named, (b"content-length", str(len(content)).encode()), (b"idempotent-replayed", b"true")],
    }
    await send(start)
    await send({"type": "http.response.body", "body": content, "more_body": False})
