"""Waiting: callers lose patience with the disk; one timer a loop watches over all of them."""

import asyncio
from collections import deque
from typing import Any

from gateway.core.errors import Unreachable

_LOOK_S = 1.0


class Waiting:
    """Futures in the order of their coming; one that is not answered within `patience_s` is `Unreachable`.

    A timer of its own for each of 50,000 writes a second would cost as much as the write.
    """

    def __init__(self, patience_s: float) -> None:
        self._patience_s = patience_s
        self._loops: dict[asyncio.AbstractEventLoop, deque[tuple[float, asyncio.Future[Any]]]] = {}

    def add(self, loop: asyncio.AbstractEventLoop, answer: "asyncio.Future[Any]") -> None:
        """Watch over a future of this loop, which is the running one."""
        waiting = self._loops.get(loop)
        if waiting is None:
            waiting = self._loops[loop] = deque()
            loop.call_later(_LOOK_S, self._look, loop)
        while waiting and waiting[0][1].done():
            waiting.popleft()
        waiting.append((loop.time() + self._patience_s, answer))

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        waiting = self._loops[loop]
        while waiting and (waiting[0][1].done() or waiting[0][0] <= loop.time()):
            _, answer = waiting.popleft()
            if not answer.done():
                answer.set_exception(Unreachable(f"the database did not answer within {self._patience_s:.0f} s"))
        if waiting:
            loop.call_later(_LOOK_S, self._look, loop)
        else:
            del self._loops[loop]
