"""Layouts: the tags that columns of values belong to, kept once however many batches use them."""

import zlib
from collections import OrderedDict
from typing import Any

import msgspec
import structlog
from sqlalchemy import Connection, Row, select

from gateway.core.batch import Batch
from gateway.core.series import Layout, Place
from gateway.store.documents import pack, unpack
from gateway.store.part import Part
from gateway.store.tables import keepsakes

log: structlog.stdlib.BoundLogger = structlog.get_logger()

_PREFIX = "layout."
_MOST_KNOWN = 256
_known: OrderedDict[str, Layout] = OrderedDict()  # content-addressed: what is known of one store is true of all


class Layouts(Part):
    """A batch to bytes and back: its layouts stand in the bytes by digest, and beside the journal whole.

    `stored` names the layouts that the store is known to have; what a transaction adds is `fresh` until
    it is committed. `unreadable` collects the journal numbers that could not be turned into a batch, and why.
    """

    def __init__(self, connection: Connection, stored: set[str] | None = None) -> None:
        super().__init__(connection)
        self._stored = set[str]() if stored is None else stored
        self._decoder: msgspec.msgpack.Decoder[Batch] | None = None
        self.fresh: set[str] = set()
        self.unreadable: dict[int, str] = {}

    def _packed(self, batch: Batch) -> bytes:
        for block in batch.series:
            digest = block.layout.digest
            if digest not in self._stored and digest not in self.fresh:
                self._store(block.layout)
        return pack(batch)

    def _store(self, layout: Layout) -> None:
        name = _PREFIX + layout.digest
        if not self._db.scalar(select(1).where(keepsakes.c.name == name)):
            self._upsert(keepsakes, name=name, value=pack(layout.places))
        self.fresh.add(layout.digest)
        _remember(layout)

    def undo_step(self) -> None:
        """Take back what the step did."""
        super().undo_step()
        self.fresh.clear()  # whether it was this step or one before: the next one looks again

    def _readable(self, row: Row[Any]) -> Batch:
        """Decode a row's batch; one that cannot be is an empty batch that says so, and never holds a reader up."""
        try:
            return self._unpacked(row.body)
        except (ValueError, msgspec.MsgspecError, zlib.error, IndexError) as lost:
            why = f"{type(lost).__name__}: {lost}"[:200]
            log.error("journal.unreadable", number=row.id, source=row.source, why=why)  # noqa: TRY400  (no bug of ours)
            self.unreadable[row.id] = why
            note = f"batch {row.id} of the journal cannot be read ({why})"
            return Batch(row.source, 0, row.received_at, note=note)

    def _unpacked(self, body: bytes) -> Batch:
        if self._decoder is None:
            self._decoder = msgspec.msgpack.Decoder(Batch, dec_hook=self._layout)
        return unpack(body, self._decoder)

    def _layout(self, kind: type, digest: Any) -> Any:
        """Give the layout of a digest. Raises `ValueError` when the store does not have it."""
        if kind is not Layout:
            raise NotImplementedError(f"{kind.__name__} is not kept in a batch")
        known = _known.get(digest)
        if known is None:
            body = self._db.scalar(select(keepsakes.c.value).where(keepsakes.c.name == _PREFIX + digest))
            if body is None:
                raise ValueError(f"the layout {digest} is not in the store")
            known = Layout(unpack(body, tuple[Place, ...]))
            _remember(known)
        return known


def _remember(layout: Layout) -> None:
    _known[layout.digest] = layout
    while len(_known) > _MOST_KNOWN:
        # Another thread may be at it too.
        try:
            _known.popitem(last=False)
        except KeyError:
            break
