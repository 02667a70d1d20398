"""What `andon doctor` and `andon check --live` found: one line per thing that was looked at."""

import asyncio
from collections.abc import Awaitable
from typing import Any

import msgspec

_DEADLINE_S = 16.0


class Finding(msgspec.Struct, frozen=True):
    """One thing that was looked at. `part` names it (`line.cell-a`, `erp.main`), `detail` says what to do.

    Where it is not `proven`, nothing wrong was seen, and nothing that proves it right.
    """

    part: str
    ok: bool
    detail: str
    proven: bool = True


COLUMNS: dict[str, Any] = {
    "": lambda row: "BAD" if not row.ok else "ok" if row.proven else "?",
    "part": lambda row: row.part,
    "detail": lambda row: row.detail,
}


async def said(part: str, looking: Awaitable[list[Finding]], deadline_s: float = _DEADLINE_S) -> list[Finding]:
    """Turn what goes wrong while looking into a finding."""
    from gateway.core.errors import AndonError

    found: list[Finding] = []
    try:
        async with asyncio.timeout(deadline_s):
            found = await looking
    except* AndonError as wrong:
        found = [Finding(part, ok=False, detail=str(error)) for error in wrong.exceptions]
    except* TimeoutError:
        found = [Finding(part, ok=False, detail="no answer in time")]
    return found
