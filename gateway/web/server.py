"""The web server as one job of the process: it leaves signals alone and ends its streams when told."""

import asyncio
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn
from litestar.types import ASGIApp
from uvicorn.lifespan.on import LifespanOn

from gateway.core.errors import Misconfigured
from gateway.runtime.gateway import Gateway

_GRACE_S = 5


class WebServer(uvicorn.Server):
    """uvicorn without its own ideas about signals and exit codes.

    `started` gets the real port once requests are taken. End it with `stop()`; `serve()` then returns.
    """

    def __init__(self, app: ASGIApp, gateway: Gateway) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                host=gateway.api.host,
                port=gateway.api.port,
                log_config=None,
                access_log=False,
                server_header=False,
                lifespan="on",
                ws="none",  # screens are told by server-sent events: no library for sockets is loaded
                timeout_graceful_shutdown=_GRACE_S,
                backlog=512,
            )
        )
        self._gateway = gateway
        self.started_on: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signals to the process: uvicorn would raise them again and kill its siblings."""
        yield

    def stop(self) -> None:
        """Ask the server to end: open streams say goodbye, `serve` returns."""
        self._gateway.stopping.set()
        self.should_exit = True

    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        """Serve until `stop`.

        Raises `Misconfigured` when the address cannot be had, RuntimeError when a job of the
        application ended by a bug: the process then ends too, and is started afresh from outside.
        """
        held = sockets or [_listen(self._gateway.api.host, self._gateway.api.port)]
        try:
            await super().serve(held)
        except SystemExit as ended:
            raise RuntimeError("the web application did not start") from ended
        finally:
            for listener in held:
                listener.close()
            if not self.started_on.done():
                self.started_on.cancel()
        if self._broken():
            raise RuntimeError("a job of the web application ended by a bug")

    async def on_tick(self, counter: int) -> bool:
        """End when a job of the application has."""
        return await super().on_tick(counter) or self._broken()

    def _broken(self) -> bool:
        return isinstance(self.lifespan, LifespanOn) and self.lifespan.error_occurred

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Tell the port once requests are taken."""
        await super().startup(sockets)
        if sockets and not self.started_on.done():
            self.started_on.set_result(sockets[0].getsockname()[1])

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End the streams first: uvicorn would wait for them."""
        self._gateway.stopping.set()
        await super().shutdown(sockets)


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # Named TCP, or asyncio leaves Nagle on: two writes an answer then wait 40 ms for an acknowledgement.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
    except OSError as taken:
        listener.close()
        raise Misconfigured(f"api: cannot listen on {host}:{port}: {taken.strerror or taken}") from taken
    listener.setblocking(False)  # noqa: FBT003  (the standard library's signature)
    return listener
