"""A real Tryton for tests: a process that is not ours, clean from a template (see tests/peers/tryton/install)."""

import json
import os
import re
import signal
import socket
import sqlite3
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.line_rigs import free_port

_FOLDER = Path(__file__).with_name("peers") / "tryton"
_FOUND = re.search(r"^trytond==(.+)$", (_FOLDER / "requirements.txt").read_text(), re.MULTILINE)
assert _FOUND is not None
_CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
_INSTALLED = _CACHE / "andon-peers" / f"tryton-{_FOUND[1]}"
DATABASE = "andon"
_CONF = """
[web]
listen = 127.0.0.1:{port}
[database]
uri = sqlite://
path = {path}
list = False
[request]
timeout = 30
"""
_TABLES = {"quality.alert": ("quality_alert", "title"), "production": ("production", "reference")}


def missing() -> str:
    """Say what is not installed here; "" when Tryton can be started."""
    return "" if (_INSTALLED / ".done").is_file() else "Tryton is not installed (tests/peers/tryton/install)"


class Tryton:
    """A running Tryton. `facts` has its ids and keys: `key` of ours, `planner_key`, `stranger_key` without rights."""

    def __init__(self, folder: Path) -> None:
        self.facts: dict[str, Any] = json.loads((_INSTALLED / "template" / "facts.json").read_text())
        self.port = free_port()
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it on a copy of the template, unless it runs, and wait until it answers our key."""
        if self._process is not None:
            return
        database = self._folder / "db" / f"{DATABASE}.sqlite"
        if not database.exists():
            database.parent.mkdir()
            _copy(_INSTALLED / "template" / "andon.sqlite", database)
        conf = self._folder / "trytond.conf"
        conf.write_text(_CONF.format(port=self.port, path=database.parent))
        with (self._folder / "stderr").open("ab") as words:
            self._process = subprocess.Popen(
                [_INSTALLED / "venv" / "bin" / "trytond", "-c", conf, "-d", DATABASE],
                start_new_session=True,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=words,
            )
        deadline = time.monotonic() + 60
        while not self._answers():
            assert self._process.poll() is None, "trytond did not start"
            assert time.monotonic() < deadline, "trytond does not answer"
            time.sleep(0.05)

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1):
                pass
            return isinstance(self.ask("GET", "quality.alert?s=1"), list)
        except OSError:
            return False

    def end(self) -> None:
        """End it, by its own process."""
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(10)

    def kill(self) -> None:
        """End it at once, as a crash does; `start` then goes on with what its database holds."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait(10)

    def ask(self, method: str, path: str, body: object = None, key: str = "planner_key") -> Any:
        """Do something as a planner, over REST. Raises OSError when it is refused."""
        request = urllib.request.Request(  # noqa: S310 (to this machine)
            f"{self.url}/{DATABASE}/rest/model/{path}",
            None if body is None else json.dumps(body).encode(),
            {"authorization": f"Bearer {self.facts[key]}", "content-type": "application/json"},
            method=method,
        )
        with urllib.request.urlopen(request, timeout=20) as answer:  # noqa: S310
            return json.load(answer)

    def orders_in_database(self, key: str, model: str = "quality.alert") -> list[dict[str, Any]]:
        """Read the orders of a key out of its own database, the oldest first: what really is there."""
        table, column = _TABLES[model]
        return self.rows(f"SELECT * FROM {table} WHERE {column} LIKE ? ORDER BY id", f"%{key}%")  # noqa: S608

    def rows(self, query: str, *values: object) -> list[dict[str, Any]]:
        """Ask its database, read only."""
        with closing(sqlite3.connect(f"file:{self._folder}/db/{DATABASE}.sqlite?mode=ro", uri=True, timeout=20)) as db:
            db.row_factory = sqlite3.Row
            return [dict(row) for row in db.execute(query, values)]


def _copy(source: Path, target: Path) -> None:
    """Copy with SQLite's own backup: a plain copy misses what is in its log."""
    with closing(sqlite3.connect(source)) as old, closing(sqlite3.connect(target)) as new:
        old.backup(new)


@contextmanager
def running_tryton() -> Iterator[Tryton]:
    """Give a clean Tryton on a free port, and end it. Skips by name where it is not installed."""
    if why := missing():
        pytest.skip(why)
    with tempfile.TemporaryDirectory(prefix="peer-tryton-") as folder:
        tryton = Tryton(Path(folder))
        try:
            tryton.start()
            yield tryton
        finally:
            tryton.end()
