"""A gateway's line side alone, as a process that a test may kill: one source, journalled in a store.

Run as: python tests/line_gateway.py STORE_FOLDER PROTOCOL SETTINGS_AS_JSON
"""

import asyncio
import importlib
import sys
from pathlib import Path

import msgspec

sys.path.insert(0, str(Path(__file__).parents[1]))


async def main(folder: str, protocol: str, told: str) -> None:
    from gateway.core.units import decode  # noqa: PLC0415 (the path is set above)
    from gateway.flow.ingest import ingest  # noqa: PLC0415
    from gateway.runtime.supervise import supervise  # noqa: PLC0415
    from gateway.store.settings import Settings  # noqa: PLC0415

    module = importlib.import_module(f"connectors.line.{protocol}")
    settings = msgspec.convert(msgspec.json.decode(told), module.Settings, dec_hook=decode)
    store = Settings(path=folder).open()
    print("READY", flush=True)  # noqa: T201 (the test waits for it)

    async def run() -> None:
        await ingest(settings.open(), store, lambda _: None)

    try:
        await supervise("line", run, first_s=0.1)
    finally:
        await store.close()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:4]))
