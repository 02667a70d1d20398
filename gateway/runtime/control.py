"""Control: the local socket by which `andon plan` and `andon apply` speak to the gateway that runs.

A Unix socket in the store's folder, for the folder's owner alone: who may write there may change the gateway
anyway. One question and one answer of JSON, a line each.
"""

import asyncio
import contextlib
import os
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Annotated, Literal

import msgspec
import structlog

from gateway.core.errors import AndonError, Misconfigured, Unreachable
from gateway.runtime.reload import WITHIN_S, Reloading, Told

log: structlog.stdlib.BoundLogger = structlog.get_logger()

_NAME = "control.sock"
_MOST = 16 * 1024 * 1024
_HEAR_S = 10.0
_LONGEST_S = 600.0


class Ask(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A question. Without `text` the gateway reads its own file again; `keep` what does not get well.

    "verify" lets the gateway look at its ERP by itself: it alone may use up a refresh token that turns.
    """

    do: Literal["running", "plan", "apply", "verify"]
    text: str | None = None
    file: str = "andon.toml"
    within_s: Annotated[float, msgspec.Meta(ge=0, le=_LONGEST_S)] = WITHIN_S
    keep: bool = False


@asynccontextmanager
async def listening(folder: Path, reloading: Reloading) -> AsyncIterator[None]:
    """Answer on the folder's socket for the length of a block. Somebody else's living socket is left alone."""
    if _answers(folder):
        log.warning("control.taken", folder=str(folder))
        yield
        return

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, TimeoutError, asyncio.IncompleteReadError, ValueError):
            async with asyncio.timeout(_HEAR_S):
                line = await reader.readuntil(b"\n")
            writer.write(msgspec.json.encode(await _answer(line, reloading)) + b"\n")
            async with asyncio.timeout(_HEAR_S):
                await writer.drain()
        writer.close()

    try:
        server = await asyncio.start_unix_server(answer, sock=_bound(folder), limit=_MOST)
    except OSError as no:
        log.warning("control.none", folder=str(folder), why=str(no))  # SIGHUP still works
        yield
        return
    try:
        yield
    finally:
        server.close()
        _unlink(folder)


def ask(folder: Path, question: Ask) -> Told:
    """Ask the gateway that runs on this folder (blocks).

    Raises `Unreachable` when none does, `Misconfigured` with every fault of the settings.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as link:
        link.settimeout(_HEAR_S + 2 * _LONGEST_S if question.do == "apply" else 60)
        try:
            with _short(folder) as named:
                link.connect(named)
            link.sendall(msgspec.json.encode(question) + b"\n")
            said = b"".join(iter(lambda: link.recv(65536), b""))
        except OSError as lost:
            raise Unreachable(
                f"no gateway runs on {folder} ({lost.strerror or lost}): does `andon up` run, with this path?"
            ) from lost
    if not said:
        raise Unreachable("the gateway ended before it answered")
    told = msgspec.json.decode(said, type=Told | str)
    if isinstance(told, str):
        raise Misconfigured(told)
    return told


async def _answer(line: bytes, reloading: Reloading) -> Told | str:
    try:
        question = msgspec.json.decode(line, type=Ask)
        if question.do == "running":
            return reloading.running()
        if question.do == "verify":
            return await reloading.verified()
        text, file = (question.text, question.file) if question.text is not None else await reloading.own_file()
        if question.do == "plan":
            return await reloading.plan(text, file)
        return await reloading.apply(text, file, within_s=question.within_s, keep=question.keep)
    except (AndonError, msgspec.DecodeError) as wrong:
        return str(wrong)


def _bound(folder: Path) -> socket.socket:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    _unlink(folder)
    link = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o177)  # the socket is ours alone from its first moment
    try:
        with _short(folder) as named:
            link.bind(named)
    except BaseException:
        link.close()
        raise
    finally:
        os.umask(before)
    link.setblocking(False)  # noqa: FBT003  (the standard library's signature)
    return link


def _unlink(folder: Path) -> None:
    (folder / _NAME).unlink(missing_ok=True)


def _answers(folder: Path) -> bool:
    try:
        with _short(folder) as named, socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as link:
            link.settimeout(1)
            link.connect(named)
    except OSError:
        return False
    return True


@contextmanager
def _short(folder: Path) -> Iterator[str]:
    """Give the socket's path by way of the open folder: a socket's own path is at most 107 bytes long."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{handle}/{_NAME}"
    finally:
        os.close(handle)
