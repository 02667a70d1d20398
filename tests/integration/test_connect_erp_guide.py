"""docs/connect-erp.md, command by command: from a client id to the first order, and through what goes wrong."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx2
import pytest

from tests.line_rigs import free_port

pytestmark = pytest.mark.timeout(300)
ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "connect-erp.md").read_text("utf-8")
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)
PATIENCE_S = 60.0


class Reader:
    """Somebody who follows the page in a folder of her own: one shell, and terminals for what goes on running."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        known = {name: value for name, value in os.environ.items() if not name.startswith(("ANDON_", "ERP_"))}
        path = f"{Path(sys.executable).parent}{os.pathsep}{known.get('PATH', '')}"
        self.environment = {**known, "PATH": path, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}

    def types(self, line: str, exit_code: int = 0) -> str:
        """Run one line; gives all that it said."""
        if line.startswith("export "):
            name, _, value = line.removeprefix("export ").partition("=")
            self.environment[name] = value
            return ""
        done = subprocess.run(
            ["bash", "-c", line], cwd=self.folder, env=self.environment,
            capture_output=True, text=True, timeout=PATIENCE_S, check=False,
        )  # fmt: skip
        said = done.stdout + done.stderr
        assert done.returncode == exit_code, f"{line}\n{said}"
        assert "Traceback" not in said, said
        return said

    def types_until(self, line: str, seen: Callable[[str], bool]) -> str:
        """Run one line again and again until it says what is waited for."""
        deadline = time.monotonic() + PATIENCE_S
        while not seen(said := self.types(line)):
            assert time.monotonic() < deadline, f"{line}\n{said}"
        return said

    @contextmanager
    def terminal(self, line: str, ready: str) -> Iterator[str]:
        """Run one line in a terminal of its own until the block ends; gives what it printed behind `ready`."""
        log = self.folder / f"{ready}.log"
        with log.open("wb") as errors:
            process = subprocess.Popen(
                ["bash", "-c", f"exec {line}"], cwd=self.folder, env=self.environment,
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors, text=True,
            )  # fmt: skip
        try:
            assert process.stdout is not None
            for said in process.stdout:
                if said.startswith(ready):
                    yield said.removeprefix(ready).strip()
                    return
            raise AssertionError(log.read_text()[-3000:])
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(30)
            finally:
                process.kill()
                process.wait()
                if process.stdout is not None:
                    process.stdout.close()


def road(erp: int, gateway: int) -> list[tuple[str, list[str]]]:
    """Give the blocks of the page's road, (language, lines), on other ports."""
    text = PAGE.split("\n## 2. ")[1].split("\n## 5. ")[0]
    text = text.replace(":9000", f":{erp}").replace("--port 9000", f"--port {erp}")
    text = text.replace(":8000/", f":{gateway}/").replace("port = 8000", f"port = {gateway}")
    return [(language, block.splitlines()) for language, block in BLOCK.findall(text)]


def ordered(said: str) -> str:
    """Give the key of the order that a report led to."""
    row = json.loads(said.splitlines()[0])
    assert row["route"] == "order", row
    return str(row["order_key"])


