"""Names: the machine's own resolver, asked in threads that hold up nobody: neither the others nor the end."""

import asyncio
import socket
import threading
from collections.abc import Sequence
from contextlib import suppress

_MOST = 4


class Names:
    """Asks the resolver of the machine. One that hangs is asked by a few threads at most."""

    def __init__(self) -> None:
        self._room = threading.BoundedSemaphore(_MOST)

    async def of(self, host: str, port: int) -> Sequence[str]:
        """Give the addresses of a host. Raises OSError when it has none, or when too many questions are open."""
        if not self._room.acquire(blocking=False):
            raise OSError("the resolver does not answer")
        loop = asyncio.get_running_loop()
        told: asyncio.Future[list[str]] = loop.create_future()

        def look() -> None:
            found: list[str] | OSError
            try:
                found = [str(row[4][0]) for row in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]
            except (OSError, UnicodeError) as lost:
                found = OSError(str(lost))
            finally:
                self._room.release()
            with suppress(RuntimeError):  # the loop is closed: nobody waits any more
                loop.call_soon_threadsafe(_tell, told, found)

        # A daemon: a pool's thread that hangs in the resolver would keep the process from ending.
        threading.Thread(target=look, name="event-names", daemon=True).start()
        return await told


def _tell(told: "asyncio.Future[list[str]]", found: list[str] | OSError) -> None:
    if told.done():
        return
    if isinstance(found, OSError):
        told.set_exception(found)
    else:
        told.set_result(list(dict.fromkeys(found)))
