"""A node-opcua server for tests: a process that is not ours (see tests/peers/node_opcua/server.js)."""

import asyncio
import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import pytest

from tests.line_rigs import free_port
from tests.peer_process import PeerProcess

_FOLDER = Path(__file__).with_name("peers") / "node_opcua"
_VERSION = json.loads((_FOLDER / "package.json").read_text())["dependencies"]["node-opcua"]
_CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
_INSTALLED = _CACHE / "andon-peers" / f"node-opcua-{_VERSION}"
NSU = "nsu=urn:peer:line;s="
USER, PASSWORD = "andon", "secret"


def missing() -> str:
    """Say what is not installed here; "" when the server can be started."""
    if shutil.which("node") is None:
        return "node is not installed (tools/services)"
    if not (_INSTALLED / ".done").is_file():
        return f"node-opcua {_VERSION} is not installed (tests/peers/install)"
    return ""


class NodeOpcua(PeerProcess):
    """A server as a process, on a port and with a certificate that stay the same when it is started again.

    Raises `pytest.skip` by name where node or the package is missing. `options` are those of server.js.
    """

    def __init__(self, *options: str, tags: int = 10, period_ms: int = 100) -> None:
        if why := missing():
            pytest.skip(why)
        super().__init__()
        self._options, self._tags, self._period_ms = options, tags, period_ms
        self._folder = tempfile.TemporaryDirectory(prefix="peer-opcua-")
        self.pki = Path(self._folder.name)
        self.port = free_port()
        self._line = asyncio.Lock()

    @property
    def url(self) -> str:
        """The endpoint."""
        return f"opc.tcp://127.0.0.1:{self.port}"

    @property
    def certificate(self) -> Path:
        """The server's certificate (PEM); there after the first start."""
        return self.pki / "own" / "certs" / "certificate.pem"

    def trust(self, certificate: Path) -> None:
        """Put a client's certificate (DER or PEM) among the trusted ones; before the start, for --strict."""
        folder = self.pki / "trusted" / "certs"
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(certificate, folder / certificate.name)

    async def start(self) -> None:
        """Start it, unless it runs, and wait until it serves."""
        if self._process is None:
            async with asyncio.timeout(60):
                await asyncio.to_thread(self._start)

    def _start(self) -> None:
        program = ["node", str(_FOLDER / "server.js"), str(self.port), str(self._tags), str(self._period_ms)]
        environment = {**os.environ, "NODE_PATH": str(_INSTALLED / "node_modules")}
        self._run([*program, f"--pki={self.pki}", *self._options], spoken_to=True, environment=environment)

    async def tell(self, *words: object) -> dict[str, Any]:
        """Give the server a command and take its answer (see COMMANDS in server.js)."""
        async with self._line, asyncio.timeout(30):
            return await asyncio.to_thread(self._tell, " ".join(map(str, words)))

    def _tell(self, line: str) -> dict[str, Any]:
        process = self._process
        assert process is not None and process.stdin is not None and process.stdout is not None
        process.stdin.write(line.encode() + b"\n")
        process.stdin.flush()
        answer = json.loads(process.stdout.readline())
        assert "error" not in answer, answer
        return dict(answer)

    def clean(self) -> None:
        """End it for good and remove its folder."""
        self.end()
        self._folder.cleanup()
