"""A libmodbus server for tests: a process that is not ours (see tests/peers/libmodbus/server.c), and serial lines."""

import asyncio
import hashlib
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.line_rigs import free_port
from tests.peer_process import PeerProcess

_SOURCE = Path(__file__).with_name("peers") / "libmodbus" / "server.c"
_HEADERS = Path("/usr/include/modbus/modbus.h")
_CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "andon-peers"
_START_S = 30.0


def missing() -> str:
    """Say what is not installed here; "" when the server can be built."""
    if shutil.which("cc") is None:
        return "cc is not installed (tools/services)"
    if not _HEADERS.is_file():
        return "libmodbus-dev is not installed (tools/services)"
    return ""


def program() -> Path:
    """Build the server, unless this very source was built before; gives the program. Skips by name."""
    if why := missing():
        pytest.skip(why)
    made = _CACHE / f"libmodbus-{hashlib.sha256(_SOURCE.read_bytes()).hexdigest()[:16]}"
    if not made.is_file():
        _CACHE.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=_CACHE) as folder:
            fresh = Path(folder) / "server"
            command = ["cc", "-O2", "-o", str(fresh), str(_SOURCE), f"-I{_HEADERS.parent}", "-lmodbus", "-lpthread"]
            subprocess.run(command, check=True, capture_output=True, timeout=120)
            fresh.replace(made)
    return made


class TcpServer(PeerProcess):
    """A server on a port that stays the same when it is started again."""

    def __init__(self, delay_ms: int = 0, connections: int = 0) -> None:
        super().__init__()
        self._program, self._options = program(), [str(delay_ms), str(connections)]
        self.port = free_port()

    @property
    def url(self) -> str:
        """The endpoint."""
        return f"tcp://127.0.0.1:{self.port}"

    async def start(self) -> None:
        """Start it, unless it runs, and wait until it serves."""
        if self._process is None:
            async with asyncio.timeout(_START_S):
                await asyncio.to_thread(self._run, [str(self._program), "tcp", str(self.port), *self._options])


class RtuServer(PeerProcess):
    """A server on a serial line."""

    def __init__(self, tty: Path) -> None:
        super().__init__()
        self._program, self._tty = program(), tty

    async def start(self) -> None:
        """Start it, unless it runs, and wait until it serves."""
        if self._process is None:
            async with asyncio.timeout(_START_S):
                await asyncio.to_thread(self._run, [str(self._program), "rtu", str(self._tty)])


@contextmanager
def serial_server(tty: Path) -> Iterator[int]:
    """Serve a serial line over TCP, as the boxes in switch cabinets do; gives the port."""
    port = free_port()
    command = ["socat", f"tcp-listen:{port},bind=127.0.0.1,reuseaddr,fork", f"open:{tty},raw,echo=0"]
    server = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield port
    finally:
        server.terminate()
        server.communicate()


class Cable:
    """A serial line without hardware: two ends that are joined by socat, until the cable is pulled."""

    def __init__(self, folder: Path) -> None:
        if shutil.which("socat") is None:
            pytest.skip("socat is not installed (tools/services)")
        self.ours, self.theirs = folder / "tty-ours", folder / "tty-theirs"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """The endpoint at our end."""
        return f"rtu://{self.ours}?baudrate=19200&parity=none"

    async def plug(self) -> None:
        """Lay the cable."""
        await asyncio.to_thread(self._plug)

    def _plug(self) -> None:
        ends = [f"pty,raw,echo=0,link={end}" for end in (self.ours, self.theirs)]
        self._process = subprocess.Popen(["socat", *ends], stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL)
        deadline = time.monotonic() + _START_S
        while not (self.ours.exists() and self.theirs.exists()):
            assert time.monotonic() < deadline and self._process.poll() is None, "no cable"
            time.sleep(0.02)

    def pull(self) -> None:
        """Pull the cable: both ends are gone."""
        process, self._process = self._process, None
        if process is not None:
            process.terminate()
            process.communicate()
