"""A folder with settings and a store, and the `andon` commands on it."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result

from gateway.cli.main import andon
from gateway.core.ports import Store, Tx
from gateway.store.settings import Settings

FILE = """
[site]
id = "SZ1"
[store]
path = "{path}"
[[asset]]
id = "M-07"
[orders]
erp = "main"
[erp.main]
protocol = "rest"
base_url = "http://127.0.0.1:9"
idempotency = "header"
auth = "none"
[erp.main.cancel]
path = "/api/orders/{{number}}/cancel"
method = "POST"
[erp.press]
protocol = "jobcontrol"
endpoint = "opc.tcp://127.0.0.1:9"
insecure = true
receiver = "nsu=http://example.org/press;s=JobOrderControl"
[production]
to = "erp.press"
"""


class Plant:
    """A folder with settings and a store, and the commands on it."""

    def __init__(self, folder: Path) -> None:
        self.settings = Settings(path=str(folder / "data"))
        self.folder = folder
        self.config = str(folder / "andon.toml")
        Path(self.config).write_text(FILE.format(path=folder / "data"))

    def say(self, *words: str) -> Result:
        return CliRunner().invoke(andon, [*words, "-c", self.config])

    def rows(self, *words: str) -> list[Any]:
        done = self.say(*words, "-o", "jsonl")
        assert done.exit_code == 0, done.output
        return [json.loads(line) for line in done.stdout.splitlines()]

    def write(self, step: Callable[[Tx], Any]) -> Any:
        return asyncio.run(self._with(lambda store: store.write(step)))

    def read(self, look: Callable[[Tx], Any]) -> Any:
        return asyncio.run(self._with(lambda store: store.read(look)))

    async def _with(self, act: Callable[[Store], Any]) -> Any:
        store = self.settings.open()
        try:
            return await act(store)
        finally:
            await store.close()

    def trail(self, event: str) -> list[tuple[str, str]]:
        return [(line.subject, line.detail) for line in self.read(lambda tx: list(tx.audit())) if line.event == event]
