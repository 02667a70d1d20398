"""Tokens that only their issuer can read: asked for once, remembered for a minute at most (RFC 7662)."""

import asyncio
import base64
import hashlib
import time
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote

import httpx2
import msgspec

from gateway.core.errors import Unreachable
from gateway.core.ports import Clock
from gateway.runtime.api_settings import Issuer
from gateway.web.fetch import fetched

LONGEST_S = 60.0
_INACTIVE_S = 10.0
_MOST_KEPT = 4096
_MOST_ASKED = 32
_MOST_BYTES = 64 * 1024


class Introspection:
    """Asks one issuer about tokens. However many requests carry a token, it is asked about once."""

    def __init__(self, issuer: Issuer, now: Clock, clock: Callable[[], float] = time.monotonic) -> None:
        self._issuer, self._now, self._clock = issuer, now, clock
        self._kept: dict[bytes, tuple[float, Mapping[str, Any]]] = {}
        self._asked: dict[bytes, asyncio.Task[Mapping[str, Any]]] = {}
        secret = issuer.client_secret.reveal() if issuer.client_secret is not None else ""
        pair = f"{quote(issuer.client_id, safe='')}:{quote(secret, safe='')}"  # RFC 6749 2.3.1
        self._proof = "Basic " + base64.b64encode(pair.encode()).decode()

    async def claims(self, token: str) -> Mapping[str, Any]:
        """Give what the issuer says of a token, {"active": False} included. Raises `Unreachable`."""
        digest = hashlib.sha256(token.encode()).digest()
        until, said = self._kept.get(digest, (0.0, {}))
        if self._clock() < until:
            return said
        task = self._asked.get(digest)
        if task is None:
            if len(self._asked) >= _MOST_ASKED:
                raise Unreachable("too many tokens are being asked about")
            task = asyncio.get_running_loop().create_task(self._ask(digest, token), name="introspection")
            self._asked[digest] = task
            task.add_done_callback(lambda done: self._answered(digest, done))
        # Shielded: one caller that gives up must not take the answer from the others.
        return await asyncio.shield(task)

    def _answered(self, digest: bytes, done: asyncio.Task[Mapping[str, Any]]) -> None:
        self._asked.pop(digest, None)
        if not done.cancelled():
            done.exception()  # seen, even when every caller has gone

    async def _ask(self, digest: bytes, token: str) -> Mapping[str, Any]:
        began = self._clock()
        form = {"token": token, "token_type_hint": "access_token"}
        headers = {"authorization": self._proof, "accept": "application/json"}
        try:
            url = str(self._issuer.introspect_url)
            content = await fetched("POST", url, _MOST_BYTES, data=form, headers=headers)
            said = msgspec.json.decode(content, type=dict[str, Any])
        except (httpx2.HTTPError, OSError, ValueError, TimeoutError) as lost:
            raise Unreachable(f"the issuer cannot be asked about a token ({type(lost).__name__})") from None
        self._keep(digest, began, said)
        return said

    def _keep(self, digest: bytes, began: float, said: Mapping[str, Any]) -> None:
        """Remember from when it was asked, never past the token's end."""
        life = LONGEST_S if said.get("active") is True else _INACTIVE_S
        ends = said.get("exp")
        if isinstance(ends, int | float):
            life = min(life, ends - self._now().timestamp())
        if life > 0:
            self._kept[digest] = (began + life, said)
        while len(self._kept) > _MOST_KEPT:
            del self._kept[next(iter(self._kept))]
