"""docs/connect-opcua.md, command by command, against a secured server; and what the gateway then does outwards."""

import ast
import json
import os
import pty
import re
import select
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import httpx2
import pytest

from tests.integration.sim_process import running
from tests.line_rigs import free_port

pytestmark = pytest.mark.timeout(240)
ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "connect-opcua.md").read_text("utf-8")
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)
WRITTEN = "opc.tcp://127.0.0.1:4840"
FIVE = ["cert new", "cert trust", "discover opcua", "check --live", "up"]


@dataclass(frozen=True)
class Guide:
    """What came of following the page: the running gateway, and what it did outwards."""

    url: str
    folder: Path
    server: str
    book: Path

    def health(self) -> dict[str, object]:
        return dict(httpx2.get(f"{self.url}/health/ready", timeout=10).json())


STEPS = PAGE.split("## Five commands")[1].split("\n## ")[0]


def commands() -> list[str]:
    """The commands of the page's five steps, in its order."""
    return [line for language, block in BLOCK.findall(STEPS) if language == "sh" for line in block.splitlines()]


def settings() -> str:
    [text] = [block for language, block in BLOCK.findall(STEPS) if language == "toml"]
    return str(text)


def typed(line: str, folder: Path, environment: dict[str, str], answer: bytes = b"") -> str:
    """Type a command at a terminal, and the answer to its question; it must end well."""
    master, slave = pty.openpty()
    done = subprocess.Popen(
        [sys.executable, "-m", "gateway.cli.main", *shlex.split(line)[1:]],
        cwd=folder, env=environment, stdin=slave, stdout=slave, stderr=slave,
    )  # fmt: skip
    os.close(slave)
    said, deadline = b"", time.monotonic() + 90
    try:
        while time.monotonic() < deadline:
            if select.select([master], [], [], 0.2)[0]:
                try:
                    piece = os.read(master, 65536)
                except OSError:  # the terminal's other end is closed: the program has ended
                    break
                said += piece
                if answer and b"]: " in said:
                    os.write(master, answer)
                    answer = b""
            elif done.poll() is not None:
                break
        assert done.wait(10) == 0, said.decode()
    finally:
        if done.poll() is None:
            done.kill()
            done.wait()
        os.close(master)
    return said.decode()


