"""Looks at the ERP for `andon check --live` and `andon doctor`: credentials, rights, mapping; nothing is written."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from gateway.cli.finding import Finding


async def look(settings: Any, erp: Any) -> list[Finding]:
    """Name what is wrong with one ERP. `settings` are all, `erp` its own.

    A refresh token that turns belongs to the gateway that runs: it looks itself. Where none runs, the folder is
    taken for as long as the look lasts, and the token that came with it kept.
    """
    from gateway.runtime.refresh import turns

    adapter = erp.open()
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(adapter.close)
        if not turns(erp, adapter):
            return _findings(erp, await adapter.verify())
        with contextlib.suppress(_NobodyRunsError):
            return await asyncio.to_thread(_asked, settings, erp)
        await stack.enter_async_context(_alone(settings, adapter))
        return _findings(erp, await adapter.verify())


class _NobodyRunsError(Exception):
    """No gateway answers on this folder."""


def _asked(settings: Any, erp: Any) -> list[Finding]:
    """Let the gateway that runs look. Raises `_NobodyRunsError`."""
    from gateway.core.errors import Unreachable
    from gateway.runtime.control import Ask, ask

    part = f"erp.{erp.name}"
    try:
        told = ask(Path(settings.store.path), Ask("running"))
    except Unreachable:
        raise _NobodyRunsError from None
    if settings.the_erp is None or erp.name != settings.the_erp.name or told.parts.get(part) != settings.parts[part]:
        detail = "its refresh token belongs to the gateway that runs, with other settings: `andon apply` these first"
        return [Finding(part, ok=False, detail=detail)]
    told = ask(Path(settings.store.path), Ask("verify"))
    return _findings(erp, [why.removeprefix(f"{part}: ") for why in told.why])


@contextlib.asynccontextmanager
async def _alone(settings: Any, adapter: Any) -> AsyncIterator[None]:
    """Keep a gateway from starting meanwhile, and the token that comes with the look."""
    from gateway.core.errors import Refused
    from gateway.runtime.refresh import remember
    from gateway.runtime.wiring import alone

    if settings.store.location() is not None:
        raise Refused(
            "its refresh token turns at every use, and a gateway on another machine may share the store: "
            "look where the gateway runs"
        )
    with contextlib.ExitStack() as held:
        alone(settings, held)
        store = await asyncio.to_thread(settings.store.open)
        try:
            remember(adapter, store)
            yield
        finally:
            # The adapter first: a token that is on its way still has to be kept.
            await adapter.close()
            await store.close()


def _findings(erp: Any, wrong: list[str]) -> list[Finding]:
    part = f"erp.{erp.name}"
    if wrong:
        return [Finding(part, ok=False, detail=fault) for fault in wrong]
    if getattr(erp, "metadata", erp) is None and getattr(erp, "probe", erp) is None:
        # The generic interface describes itself only where the settings say so.
        told = (
            "credentials are right; the mapping was compared with nothing: see metadata and probe in docs/erp/rest.md"
        )
        return [Finding(part, ok=True, detail=told)]
    return [Finding(part, ok=True, detail="credentials, rights and mapping are right")]
