"""How a simulator talks with whoever started it: a READY line, commands on stdin, an end by signal."""

import asyncio
import json
import os
import signal
import sys
import threading
from collections.abc import Awaitable, Callable

WAITING = 64
"""Commands that may wait to be answered; the writer of more is made to wait."""


def say(word: str, **facts: object) -> None:
    """Print a word and a JSON object as one line on stdout."""
    print(word, json.dumps(facts, ensure_ascii=False), flush=True)


def fail(program: str, why: str) -> int:
    """Print one clear line on stderr; gives the exit code of bad usage."""
    print(f"{program}: {why}", file=sys.stderr)
    return 2


async def attend(
    answer: Callable[[str], Awaitable[str]], *running: asyncio.Task[None], until_eof: bool = False
) -> None:
    """Answer commands line by line until SIGTERM, SIGINT or, when asked for, the end of stdin.

    `answer` takes one line and gives the reply; a ValueError becomes an `ERROR` line. `running` are the tasks
    that do the work: they are cancelled at the end, and the error of one that fails ends the simulator.
    """
    lines: asyncio.Queue[str | None] = asyncio.Queue(WAITING)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    threading.Thread(target=_listen, args=(loop, lines), daemon=True).start()
    stopping = asyncio.create_task(stop.wait())
    tasks = [*running, asyncio.create_task(_answer(lines, answer, stop if until_eof else asyncio.Event()))]
    try:
        while not stop.is_set():
            done, _ = await asyncio.wait({stopping, *tasks}, return_when=asyncio.FIRST_COMPLETED)
            for task in [task for task in tasks if task in done]:
                tasks.remove(task)
                task.result()
    finally:
        stopping.cancel()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, stopping, return_exceptions=True)


async def _answer(
    lines: asyncio.Queue[str | None], answer: Callable[[str], Awaitable[str]], at_end: asyncio.Event
) -> None:
    while (line := await lines.get()) is not None:
        try:
            print(await answer(line), flush=True)
        except ValueError as wrong:
            print(f"ERROR {wrong}", flush=True)
    at_end.set()


def _listen(loop: asyncio.AbstractEventLoop, lines: asyncio.Queue[str | None]) -> None:
    """Read stdin in a thread of its own: a file, a terminal or /dev/null cannot be polled by every loop.

    The raw descriptor is read because a thread that sits in a buffered reader breaks the interpreter's exit.
    """
    rest = b""
    try:
        while piece := os.read(0, 65536):
            *whole, rest = (rest + piece).split(b"\n")
            for line in whole:
                if line.strip():
                    asyncio.run_coroutine_threadsafe(lines.put(line.decode(errors="replace")), loop).result()
        asyncio.run_coroutine_threadsafe(lines.put(None), loop).result()
    except (OSError, RuntimeError):
        return  # stdin was closed, or the loop is gone
