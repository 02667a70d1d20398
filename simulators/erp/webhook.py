"""Outgoing webhook of the ERP: Standard Webhooks, signed, tried a few times, told as a count."""

import asyncio
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import uuid4

import httpx2
from standardwebhooks.webhooks import Webhook

from simulators.erp.book import Order

_WAITS = (0.0, 0.2, 0.5, 1.0, 2.0, 5.0)


@dataclass(slots=True)
class Manner:
    """How news are told: to which address, signed with which secret (whsec_...).

    Each message is sent `repeat` times more, under the same id. With `hold` so many are gathered first, and the
    last is sent before the first.
    """

    url: str = ""
    secret: str = ""
    repeat: int = 0
    hold: int = 0


class Bell:
    """Tells one address about every change of an order, from one queue; nobody while there is no address."""

    def __init__(self, url: str = "", secret: str = "") -> None:
        self.manner = Manner(url, secret)
        self._queue: asyncio.Queue[bytes] = asyncio.Queue(10_000)
        self.sent = self.failed = 0

    def ring(self, order: Order) -> None:
        """Queue the news of one change. Raises QueueFull after 10,000."""
        if not self.manner.url:
            return
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
                news = [await self._queue.get()]
                while len(news) < self.manner.hold:
                    news.append(await self._queue.get())
                for body in reversed(news):
                    await self._tell(client, body, f"msg_{uuid4().hex}")

    async def _tell(self, client: httpx2.AsyncClient, body: bytes, name: str) -> None:
        for _ in range(1 + self.manner.repeat):
            if await self._deliver(client, body, name):
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
                "webhook-signature": Webhook(self.manner.secret).sign(name, at, body.decode()),
            }
            try:
                answer = await client.post(self.manner.url, content=body, headers=headers)
            except httpx2.TransportError:
                continue
            if answer.is_success:
                return True
            if answer.status_code == httpx2.codes.GONE:
                return False
        return False
