"""Big things by their content: evidence, photos, raw waveforms of an order."""

import hashlib

from sqlalchemy import select

from gateway.store.part import Part
from gateway.store.tables import blobs


class Blobs(Part):
    """Content-addressed bytes, in the same transaction as what points at them; never thinned."""

    def keep(self, content: bytes, media_type: str) -> str:
        """Keep bytes and give their sha256 (hex). The same content is kept once, with its first media type."""
        digest = hashlib.sha256(content).hexdigest()
        self._insert_new(blobs, sha256=digest, media_type=media_type, size=len(content), content=content)
        return digest

    def blob(self, sha256: str) -> tuple[bytes, str] | None:
        """Bytes and media type, or None."""
        found = self._db.execute(select(blobs.c.content, blobs.c.media_type).where(blobs.c.sha256 == sha256)).first()
        return None if found is None else (bytes(found[0]), str(found[1]))
