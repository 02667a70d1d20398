"""Looks at the ERP for `andon check --live` and `andon doctor`: credentials, rights, mapping; nothing is written."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from gateway.cli.finding import Finding
from gateway.core.delivery import Idempotency


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
            return await _tried(erp, adapter)
        with contextlib.suppress(_NobodyRunsError):
            return await asyncio.to_thread(_asked, settings, erp)
        await stack.enter_async_context(_alone(settings, adapter))
        return await _tried(erp, adapter)


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
    found = _findings(erp, [why.removeprefix(f"{part}: ") for why in told.why])
    unseen = "not proven: the gateway that runs has looked, and tried no address of a change or a withdrawal"
    return [*found, Finding(part, ok=True, detail=unseen, proven=False)]


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


async def _tried(erp: Any, adapter: Any) -> list[Finding]:
    """Verify, then try the ways; what cannot be known without writing is named."""
    from gateway.core.errors import AndonError
    from gateway.core.ports import Tried

    found = _findings(erp, await adapter.verify())
    wrong = not all(finding.ok for finding in found)
    try:
        ways = _ways(erp, await adapter.ways() if isinstance(adapter, Tried) else [])
    except AndonError:  # whoever is not let in can try nothing
        if not wrong:
            raise
        return found
    if wrong:  # what else is wrong is worth knowing; what is right, or cannot be told, is not yet
        return [*found, *(way for way in ways if not way.ok)]
    return [*found, *ways, _unwritten(erp, adapter.capabilities)]


_SAME_REQUEST = {Idempotency.HEADER, Idempotency.UPSERT, Idempotency.CLIENT_ID}


def _ways(erp: Any, ways: Any) -> list[Finding]:
    part = f"erp.{erp.name}"
    told = []
    for way in ways:
        if way.right is None:
            detail = f"not proven without writing: {way.what}, {way.request}: {way.why}"
            told.append(Finding(part, ok=True, detail=detail, proven=False))
        else:
            place = f"; see {way.what} in its settings" if not way.right else ""
            told.append(Finding(part, ok=way.right, detail=f"{way.what}, {way.request}: {way.why}{place}"))
    return told


def _unwritten(erp: Any, can: Any) -> Finding:
    """Say what no question proves: that the ERP takes what is sent."""
    probe = getattr(erp, "probe", None)
    dry = probe is not None and probe.method in {"POST", "PUT", "PATCH"}
    first = [*([] if dry else ["order"]), *(["change"] if can.amends else []), *(["withdrawal"] if can.cancels else [])]
    if not first:
        told = "an order was tried out by a dry run; it is never changed or taken back there"
        return Finding(f"erp.{erp.name}", ok=True, detail=told)
    detail = f"not proven without writing: that the ERP takes what is sent shows with the first {', '.join(first)}"
    if can.idempotency in _SAME_REQUEST:
        detail += f"; that a request that comes twice makes one order ({can.idempotency}), with the first lost reply"
    return Finding(f"erp.{erp.name}", ok=True, detail=detail, proven=False)


def _findings(erp: Any, wrong: list[str]) -> list[Finding]:
    part = f"erp.{erp.name}"
    if wrong:
        return [Finding(part, ok=False, detail=fault) for fault in wrong]
    # The generic interface describes itself only where the settings say so.
    described, probed = getattr(erp, "metadata", erp) is not None, getattr(erp, "probe", erp) is not None
    right = ["credentials", *(["rights"] if probed else []), *(["mapping"] if described else [])]
    found = [Finding(part, ok=True, detail=f"{' and '.join(', '.join(right).rsplit(', ', 1))} are right")]
    if not described:
        told = "the mapping was compared with nothing: see metadata and probe in docs/erp/rest.md"
        found.append(Finding(part, ok=True, detail=f"not proven: {told}", proven=False))
    return found
