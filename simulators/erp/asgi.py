"""The little of ASGI that the simulated ERP needs: a request, a response, a connection that can be cut."""

import asyncio
import json
import socket
import struct
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

from uvicorn import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

Message = MutableMapping[str, Any]


@dataclass(slots=True)
class Request:
    """One request, read whole."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes
    client: tuple[str, int]

    def header(self, name: str) -> str:
        """Give a header, empty when it is missing."""
        return self.headers.get(name, "")

    def form(self) -> dict[str, str]:
        """Decode an urlencoded body."""
        return dict(parse_qsl(self.body.decode("utf-8", "replace"), keep_blank_values=True))

    def json(self) -> Any:
        """Decode a JSON body; an empty one is {}. Raises ValueError."""
        return json.loads(self.body or b"{}")


@dataclass(slots=True)
class Response:
    """One answer. `claim` is a content-length that is not true: the body then looks cut."""

    status: int
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    claim: int | None = None


def json_response(status: int, body: object, **headers: str) -> Response:
    """Give a JSON answer; header names are written with underscores."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    text = json.dumps(body, ensure_ascii=False).encode()
    return Response(status, text, {"content-type": "application/json", **named})


def problem(status: int, title: str, detail: str = "", **more: object) -> Response:
    """Give an RFC 9457 answer."""
    body = {"type": "about:blank", "title": title, "status": status, "detail": detail, **more}
    return Response(status, json.dumps(body).encode(), {"content-type": "application/problem+json"})


class CutError(Exception):
    """Raised by a handler: reset the connection instead of answering."""


Handler = Callable[[Request], Awaitable[Response]]


class Door:
    """A listening port that can be shut and opened again, and whose connections can be reset.

    `mode` says what happens to a new connection: "open", "reset" (accepted, then RST) or "silent"
    (accepted, never answered). `shut` closes the port itself: clients get "connection refused".
    """

    def __init__(self, handler: Handler, host: str) -> None:
        self._handler, self._host = handler, host
        self._transports: dict[tuple[str, int], asyncio.Transport] = {}
        self._server: asyncio.Server | None = None
        self._state = ServerState()
        self._config = Config(
            self._app,
            interface="asgi3",
            proxy_headers=False,
            log_config=None,
            access_log=False,
            lifespan="off",
            ws="none",
            timeout_keep_alive=75,
        )
        self._held: socket.socket | None = None
        self.mode = "open"
        self.port = 0

    async def open(self, port: int) -> int:
        """Listen; port 0 takes a free one. Gives the port."""
        listener, self._held = self._held or self._bound(port), None
        self._server = await asyncio.get_running_loop().create_server(self._protocol, sock=listener, backlog=512)
        self.port = int(listener.getsockname()[1])
        self.mode = "open"
        return self.port

    async def shut(self) -> None:
        """Close the port and reset every connection."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for transport in list(self._transports.values()):
            reset(transport)
        self._transports.clear()
        # Bound and not listening: clients are refused, and nobody else gets the port meanwhile.
        self._held = self._bound(self.port)

    def release(self) -> None:
        """Give the port away, after `shut`."""
        if self._held is not None:
            self._held.close()
            self._held = None

    def _bound(self, port: int) -> socket.socket:
        # Without its protocol asyncio sets no TCP_NODELAY, and every answer waits 40 ms for an ACK.
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((self._host, port))
        except BaseException:
            listener.close()
            raise
        return listener

    def _protocol(self) -> HttpToolsProtocol:
        return _Watched(self, self._config, self._state)

    def met(self, client: tuple[str, int], transport: asyncio.Transport) -> None:
        """Remember a connection; called by its protocol."""
        self._transports[client] = transport
        if self.mode == "reset":
            reset(transport)
        elif self.mode == "silent":
            transport.pause_reading()

    def left(self, client: tuple[str, int]) -> None:
        """Forget a connection; called by its protocol."""
        self._transports.pop(client, None)

    async def _app(
        self, scope: Message, receive: Callable[[], Awaitable[Message]], send: Callable[[Message], Awaitable[None]]
    ) -> None:
        body = b""
        while True:
            message = await receive()
            if message["type"] != "http.request":
                return
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        client = (str(scope["client"][0]), int(scope["client"][1]))
        request = Request(
            method=scope["method"],
            path=scope["path"],
            query=dict(parse_qsl(scope["query_string"].decode())),
            headers={name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]},
            body=body,
            client=client,
        )
        try:
            answer = await self._handler(request)
        except CutError:
            answer = None
        transport = self._transports.get(client)
        if answer is None or answer.claim is not None:
            self._half(answer, transport)
            while (await receive())["type"] != "http.disconnect":
                pass  # uvicorn would answer 500 for an application that ends without an answer
            return
        headers = {"content-length": str(len(answer.body)), **answer.headers}
        raw = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
        await send({"type": "http.response.start", "status": answer.status, "headers": raw})
        await send({"type": "http.response.body", "body": answer.body})

    def _half(self, answer: Response | None, transport: asyncio.Transport | None) -> None:
        if transport is None:
            return
        if answer is not None:
            head = f"HTTP/1.1 {answer.status} OK\r\ncontent-length: {answer.claim}\r\n\r\n"
            transport.write(head.encode() + answer.body)
            transport.close()
        else:
            reset(transport)


class _Watched(HttpToolsProtocol):
    """uvicorn's protocol, known to its door."""

    def __init__(self, door: Door, config: Config, state: ServerState) -> None:
        super().__init__(config, state, {})
        self._door = door

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's own
        super().connection_made(transport)
        if self.client is not None:
            self._door.met(self.client, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        if self.client is not None:
            self._door.left(self.client)
        super().connection_lost(exc)


def reset(transport: asyncio.Transport) -> None:
    """Close with RST instead of FIN, as a crashed machine's neighbour does."""
    raw = transport.get_extra_info("socket")
    if raw is not None and not transport.is_closing():
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()
