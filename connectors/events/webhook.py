"""Webhook: one receiver of events. Only 2xx is success, no redirect is followed, and nothing is waited for long."""

import asyncio
import hashlib
import ssl
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from http import HTTPStatus

import httpx2
from standardwebhooks.webhooks import Webhook as Signer

from connectors.events.guard import Allowed, Forbidden, Resolve, Target, pinned
from connectors.events.message import signed, written
from connectors.events.names import Names
from gateway.core.event import Event, Gone, Heard, Heeded, Unheard

_ADDRESSES = 3
_LONGEST_BODY = 64 * 1024
_DRAIN_S = 1.0
_CONNECT_S = 5.0
_KEEPALIVE_S = 4.0
_CONNECTIONS = 8
_LONGEST_ASKED = timedelta(hours=24)
_AILING = frozenset({HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS})


class Webhook:
    """An `EventSink` that posts to one URL.

    The host is resolved here, what it resolves to is judged, and the connection goes to that very address, with the
    name in the Host header and in the TLS handshake: whatever the name server says a moment later changes nothing.
    """

    def __init__(
        self,
        name: str,
        target: Target,
        allowed: Allowed,
        signers: Sequence[Signer],
        *,
        form: str,
        deadline_s: float,
        trust: ssl.SSLContext,
        resolve: Resolve | None = None,
    ) -> None:
        self._name, self._target, self._allowed, self._signers = name, target, allowed, tuple(signers)
        self._form, self._deadline_s, self._trust = form, deadline_s, trust
        self._resolve = resolve if resolve is not None else Names().of
        self._client: httpx2.AsyncClient | None = None

    @property
    def name(self) -> str:
        """The subscriber's name in the settings."""
        return self._name

    @property
    def place(self) -> str:
        """Name the address without showing it: a digest."""
        target = self._target
        return hashlib.sha256(f"{target.scheme}://{target.authority}{target.path}".encode()).hexdigest()[:16]

    @property
    def deadline(self) -> timedelta:
        """One send is over after this time."""
        return timedelta(seconds=self._deadline_s + _DRAIN_S)

    async def send(self, event: Event, at: datetime) -> Heeded:
        """Post an event (see `EventSink`)."""
        headers, body = written(event, self._form)
        headers |= signed(self._signers, event, body, at)
        try:
            async with asyncio.timeout(self._deadline_s):
                answer = await self._post(headers, body)
        except Forbidden as no:
            return Unheard(str(no), ailing=True)
        except TimeoutError:
            return Unheard(f"no answer in {self._deadline_s:g} s", ailing=True)
        except OSError as lost:
            return Unheard(f"{self._target.host} cannot be resolved ({type(lost).__name__})", ailing=True)
        except httpx2.HTTPError as lost:
            return Unheard(_why(lost), ailing=True)
        # The status is known: what becomes of the rest of the answer changes nothing.
        await _let_go(answer)
        return _heeded(answer, datetime.now(UTC))

    async def close(self) -> None:
        """Close every connection. May be called twice."""
        if self._client is not None:
            await self._client.aclose()

    async def _post(self, headers: dict[str, str], body: bytes) -> httpx2.Response:
        *first, last = (await pinned(self._target, self._allowed, self._resolve))[:_ADDRESSES]
        for address in first:
            with suppress(httpx2.ConnectError, httpx2.ConnectTimeout):  # nothing was sent: the next one may be alive
                return await self._post_to(address, headers, body)
        return await self._post_to(last, headers, body)

    async def _post_to(self, address: str, headers: dict[str, str], body: bytes) -> httpx2.Response:
        client = self._client = self._client or self._opened()
        request = client.build_request(
            "POST", self._target.at(address), content=body, headers={**headers, "host": self._target.authority}
        )
        request.extensions = {**request.extensions, "sni_hostname": self._target.host}
        return await client.send(request, stream=True)

    def _opened(self) -> httpx2.AsyncClient:
        return httpx2.AsyncClient(
            headers={"user-agent": "andon-gateway", "accept": "*/*", "accept-encoding": "identity"},
            timeout=httpx2.Timeout(self._deadline_s, connect=min(_CONNECT_S, self._deadline_s / 2)),
            verify=self._trust,
            limits=httpx2.Limits(max_connections=_CONNECTIONS, keepalive_expiry=_KEEPALIVE_S),
            follow_redirects=False,
            trust_env=False,  # a proxy would resolve the name again, by itself
        )


def _heeded(answer: httpx2.Response, now: datetime) -> Heeded:
    """Say what a status means: 2xx is success and nothing else is, 410 is never again."""
    status = answer.status_code
    if HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES:
        return Heard()
    if status == HTTPStatus.GONE:
        return Gone("it answered 410: it asks never to be told again")
    told = f"it answered {status}"
    if status < HTTPStatus.BAD_REQUEST:
        return Unheard(f"{told}: redirects are not followed", ailing=False)
    ailing = status in _AILING or status >= HTTPStatus.INTERNAL_SERVER_ERROR
    return Unheard(told, ailing=ailing, after=_retry_after(answer.headers.get("retry-after", ""), now))


def _retry_after(value: str, now: datetime) -> timedelta | None:
    """Read Retry-After, seconds or a date; None when it says nothing."""
    try:
        if value.strip().isdecimal():
            wait = timedelta(seconds=int(value))
        else:
            date = parsedate_to_datetime(value)
            wait = (date if date.tzinfo else date.replace(tzinfo=UTC)) - now
    except (ValueError, OverflowError):
        return _LONGEST_ASKED if value.strip().isdecimal() else None
    return min(max(wait, timedelta(0)), _LONGEST_ASKED)


async def _let_go(answer: httpx2.Response) -> None:
    """Read the rest of an answer if it is short and quick, so that the connection can be used again; then close it."""
    with suppress(httpx2.HTTPError, TimeoutError):
        async with asyncio.timeout(_DRAIN_S):
            read = 0
            async for part in answer.aiter_raw():
                read += len(part)
                if read > _LONGEST_BODY:
                    break
    await answer.aclose()


def _why(lost: httpx2.HTTPError) -> str:
    """Name a failed connection; a certificate that was not accepted with its reason."""
    cause: BaseException | None = lost
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return f"its certificate is not accepted ({cause.verify_message})"
        cause = cause.__cause__ or cause.__context__
    return f"the connection failed ({type(lost).__name__})"
