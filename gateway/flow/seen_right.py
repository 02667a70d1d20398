"""What was found right once: the settings of an ERP, by their digest, kept over a restart."""

import contextlib

from gateway.core.errors import Unreachable
from gateway.core.ports import Store

_NAME = "erp.right."


class SeenRight:
    """Keeps that the ERP was looked at with these settings and nothing was wrong. Other settings have to be looked at.

    A store that is away knows nothing, and is told again by the next look.
    """

    def __init__(self, store: Store, erp: str, digest: str) -> None:
        self._store, self._name, self._digest = store, _NAME + erp, digest.encode()

    async def known(self) -> bool:
        """Say whether the last look with these settings found nothing wrong."""
        with contextlib.suppress(Unreachable):
            return await self._store.read(lambda tx: tx.get(self._name)) == self._digest
        return False

    async def keep(self, *, right: bool) -> None:
        """Keep what a look has found."""
        with contextlib.suppress(Unreachable):
            if right:
                await self._store.write(lambda tx: tx.put(self._name, self._digest))
            else:
                await self._store.write(lambda tx: tx.forget(self._name))
