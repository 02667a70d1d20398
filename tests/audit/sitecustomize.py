"""Writes down what a process does outwards: connections, look-ups, programs. PYTHONPATH names this folder."""

import os
import sys

_WATCHED = frozenset(
    {
        "socket.connect",
        "socket.getaddrinfo",
        "socket.gethostbyname",
        "socket.sendto",
        "socket.sendmsg",
        "subprocess.Popen",
        "os.system",
        "os.exec",
        "os.posix_spawn",
        "os.spawn",
        "os.fork",
        "os.forkpty",
        "pty.spawn",
        "ensurepip.bootstrap",
        "urllib.Request",
        "webbrowser.open",
    }
)
_BOOK = os.open(os.environ["ANDON_TEST_AUDIT"], os.O_CREAT | os.O_APPEND | os.O_WRONLY, 0o600)


def _note(event: str, told: tuple[object, ...]) -> None:
    if event in _WATCHED:
        shown = told[1:] if event in {"socket.connect", "socket.sendto", "socket.sendmsg"} else told
        os.write(_BOOK, f"{event}\t{shown!r}\n".encode())


sys.addaudithook(_note)
