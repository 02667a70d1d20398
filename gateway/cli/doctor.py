"""`andon doctor`: what the gateway depends on, looked at one by one."""

import asyncio
import contextlib
import shutil
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import rich_click as click

from gateway.cli.common import config_option, output_option, show
from gateway.cli.exits import Exit
from gateway.cli.finding import COLUMNS, Finding, said
from gateway.core.plural import plural

_LISTEN_S = 6.0
_ERP_S = 60.0
_LOOK_S = 0.2
_LOW_DISK = 2 * 1024**3


@click.command()
@config_option
@output_option
def cli(config: str | None, output: str | None) -> None:
    """Look at disk, store, models, every node of the line and the ERP. Exit 6 when something is wrong.

    Nothing is written to the line or the ERP.
    """
    from gateway.runtime.logs import configure
    from gateway.runtime.settings import load

    settings = load(config)
    configure("ERROR")
    findings = asyncio.run(_look(settings))
    show(findings, COLUMNS, output)
    sys.exit(Exit.DONE if all(finding.ok for finding in findings) else Exit.AILING)


async def _look(settings: Any) -> list[Finding]:
    from gateway.cli.erp_look import look

    findings = [_disk(settings), *await said("store", _store(settings)), *_models(settings)]
    sources = [said(f"line.{source.name}", listen(source)) for source in settings.sources]
    findings += [finding for group in await asyncio.gather(*sources) for finding in group]
    if settings.the_erp is not None:
        findings += await said(f"erp.{settings.the_erp.name}", look(settings, settings.the_erp), _ERP_S)
    return findings


def _disk(settings: Any) -> Finding:
    folder = Path(settings.store.path).absolute()
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    return Finding("disk", ok=free > _LOW_DISK, detail=f"{free / 1024**3:.1f} GiB free at {folder}")


async def _store(settings: Any) -> list[Finding]:
    store = settings.store.open()
    try:
        counts = await store.read(lambda tx: tx.counts())
    finally:
        await store.close()
    held = f"{plural(counts.orders, 'order')}, {plural(counts.episodes, 'episode')}"
    return [Finding("store", ok=True, detail=f"{held}, schema up to date")]


def _models(settings: Any) -> list[Finding]:
    from gateway.core.artifact import open_part, read_manifest
    from gateway.core.errors import Misconfigured
    from gateway.runtime.diagnosis_settings import WITHOUT
    from gateway.runtime.making import bundle_of

    if settings.diagnosis.models == WITHOUT:
        return [Finding("models", ok=True, detail="none: this gateway does not diagnose")]
    bundle = bundle_of(settings.diagnosis.models)
    try:
        manifest = read_manifest(bundle)
        for name in manifest.parts:
            open_part(bundle, name)
    except Misconfigured as wrong:
        return [Finding("models", ok=False, detail=str(wrong))]
    parts = plural(len(manifest.parts), "part")
    return [Finding("models", ok=True, detail=f"bundle {manifest.digest}, {parts}, hashes right")]


async def listen(settings: Any) -> list[Finding]:
    """Listen to a source until all its tags are healthy, for a few seconds at most; then say how each of them is."""
    from gateway.runtime.certificates import Certificates

    source = settings.open()
    async with _closing(source.close), asyncio.TaskGroup() as listening:
        hearing = listening.create_task(_hear(source))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LISTEN_S):
                while not hearing.done() and not _healthy(source):  # noqa: ASYNC110  (tags tell no event)
                    await asyncio.sleep(_LOOK_S)
        tags = list(source.tags())
        ending = Certificates({settings.name: source}, lambda: datetime.now(UTC)).warnings()
        hearing.cancel()
    soon = [Finding(told.partition(": ")[0], ok=False, detail=told.partition(": ")[2]) for told in ending]
    found = [Finding(f"line.{tag.source}.{tag.name}", ok=tag.healthy, detail=tag.detail or "fine") for tag in tags]
    return [*found, *soon]


async def _hear(source: Any) -> None:
    async for _ in source.batches():
        pass


def _healthy(source: Any) -> bool:
    tags = source.tags()
    return bool(tags) and all(tag.healthy for tag in tags)


@contextlib.asynccontextmanager
async def _closing(close: Callable[[], Awaitable[None]]) -> AsyncIterator[None]:
    try:
        yield
    finally:
        await close()
