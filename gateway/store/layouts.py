"""Layouts: the tags that columns of values belong to, kept once however many batches use them."""

from collections import OrderedDict
from typing import Any

from sqlalchemy import select

from gateway.core.batch import Batch
from gateway.core.series import Layout, Place
from gateway.store.part import Part
from gateway.store.tables import keepsakes, pack, unpack

_PREFIX = "layout."
_MOST_KNOWN = 256
_known: OrderedDict[str, Layout] = OrderedDict()  # content-addressed: what is known of one store is true of all


class Layouts(Part):
    """A batch to bytes and back: its layouts stand in the bytes by digest, and beside the journal whole."""

    def _packed(self, batch: Batch) -> bytes:
        for layout in {block.layout for block in batch.series}:
            name = _PREFIX + layout.digest
            if not self._db.scalar(select(1).where(keepsakes.c.name == name)):
                self._upsert(keepsakes, name=name, value=pack(layout.places))
            _remember(layout)
        return pack(batch)

    def _unpacked(self, body: bytes) -> Batch:
        return unpack(body, Batch, self._layout)

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
    if len(_known) > _MOST_KNOWN:
        _known.popitem(last=False)
