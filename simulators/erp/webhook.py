"""Outgoing webhook of the ERP: Standard Webhooks, signed, tried a few times, told as a count."""

import asyncio
import json
from datetime import UTC, datetime
from uuid import uuid4

import httpx2
from standardwebhooks.webhooks import Webhook

from simulators.erp.book import Order

_WAITS = (0.0, 0.2, 0.5, 1.0, 2.0, 5.0)


class Bell:
    """Tells one address about every change of an order. One queue, so that news arrive in order."""

    def __init__(self, url: str, secret: str) -> None:
        self._url, self._signer = url, Webhook(secret)
        self._queue: asyncio.Queue[bytes] = asyncio.Queue(10_000)
        self.sent = self.failed = 0

    def ring(self, order: Order) -> None:
        """Queue the news of one change. Raises QueueFull after 10,000."""
        data = {
            "key": order.reference,
            "number": order.number,
            "status": order.status,
            "closing_code": order.closing_code,
            "at": datetime.fromtimestamp(order.updated_at, UTC).isoformat(),
        }
        event = {"type": "order.status", "timestamp": datetime.now(UTC).isoformat(), "data": data}
        self._queue.put_nowait(json.dumps(event, ensure_ascii=False).encode())

    async def run(self) -> None:
        """Send what is queued, for ever."""
        async with httpx2.AsyncClient(timeout=5.0, follow_redirects=False) as client:
            while True:
                if await self._deliver(client, await self._queue.get(), f"msg_{uuid4().hex}"):
                    self.sent += 1
                else:
                    self.failed += 1

    async def _deliver(self, client: httpx2.AsyncClient, body: bytes, name: str) -> bool:
        for wait in _WAITS:
            await asyncio.sleep(wait)
            at = datetime.now(UTC)
            headers = {
                "content-type": "application/json",
                "webhook-id": name,
                "webhook-timestamp": str(int(at.timestamp())),
                "webhook-signature": self._signer.sign(name, at, body.decode()),
            }
            try:
                answer = await client.post(self._url, content=body, headers=headers)
            except httpx2.TransportError:
                continue
            if answer.is_success:
                return True
            if answer.status_code == httpx2.codes.GONE:
                return False
        return False
