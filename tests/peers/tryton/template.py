"""Makes the template of a real Tryton: a database with a company, rights, users and things of the line.

`template.py FOLDER` finds the programs in FOLDER/venv and leaves FOLDER/template: `andon.sqlite` and `facts.json`
(ids and keys, readable by its owner only). It speaks JSON-RPC with Tryton's own server; it imports nothing of it.
"""

import base64
import json
import os
import secrets
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

ASSETS = ("M-07", "M-08")
CONF = """
[web]
listen = 127.0.0.1:{port}
[database]
uri = sqlite://
path = {path}
list = False
[request]
timeout = 30
"""


class Rpc:
    """Tryton's JSON-RPC, as the administrator."""

    def __init__(self, port: int, password: str) -> None:
        self._url = f"http://127.0.0.1:{port}/andon/rpc/"
        self._session = ""
        self.context: dict[str, Any] = {}
        uid, token, *_ = self._call("common.db.login", ["admin", {"password": password}, "en"])
        self._session = base64.b64encode(f"admin:{uid}:{token}".encode()).decode()

    def _call(self, method: str, params: list[Any]) -> Any:
        body = json.dumps({"id": 1, "method": method, "params": params}).encode()
        headers = {"content-type": "application/json"}
        if self._session:
            headers["authorization"] = f"Session {self._session}"
        request = urllib.request.Request(self._url, body, headers)  # noqa: S310  (to this machine)
        with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310
            said = json.load(answer)
        if isinstance(said, dict) and said.get("error"):
            raise SystemExit(f"{method}: {said['error'][:2]}")
        return said["result"] if isinstance(said, dict) else said

    def call(self, method: str, *params: Any) -> Any:
        """Call a method of a model."""
        return self._call(f"model.{method}", [*params, self.context])

    def create(self, model: str, **values: Any) -> int:
        """Create one record and give its id."""
        return int(self.call(f"{model}.create", [values])[0])

    def find(self, model: str, domain: list[Any], *fields: str) -> list[dict[str, Any]]:
        """Search and read."""
        return list(self.call(f"{model}.search_read", domain, 0, None, None, ["id", *fields]))


def fill(rpc: Rpc) -> dict[str, Any]:
    """Create everything; gives what tests must know."""
    currency = rpc.create("currency.currency", name="Euro", symbol="€", code="EUR", rounding=_decimal("0.01"), digits=2)
    company = rpc.create("company.company", party=rpc.create("party.party", name="Plant"), currency=currency)
    rpc.call("res.user.write", [1], {"companies": [["add", [company]]], "company": company})
    rpc.context = {"company": company}
    groups = {row["name"]: row["id"] for row in rpc.find("res.group", [], "name")}
    keys = {
        "key": _user(rpc, "andon", company, [groups["Quality"], groups["Production"]]),
        "planner_key": _user(rpc, "planner", company, [groups["Quality"], groups["Production"]]),
        "stranger_key": _user(rpc, "stranger", company, []),
    }
    point = {"name": "rms", "string": "RMS", "type_": "float", "tolerance_lower": 0.0, "tolerance_upper": 4.5}
    control = rpc.create("quality.control", name="Line", frequency=1, company=company, points=[["create", [point]]])
    lines = {
        asset: rpc.create("quality.inspection", control=control, company=company, reference=asset) for asset in ASSETS
    }
    origins = {asset: f"quality.inspection,{line}" for asset, line in lines.items()}
    [unit] = rpc.find("product.uom", [["name", "=", "Unit"]])
    template = rpc.create(
        "product.template",
        name="Repair",
        type="goods",
        default_uom=unit["id"],
        producible=True,
        products=[["create", [{"suffix_code": "R1"}]]],
    )
    [product] = rpc.find("product.product", [["template", "=", template]])
    [house] = rpc.find("stock.location", [["type", "=", "warehouse"]], "production_location")
    things = {"product": product["id"], "unit": unit["id"], "warehouse": house["id"]}
    return {**keys, "company": company, "origins": origins, **things, "location": house["production_location"]}


def _user(rpc: Rpc, login: str, company: int, groups: list[int]) -> str:
    """Create a user with a key for REST."""
    user = rpc.create(
        "res.user",
        name=login,
        login=login,
        companies=[["add", [company]]],
        company=company,
        groups=[["add", groups]] if groups else [],
    )
    made = rpc.create("res.user.application", user=user, application="rest")
    return str(rpc.find("res.user.application", [["id", "=", made]], "key")[0]["key"])


def _decimal(text: str) -> dict[str, str]:
    return {"__class__": "Decimal", "decimal": text}


def main() -> None:
    """Make the template."""
    home = Path(sys.argv[1])
    programs = home / "venv" / "bin"
    os.umask(0o077)
    with tempfile.TemporaryDirectory(dir=home) as name:
        folder = Path(name)
        password = secrets.token_urlsafe(18)
        (folder / "password").write_text(password)
        (folder / "db").mkdir()
        (folder / "db" / "andon.sqlite").touch()
        with socket.socket() as bound:
            bound.bind(("127.0.0.1", 0))
            port = bound.getsockname()[1]
        conf = folder / "trytond.conf"
        conf.write_text(CONF.format(port=port, path=folder / "db"))
        common = ["-c", str(conf), "-d", "andon"]
        subprocess.run(
            [programs / "trytond-admin", *common, "-u", "quality", "production", "--activate-dependencies", "-p",
             "--email", "admin@example.invalid", "-l", "en"],
            check=True,
            env={**os.environ, "TRYTONPASSFILE": str(folder / "password")},
            stderr=subprocess.DEVNULL,
            timeout=300,
        )  # fmt: skip
        server = subprocess.Popen([programs / "trytond", *common], start_new_session=True, stderr=subprocess.DEVNULL)
        try:
            _wait(server, port)
            facts = fill(Rpc(port, password))
        finally:
            server.send_signal(signal.SIGTERM)
            server.wait(30)
        _keep(folder, home / "template", facts)


def _keep(folder: Path, template: Path, facts: dict[str, Any]) -> None:
    """Copy the database with SQLite's own backup: a plain copy misses what is in its log."""
    shutil.rmtree(template, ignore_errors=True)
    template.mkdir()
    (template / "facts.json").write_text(json.dumps(facts))
    source = sqlite3.connect(folder / "db" / "andon.sqlite")
    target = sqlite3.connect(template / "andon.sqlite")
    source.backup(target)
    source.close()
    target.close()


def _wait(server: "subprocess.Popen[bytes]", port: int) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if server.poll() is not None:
            raise SystemExit("trytond ended")
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5).close()
        except urllib.error.HTTPError as answer:
            answer.close()
            return
        except OSError:
            time.sleep(0.1)
        else:
            return
    raise SystemExit("trytond did not start")


if __name__ == "__main__":
    main()