def until_live(url: str, process: "subprocess.Popen[bytes]", log: Path) -> None:
    """Wait until every tag of the line is well."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        assert process.poll() is None, log.read_text()[-3000:]
        with suppress(httpx2.HTTPError):
            told = httpx2.get(f"{url}/health/ready", timeout=5).json()
            line = told["sources"].get("cell-a", {})
            if line.get("healthy") == 6 and not line["bad"] and line["age_s"] is not None:
                return
        time.sleep(0.3)
    raise AssertionError(log.read_text()[-3000:])


@pytest.fixture(scope="module")
def guide(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guide]:
    folder = tmp_path_factory.mktemp("guide")
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("ANDON_")},
        "ANDON_OPCUA_PASSWORD": "change-me",
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": str(ROOT),
    }
    options = ["--pki", str(folder / "plc"), "--user", "andon", "--password-env", "ANDON_OPCUA_PASSWORD"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ANDON_OPCUA_PASSWORD", "change-me")
        with running("opcua", "--asset", "M-07", *options) as machine:
            server = str(machine.ready["endpoint"])
            port = free_port()
            text = settings().replace(WRITTEN, server).replace("port = 8000", f"port = {port}")
            *steps, up = [line.replace(WRITTEN, server) for line in commands()]
            for line in steps:
                if "check" in line:
                    (folder / "andon.toml").write_text(text)
                said = typed(line, folder, environment, b"y\n" if "trust" in line else b"")
                assert "Traceback" not in said, said
            book, log = folder / "audit.txt", folder / "up.log"
            watched = {
                **environment,
                "PYTHONPATH": f"{ROOT / 'tests' / 'audit'}{os.pathsep}{ROOT}",
                "ANDON_TEST_AUDIT": str(book),
            }
            with log.open("wb") as errors:
                process = subprocess.Popen(
                    [sys.executable, "-m", "gateway.cli.main", *shlex.split(up)[1:]],
                    cwd=folder, env=watched, stdin=subprocess.DEVNULL, stdout=errors, stderr=errors,
                )  # fmt: skip
            try:
                until_live(f"http://127.0.0.1:{port}", process, log)
                yield Guide(f"http://127.0.0.1:{port}", folder, server, book)
            finally:
                process.send_signal(signal.SIGTERM)
                try:
                    process.wait(30)
                finally:
                    process.kill()
                    process.wait()


def test_the_page_takes_five_commands() -> None:
    assert [" ".join(shlex.split(line)[1:3]) for line in commands()] == FIVE


def test_the_five_commands_lead_to_live_values(guide: Guide) -> None:
    told = guide.health()
    sources = told["sources"]
    assert isinstance(sources, dict)
    assert sources["cell-a"]["healthy"] == 6
    metrics = httpx2.get(f"{guide.url}/metrics", timeout=10).text
    left = re.findall(r'andon_certificate_days_left\{source="cell-a",whose="(\w+)"\} ([\d.]+)', metrics)
    assert {whose for whose, _ in left} == {"own", "server"}
    assert all(float(days) > 1000 for _, days in left)
    assert "change-me" not in (guide.folder / "up.log").read_text()


@pytest.mark.pain(25)
def test_the_running_gateway_speaks_to_nobody_but_who_is_configured_and_starts_no_program(guide: Guide) -> None:
    host, port = guide.server.removeprefix("opc.tcp://").split(":")
    known = {host, "127.0.0.1", "localhost", None, ""}
    for line in guide.book.read_text().splitlines():
        event, _, rest = line.partition("\t")
        told = ast.literal_eval(rest)
        if event == "socket.connect" and isinstance(told[0], str):
            continue  # a socket in the file system goes nowhere
        if event == "socket.connect":
            assert told[0] == (host, int(port)), line
        elif event.startswith(("socket.getaddrinfo", "socket.gethostbyname")):
            assert told[0] in known, line
        else:
            raise AssertionError(line)
    assert f"{port}" in guide.book.read_text(), "the book is kept"


@pytest.mark.pain(25)
def test_no_route_of_the_gateway_runs_a_command(guide: Guide) -> None:
    paths = httpx2.get(f"{guide.url}/schema/openapi.json", timeout=10).json()["paths"]
    assert paths
    wrong = re.compile(r"shell|exec|command|terminal|console|eval|upload|install|plugin", re.IGNORECASE)
    assert [path for path in paths if wrong.search(path)] == []


@pytest.mark.pain(25)
def test_nothing_that_runs_in_the_gateway_can_start_a_program() -> None:
    """Only commands that a person calls (`andon demo`, `andon simulate`) start processes."""
    wrong = re.compile(r"\b(subprocess|os\.system|os\.exec\w*|os\.popen|os\.spawn\w*|pty\.spawn|ensurepip|\bpip\b\.)")
    rooms = ["gateway/core", "gateway/flow", "gateway/runtime", "gateway/store", "gateway/web", "gateway/diagnosis"]
    for room in [*rooms, "connectors", "nlp"]:
        for file in (ROOT / room).rglob("*.py"):
            if "training" not in file.parts:
                assert not wrong.search(file.read_text("utf-8")), file


def test_the_doctor_of_the_page_finds_nothing_wrong(guide: Guide) -> None:
    environment = {**os.environ, "ANDON_OPCUA_PASSWORD": "change-me", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-m", "gateway.cli.main", "cert", "doctor", "-o", "jsonl"],
        cwd=guide.folder, env=environment, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    assert {json.loads(line)["how"] for line in done.stdout.splitlines()} == {"ok"}