def test_the_page_leads_from_a_client_id_to_the_first_order_and_through_what_goes_wrong(tmp_path: Path) -> None:
    gateway = free_port()
    blocks = road(free_port(), gateway)
    steps = iter([lines for language, lines in blocks if language == "sh"])
    [settings] = ["\n".join(lines) for language, lines in blocks if language == "toml"]
    [faults] = [lines for language, lines in blocks if language == "text"]
    reader = Reader(tmp_path)
    for line in next(steps):
        reader.types(line)
    with ExitStack() as stack:
        [simulate] = next(steps)
        ready = json.loads(stack.enter_context(reader.terminal(simulate, "READY")))
        reader.environment["CONTROL"] = ready["control_url"]
        _settings(reader, next(steps), settings)
        _looked_at(reader, next(steps), faults)
        right, up = next(steps)
        reader.types(f"sed -i 's/^titel = /title = /' andon.toml && {right}")
        assert up == "andon up"
        url = stack.enter_context(reader.terminal(up, "UP"))
        assert httpx2.get(f"{url}/health/ready", timeout=10).status_code == 200
        key = _first_order(reader, next(steps), next(steps))
        _later(reader, key, next(steps), next(steps), next(steps))
        _trouble(reader, next(steps), next(steps), next(steps), next(steps))
        assert list(steps) == []
        state = httpx2.get(f"{ready['control_url']}/state", timeout=10).json()
        assert (state["duplicates"], set(state["commits"].values())) == (0, {1}), "one order each, whatever went wrong"
        assert len(state["orders"]) == 4
    for log in tmp_path.glob("*.log"):
        assert "change-me" not in log.read_text()


def _settings(reader: Reader, lines: list[str], text: str) -> None:
    [sample] = lines
    reader.types(sample)
    assert "[erp.main]" in (reader.folder / "andon.toml").read_text()
    (reader.folder / "andon.toml").write_text(text)


def _looked_at(reader: Reader, lines: list[str], faults: list[str]) -> None:
    """The file alone is fine; the ERP's own description names each mistake, and so does a wrong secret."""
    alone, live = lines
    assert "fine" in reader.types(alone)
    said = reader.types(live, exit_code=6)
    for fault in faults:
        assert fault.split("  ")[-1] in said, said
    reader.environment["ERP_SECRET"], right = "wrong", reader.environment["ERP_SECRET"]
    assert "401 (invalid_client)" in reader.types(live, exit_code=6)
    reader.environment["ERP_SECRET"] = right


def _first_order(reader: Reader, first: list[str], proven: list[str]) -> str:
    submit, listed = first
    key = ordered(reader.types(submit))
    reader.environment["KEY"] = key
    row = json.loads(reader.types_until(listed, lambda said: '"DELIVERED"' in said).splitlines()[0])
    assert (row["order"]["key"], row["delivery"]["erp_number"]) == (key, "WO-0000001")
    show, verify = proven
    assert '"order.delivered"' in reader.types(show)
    assert "proven" in reader.types(verify)
    return key


def _later(reader: Reader, key: str, grown: list[str], moved: list[str], back: list[str]) -> None:
    submit, show = grown
    assert ordered(reader.types(submit)) == key, "the same order"
    said = reader.types_until(show, lambda said: '"order.amended"' in said)
    assert json.loads(said)["delivery"]["sent"] == 2
    move, listed = moved
    reader.types(move)
    assert key in reader.types_until(listed, lambda said: '"IN_PROGRESS"' in said)
    cancel, behind = back
    assert "will be asked to cancel WO-0000001" in reader.types(cancel)
    assert "somebody has begun" in reader.types_until(behind, lambda said: key in said)


def _trouble(reader: Reader, down: list[str], lost: list[str], no: list[str], again: list[str]) -> None:
    away, submit, waiting = down
    reader.types(away)
    key = ordered(reader.types(submit))
    assert key in reader.types(waiting)
    reader.types_until(f"andon orders show {key}", lambda said: '"order.delivered"' in said)
    fault, submit, state = lost
    reader.types(fault)
    key = ordered(reader.types(submit))
    assert '"duplicates": 0' in reader.types_until(state, lambda said: key in said)
    reader.types_until(f"andon orders show {key}", lambda said: '"order.delivered"' in said)
    fault, submit, listed = no
    reader.types(fault)
    reader.environment["PARKED"] = key = ordered(reader.types(submit))
    assert "equipment is blocked" in reader.types_until(listed, lambda said: f"order:{key}" in said)
    retry, export = again
    assert "waits again, with the same key" in reader.types(retry)
    reader.types_until(f"andon orders show {key}", lambda said: '"order.delivered"' in said)
    reader.types(export)
    assert (reader.folder / "set-aside.jsonl").exists()
