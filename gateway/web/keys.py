"""Keys of an authorization server: fetched once for all callers, kept while the server is down."""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

import httpx2
import msgspec
import structlog
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from gateway.core.errors import Unreachable
from gateway.runtime.api_settings import Issuer
from gateway.web.fetch import fetched

COOL_DOWN_S = 30.0
_FILE_COOL_DOWN_S = 1.0
FRESH_S = 3600.0
_MOST_BYTES = 512 * 1024

log: structlog.stdlib.BoundLogger = structlog.get_logger()


class Keys:
    """The public keys of one issuer.

    Asked again when an unknown key id comes (at most once per cool-down, however many callers) and
    once an hour. While the issuer is down the old keys go on counting.
    """

    def __init__(self, issuer: Issuer, clock: Callable[[], float] = time.monotonic) -> None:
        self._issuer, self._clock = issuer, clock
        self._held: KeySet | None = None
        self._fetched_at = self._tried_at = -1e9
        self._lock = asyncio.Lock()

    async def of(self, kid: str | None) -> KeySet:
        """Give the key set, fresh enough to know `kid` if the issuer does.

        Raises `Unreachable` when there are no keys at all yet.
        """
        if self._needs(kid):
            async with self._lock:
                if self._needs(kid):
                    await self._renew()
        if self._held is None:
            raise Unreachable("the keys of the issuer cannot be fetched")
        return self._held

    def _needs(self, kid: str | None) -> bool:
        now = self._clock()
        if now - self._tried_at < (COOL_DOWN_S if self._issuer.jwks_file is None else _FILE_COOL_DOWN_S):
            return False
        if self._held is None or now - self._fetched_at > FRESH_S:
            return True
        return kid is not None and all(key.kid != kid for key in self._held.keys)

    async def _renew(self) -> None:
        try:
            self._held = _public(await self._content())
        except (httpx2.HTTPError, OSError, ValueError, TypeError, KeyError, JoseError, TimeoutError) as lost:
            log.warning("auth.keys_not_fetched", issuer=self._issuer.issuer, cause=type(lost).__name__)
        else:
            self._fetched_at = self._clock()
        finally:
            self._tried_at = self._clock()  # only now: until then the others wait for this answer

    async def _content(self) -> bytes:
        if self._issuer.jwks_file is not None:
            return await asyncio.to_thread(Path(self._issuer.jwks_file).read_bytes)
        return await fetched("GET", str(self._issuer.jwks_url), _MOST_BYTES)


def _public(content: bytes) -> KeySet:
    """Read a JWKS, leaving out what is not for checking signatures with a public key."""
    rows = msgspec.json.decode(content, type=dict[str, list[dict[str, object]]])["keys"]
    fit = [row for row in rows if row.get("kty") in {"RSA", "EC", "OKP"} and row.get("use", "sig") == "sig"]
    if not fit:
        raise ValueError("no signing keys")
    return KeySet.import_key_set({"keys": fit})  # type: ignore[typeddict-item]  # checked just above and by the import
