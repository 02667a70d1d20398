"""Fetch: what an authorization server says, bounded in time and in size."""

import asyncio

import httpx2

DEADLINE_S = 5.0


async def fetched(method: str, url: str, most: int, **more: object) -> bytes:
    """Give the body of a successful answer. Raises `httpx2.HTTPError`, TimeoutError, ValueError beyond `most` bytes."""
    async with asyncio.timeout(DEADLINE_S), httpx2.AsyncClient(timeout=DEADLINE_S) as client:
        request = client.build_request(method, url, **more)  # type: ignore[arg-type]  # as the client takes them
        answer = await client.send(request, stream=True)
        try:
            answer.raise_for_status()
            body = bytearray()
            async for part in answer.aiter_bytes():
                body += part
                if len(body) > most:
                    raise ValueError("the answer is too long")
            return bytes(body)
        finally:
            await answer.aclose()
