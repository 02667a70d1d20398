"""Where log lines go: syslog (RFC 5424 over UDP) and a file."""

import contextlib
import socket
from datetime import datetime
from pathlib import Path

from simulators.logs import Line

_LOCAL0 = 16 * 8
_NAMES = {3: "ERROR", 4: "WARNING", 5: "NOTICE", 6: "INFO"}


class Voice:
    """Sends the lines of machines; the asset's id is the host name of the syslog message. Close it."""

    def __init__(self, syslog: tuple[str, int] | None = None, logfile: Path | None = None) -> None:
        self._address = syslog
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM) if syslog else None
        self._file = logfile.open("a", encoding="utf-8", buffering=1) if logfile else None

    def say(self, asset: str, line: Line, at: datetime) -> None:
        """Send one line with its time (aware UTC). A syslog receiver that is not there does not matter."""
        stamp = at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        if self._socket is not None and self._address is not None:
            message = f"<{_LOCAL0 + line.severity}>1 {stamp} {asset} machine - - - {line.text}"
            with contextlib.suppress(OSError):
                self._socket.sendto(message.encode(), self._address)
        if self._file is not None:
            self._file.write(f"{stamp} {asset} {_NAMES[line.severity]} {line.text}\n")

    def close(self) -> None:
        """Close socket and file."""
        if self._socket is not None:
            self._socket.close()
        if self._file is not None:
            self._file.close()
