"""Writing to the line: only to declared targets, and never without a line in the audit trail before and after."""

from collections.abc import Awaitable, Callable, Sequence

import msgspec

from gateway.core.errors import AndonError, Doubtful, Refused
from gateway.core.ports import Clock, Store, Tx
from gateway.core.reading import Value

Write = Callable[[str, str, Sequence[Value]], Awaitable[list[Value]]]
"""Writes values to a target of a line; see `Writable`. Raises `Missing` for a line that is not there."""
_LONGEST = 200


async def write_target(
    store: Store, write: Write, line: str, target: str, values: Sequence[Value], actor: str, now: Clock
) -> list[Value]:
    """Write, and give what the equipment answered.

    What is asked, by whom, is on disk before anything is sent: without room there, nothing is written. What
    became of it is a second line. Raises what `write` raises; `Doubtful` when it was done but could not be noted.
    """
    subject = f"{line}/{target}"
    asked = f"{actor}: {_text(values)}"
    await store.write(lambda tx: _note(tx, "line.write.asked", subject, now, asked))
    try:
        answer = await write(line, target, values)
    except Refused as no:
        refusal = str(no)
        await store.write(lambda tx: _note(tx, "line.write.refused", subject, now, refusal))
        raise
    except Doubtful as doubt:
        doubted = str(doubt)
        await store.write(lambda tx: _note(tx, "line.write.doubtful", subject, now, doubted))
        raise
    except AndonError as lost:
        why = str(lost)
        await store.write(lambda tx: _note(tx, "line.write.failed", subject, now, why))
        raise
    try:
        await store.write(lambda tx: _note(tx, "line.write.done", subject, now, _text(answer)))
    except AndonError as lost:
        raise Doubtful(f"{subject}: it was written, but the audit trail could not be: {lost}") from lost
    return answer


def _note(tx: Tx, event: str, subject: str, now: Clock, detail: str) -> None:
    tx.note(event, subject, now(), detail)


def _text(values: Sequence[Value]) -> str:
    text = msgspec.json.encode(list(values)).decode()
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"
