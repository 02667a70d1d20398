"""A PostgreSQL server of our own for a test session: in a temporary folder, on a socket, no port, no password."""

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import URL

_READY_S = 30.0


class Server:
    """A PostgreSQL server as a child process."""

    def __init__(self, programs: Path, folder: Path) -> None:
        self._programs = programs
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        self._made = 0
        self.latest = ""

    @property
    def data(self) -> Path:
        return self._folder / "data"

    def init(self) -> None:
        """Make the cluster, owned by whoever may run it: PostgreSQL refuses root."""
        if os.geteuid() == 0:
            user = _unprivileged()
            os.chown(self._folder, user.pw_uid, user.pw_gid)
        command = ["initdb", "-D", str(self.data), "-A", "trust", "-U", "andon", "-E", "UTF8", "--no-sync"]
        subprocess.run(self._as_user(command), check=True, capture_output=True, cwd=self._folder)

    def start(self) -> None:
        """Start and wait until it answers, then make sure that it is ours."""
        options = ["-c", "listen_addresses=", "-c", "fsync=off", "-c", "max_connections=50", "-k", str(self._folder)]
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                self._as_user(["postgres", "-D", str(self.data), *options]),
                stdout=log,
                stderr=log,
                cwd=self._folder,
                start_new_session=True,
            )
        deadline = time.monotonic() + _READY_S
        while True:
            with suppress(psycopg.OperationalError), self.admin() as connection:
                [(told,)] = connection.execute("show data_directory").fetchall()
                assert Path(told) == self.data, f"this is somebody else's server: {told}"
                return
            assert self._process.poll() is None, (self._folder / "log").read_text("utf-8", "replace")
            assert time.monotonic() < deadline, "PostgreSQL did not start"
            time.sleep(0.05)

    def stop(self) -> None:
        """End it at once; connections are cut, and what is committed is in its log."""
        if self._process is not None:
            self._process.send_signal(signal.SIGQUIT)
            self._process.wait(_READY_S)
            self._process = None

    def admin(self) -> "psycopg.Connection[tuple[str]]":
        return psycopg.connect(host=str(self._folder), user="andon", dbname="postgres", autocommit=True)

    def stranger(self) -> "psycopg.Connection[tuple[str]]":
        """Connect another program to the latest database."""
        connection = self.admin()
        connection.execute(f"set search_path = t{self._made}".encode())
        return connection

    def database(self) -> str:
        """Make an empty schema, which a store cannot tell from a database, and give its URL."""
        self._made += 1
        name = f"t{self._made}"
        with self.admin() as connection:
            connection.execute(f"create schema {name}".encode())
        where = {"host": str(self._folder), "options": f"-c search_path={name}"}
        url = URL.create("postgresql+psycopg", "andon", database="postgres", query=where)
        self.latest = url.render_as_string(hide_password=False)
        return self.latest

    def _as_user(self, command: list[str]) -> list[str]:
        command = [str(self._programs / command[0]), *command[1:]]
        if os.geteuid() != 0:
            return command
        name = _unprivileged().pw_name
        return ["setpriv", f"--reuid={name}", f"--regid={_unprivileged().pw_gid}", "--clear-groups", *command]


def _unprivileged() -> pwd.struct_passwd:
    try:
        return pwd.getpwnam("postgres")
    except KeyError:
        return pwd.getpwnam("nobody")


def _programs() -> Path | None:
    installed = Path("/usr/lib/postgresql").glob("*/bin/initdb")
    found = max(installed, key=lambda path: int(path.parent.parent.name), default=None)
    somewhere = shutil.which("initdb")
    return found.parent if found else Path(somewhere).parent if somewhere else None


@pytest.fixture(scope="session")
def postgres() -> Iterator[Server]:
    """A running server, or a skip that says how to get one."""
    programs = _programs()
    if programs is None:
        pytest.skip("apt-get install postgresql")
    folder = Path(tempfile.mkdtemp(prefix="andon-pg-"))
    server = Server(programs, folder)
    try:
        server.init()
        server.start()
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)
