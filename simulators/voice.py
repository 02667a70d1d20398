"""Where log lines go: syslog (RFC 5424 over UDP) and files."""

import contextlib
import socket
from datetime import datetime
from pathlib import Path

from simulators.logs import Line

_LOCAL0 = 16 * 8
_NAMES = {3: "ERROR", 4: "WARNING", 5: "NOTICE", 6: "INFO"}
ASSET = "{asset}"
"""Stands for the machine's id in the name of a log file: each machine then has a file of its own."""


class Voice:
    """Sends the lines of machines; the asset's id is the host name of the syslog message. Close it.

    A file gets `TIME LEVEL text`, one that several machines share `TIME ASSET LEVEL text`.
    """

    def __init__(self, syslog: tuple[str, int] | None = None, logfile: str | None = None) -> None:
        self._address = syslog
        self._logfile = logfile
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM) if syslog else None

    def check(self, assets: list[str]) -> None:
        """Find out whether the log files can be written. Raises OSError."""
        for asset in assets if self._logfile is not None else ():
            self._append(asset, "")

    def say(self, asset: str, line: Line, at: datetime) -> None:
        """Send one line with its time (aware UTC). A syslog receiver that is not there does not matter."""
        stamp = at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        if self._socket is not None and self._address is not None:
            message = f"<{_LOCAL0 + line.severity}>1 {stamp} {asset} machine - - - {line.text}"
            with contextlib.suppress(OSError):
                self._socket.sendto(message.encode(), self._address)
        if self._logfile is not None:
            who = "" if ASSET in self._logfile else f"{asset} "
            self._append(asset, f"{stamp} {who}{_NAMES[line.severity]} {line.text}\n")

    def _append(self, asset: str, text: str) -> None:
        # Opened anew for each line: the file may be rotated away meanwhile.
        with Path((self._logfile or "").replace(ASSET, asset)).open("a", encoding="utf-8") as file:
            file.write(text)

    def close(self) -> None:
        """Close the socket."""
        if self._socket is not None:
            self._socket.close()
