"""Processes that do one job and die at one call of it: forked from one that has loaded everything, under the shim."""

import asyncio
import contextlib
import ctypes
import os
import signal
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
from report import quiet

from crashes.once import Job, run
from gateway.core.ports import Interpreter
from gateway.store.settings import Settings as StoreSettings
from nlp.interpret import open_interpreter

CALLS = ("pwrite", "write", "fdatasync", "fsync", "send", "recv", "connect", "ftruncate", "unlink")
"""As shim.c numbers them."""
LIMIT_S = 60
AHEAD_S = 5.0
"""The process that comes after a kill runs later, and takes up what the dead one held."""


class Work(msgspec.Struct, frozen=True):
    """A job and the call to die at; without a call its calls are counted."""

    job: Job
    call: str
    at: int


class Share(msgspec.Struct, frozen=True):
    """What one process has done, each work by children of its own.

    The warm-up is done by the process itself, unkilled: what is made once in a process (codecs, statements, imports)
    costs a child five times its work.
    """

    warm: Job
    works: Sequence[Work]


class Death(msgspec.Struct, frozen=True):
    """What became of a work: whether it died there, what went wrong, how often it made each call."""

    killed: bool
    why: str = ""
    calls: dict[str, int] = {}


def open_store(folder: Path) -> None:
    """Make a store with its tables."""
    asyncio.run(StoreSettings(path=str(folder)).open().close())


def done(work: Work, shim: Any, reader: Interpreter) -> Death:
    """Let a process die, and another one end its work."""
    call = CALLS.index(work.call) if work.call else -1
    code, calls = _forked(work.job, shim, reader, call, work.at)
    killed = code == -signal.SIGKILL
    if not killed and code != 0:
        return Death(killed, f"ended with {code}")
    if not work.call:
        return Death(killed, "", calls)
    after = msgspec.structs.replace(work.job, names=[], ahead_s=AHEAD_S)
    code, _ = _forked(after, shim, reader, -1, 0)
    return Death(killed, "" if code == 0 else f"the one after it ended with {code}")


def _forked(job: Job, shim: Any, reader: Interpreter, call: int, at: int) -> tuple[int, dict[str, int]]:
    out, into = os.pipe()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            signal.alarm(LIMIT_S)
            shim.shim_arm(ctypes.c_long(call), ctypes.c_long(at))
            asyncio.run(run(job, reader))
            counts = {name: shim.shim_count(ctypes.c_long(number)) for number, name in enumerate(CALLS)}
            os.write(into, msgspec.json.encode(counts))
            code = 0
        except BaseException:  # noqa: BLE001  (the child ends here, whatever it was)
            traceback.print_exc(file=sys.stderr)
        finally:
            os._exit(code)
    os.close(into)
    with os.fdopen(out, "rb") as told:
        counts = told.read()
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return code, msgspec.json.decode(counts, type=dict[str, int]) if counts else {}


def main() -> None:
    """Read a share from standard input, write what became of each of its works to standard output."""
    quiet()
    shim = ctypes.CDLL(os.environ["CRASH_SHIM"])
    shim.shim_count.restype = ctypes.c_long
    share = msgspec.json.decode(sys.stdin.buffer.read(), type=Share)
    with contextlib.redirect_stdout(sys.stderr):
        reader = open_interpreter("lite")
        asyncio.run(run(share.warm, reader))
        told = [done(work, shim, reader) for work in share.works]
    sys.stdout.buffer.write(msgspec.json.encode(told))


if __name__ == "__main__":
    main()
