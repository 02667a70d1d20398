"""Mosquitto as a fixture: the installed broker on a free port, with a folder of its own that outlives its death."""

import asyncio
import shutil
import signal
import socket
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion

from tests.line_rigs import free_port
from tests.papers import Pki

PROGRAM = shutil.which("mosquitto") or ("/usr/sbin/mosquitto" if Path("/usr/sbin/mosquitto").exists() else None)
needed = pytest.mark.skipif(PROGRAM is None, reason="Mosquitto is not installed (apt-get install mosquitto)")
_USER, _PASSWORD = "andon", "line-secret"


class Mosquitto:
    """A broker that keeps sessions on disk after every change, so that they outlive kill -9."""

    user, password = _USER, _PASSWORD

    def __init__(
        self, folder: Path, *, pki: Pki | None = None, guarded: bool = False, more: Sequence[str] = ()
    ) -> None:
        self._folder, self._pki, self._guarded, self._more = folder, pki, guarded, more
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def endpoint(self) -> str:
        """Where it listens."""
        return f"mqtts://localhost:{self.port}" if self._pki else f"mqtt://127.0.0.1:{self.port}"

    def _write(self) -> Path:
        lines = [
            f"listener {self.port} 127.0.0.1",
            "user root",
            "persistence true",
            f"persistence_location {self._folder}/",
            "autosave_interval 1",
            "autosave_on_changes true",
            "max_queued_messages 0",
            "log_dest none",
            *self._more,
        ]
        if self._guarded:
            secrets = self._folder / "passwords"
            if not secrets.exists():
                command = ["mosquitto_passwd", "-c", "-b", str(secrets), _USER, _PASSWORD]
                subprocess.run(command, check=True, capture_output=True, timeout=30)
            lines += ["allow_anonymous false", f"password_file {secrets}"]
        else:
            lines.append("allow_anonymous true")
        if self._pki:
            certificate, key = self._pki.server
            lines += [f"cafile {self._pki.ca}", f"certfile {certificate}", f"keyfile {key}", "require_certificate true"]
        file = self._folder / "mosquitto.conf"
        file.write_text("\n".join(lines) + "\n")
        return file

    async def start(self) -> None:
        """Start it, unless it runs, and wait until it takes connections."""
        if self._process is not None:
            return
        assert PROGRAM is not None
        command = [PROGRAM, "-c", str(self._write())]
        self._process = subprocess.Popen(  # noqa: ASYNC220 (a fork is short)
command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                         stderr=subprocess.DEVNULL)  # fmt: skip
        async with asyncio.timeout(20):
            while not await asyncio.to_thread(self._answers):
                assert self._process.poll() is None, "mosquitto did not start"
                await asyncio.sleep(0.05)

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1):
                return True
        except OSError:
            return False

    def freeze(self) -> None:
        """Stop it: sockets stay open, nothing answers."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def end(self, how: signal.Signals = signal.SIGKILL) -> None:
        """End it: at once, or with its leave."""
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(signal.SIGCONT)
            process.send_signal(how)
            process.wait(20)

    async def kill(self) -> None:
        """End it at once, without a farewell."""
        await asyncio.to_thread(self.end)

    async def say(self, *messages: tuple[str, bytes | str], qos: int = 1, retain: bool = False) -> None:
        """Publish messages in order, and wait until the broker has them. Raises OSError when it dies meanwhile."""
        async with asyncio.timeout(60):
            await asyncio.to_thread(self._publish, messages, qos, retain)

    def _publish(self, messages: Sequence[tuple[str, bytes | str]], qos: int, retain: bool) -> None:  # noqa: FBT001 (a thread's call)
        client = Client(CallbackAPIVersion.VERSION2, reconnect_on_failure=False)
        if self._pki:
            certificate, key = self._pki.client
            client.tls_set(str(self._pki.ca), str(certificate), str(key))
        if self._guarded:
            client.username_pw_set(_USER, _PASSWORD)
        client.connect("localhost" if self._pki else "127.0.0.1", self.port)
        client.loop_start()
        try:
            sent = [client.publish(topic, payload, qos, retain) for topic, payload in messages]
            for message in sent:
                message.wait_for_publish(20)
                if not message.is_published():
                    raise ConnectionError("the broker did not take it")
        except (RuntimeError, ValueError) as lost:
            raise ConnectionError(str(lost)) from lost
        finally:
            client.disconnect()
            client.loop_stop()
