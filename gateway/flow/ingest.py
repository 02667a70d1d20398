"""Source -> journal (committed) -> everyone else."""

import asyncio
import contextlib
from collections.abc import Callable

from gateway.core.ports import LineSource, Store, Tx
from gateway.core.reading import Batch

_CLOSE_S = 10.0


async def ingest(source: LineSource, store: Store, noted: Callable[[Batch], None]) -> None:
    """Journal what a source gives; the next batch is asked for only after COMMIT, which acknowledges the last.

    `noted` is told after the commit and must not wait. Diagnosis reads the journal itself, so a slow
    diagnosis never holds a source up: the journal is the backlog. Raises `Unreachable` when the link is
    lost and `Full` when there is no room (the supervisor tries again; the source keeps its copy).
    """
    try:
        async for batch in source.batches():
            await store.write(_Append(batch))
            noted(batch)
    finally:
        # A link that is half dead must not hold up the end of the gateway, nor the next try.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_CLOSE_S):
                await source.close()


class _Append:
    """The step that journals one batch."""

    def __init__(self, batch: Batch) -> None:
        self._batch = batch

    def __call__(self, tx: Tx) -> int:
        return tx.append(self._batch)
