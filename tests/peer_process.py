"""A server in a process of its own: started until it says READY, frozen, thawed, ended by its id."""

import asyncio
import signal
import subprocess
from collections.abc import Mapping, Sequence


class PeerProcess:
    """What every such server of the tests has in common; it can be started again after its end."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None

    def _run(
        self, command: Sequence[str], *, spoken_to: bool = False, environment: Mapping[str, str] | None = None
    ) -> None:
        """Start a program and wait until it serves; `spoken_to`: it listens to its standard input."""
        stdin = subprocess.PIPE if spoken_to else subprocess.DEVNULL
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, stdin=stdin, env=environment
        )
        self._process = process
        assert process.stdout is not None
        while b"READY" not in (line := process.stdout.readline()):
            assert line, "the server did not start"

    def freeze(self) -> None:
        """Stop it: sockets stay open, nothing answers."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def end(self) -> None:
        """End it at once, without a farewell."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.communicate()

    async def kill(self) -> None:
        """End it at once, without a farewell; it can be started again."""
        await asyncio.to_thread(self.end)
