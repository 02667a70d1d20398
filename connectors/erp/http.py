"""HTTP to an ERP: whole deadlines, and what each answer or failure means for an order."""

import asyncio
import json
import re
import ssl
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any

import httpx2

from connectors.erp.oauth import NoToken
from gateway.core.delivery import Outcome, Rejected, Throttled, Uncertain, Unsent
from gateway.core.errors import Refused, Unreachable

LONGEST_WAIT = timedelta(hours=1)
"""However long a Retry-After asks for, nobody waits longer."""

_LONGEST_BODY = 1 << 20
_LONGEST_WORDS = 160
_NOT_SENT = (
    httpx2.ConnectError,
    httpx2.ConnectTimeout,
    httpx2.PoolTimeout,
    httpx2.ProxyError,
    httpx2.UnsupportedProtocol,
    httpx2.LocalProtocolError,
)
_WAIT = frozenset({HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS})
_UNSURE = frozenset({HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.SEE_OTHER})
_ASK_AGAIN = _WAIT | {HTTPStatus.UNAUTHORIZED, HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.CONFLICT}
_SAFE_FIELD = re.compile(r"^[\w.\-\[\]/ ]{1,60}$")
_SECRETISH = re.compile(r"[A-Za-z0-9_\-+/=.]{24,}")
_PATHISH = re.compile(r"(?:[A-Za-z]:)?[/\\][\w.\-/\\]+")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]+")


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer. `body` holds at most a mebibyte."""

    status: int
    headers: httpx2.Headers
    body: bytes = field(repr=False)

    def json(self) -> Any:
        """Decode the body. Raises ValueError."""
        return json.loads(self.body)


class Lost(Exception):
    """No whole answer came. `sent`: bytes of the request may have left."""

    def __init__(self, cause: str, *, sent: bool) -> None:
        super().__init__(cause)
        self.cause, self.sent = cause, sent


class ErpClient:
    """Sends one request and gives its whole answer, before a deadline for all of it.

    httpx2's own time-outs are per read: a peer that trickles would never end. No redirect is followed.
    """

    def __init__(self, client: httpx2.AsyncClient, deadline_s: float) -> None:
        self._client, self._deadline_s = client, deadline_s

    async def ask(
        self,
        method: str,
        path: str,
        *,
        content: bytes | None = None,
        headers: dict[str, str] | None = None,
        params: dict[str, str] | None = None,
    ) -> Answer:
        """Send and read. Raises `Lost`; what it says never holds the address's query, a header or a body."""
        sending = _Sending()
        request = self._client.build_request(method, path, content=content, headers=headers, params=params)
        request.extensions = {**request.extensions, "trace": sending.trace}
        try:
            async with asyncio.timeout(self._deadline_s):
                answer = await self._client.send(request, stream=True)
                try:
                    return Answer(answer.status_code, answer.headers, await _read(answer))
                finally:
                    await answer.aclose()
        except NoToken as none:
            raise Lost(str(none), sent=False) from None
        except _NOT_SENT as lost:
            raise Lost(f"not sent: {_why(lost, request.url)}", sent=False) from None
        except (httpx2.TransportError, httpx2.DecodingError, httpx2.StreamError) as lost:
            raise Lost(f"{type(lost).__name__} after it was sent", sent=True) from None
        except TimeoutError:
            cause = f"no whole answer in {self._deadline_s:g} s"
            raise Lost(cause if sending.began else f"not sent: {cause}", sent=sending.began) from None

    async def close(self) -> None:
        """Close every connection."""
        await self._client.aclose()


class _Sending:
    """Learns from the transport whether a byte of the request left."""

    def __init__(self) -> None:
        self.began = False

    async def trace(self, event: str, _: dict[str, Any]) -> None:
        if event.endswith("send_request_headers.started"):
            self.began = True


def _why(lost: BaseException, url: httpx2.URL) -> str:
    """Name a failed connection and its place; a certificate that was not accepted with its reason."""
    cause: BaseException | None = lost
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return f"the certificate is not accepted ({cause.verify_message})"
        cause = cause.__cause__ or cause.__context__
    name = type(lost).__name__
    if isinstance(lost, httpx2.ConnectError | httpx2.ConnectTimeout):
        return f"no connection to {url.netloc.decode()} ({name})"
    return name


async def _read(answer: httpx2.Response) -> bytes:
    body = bytearray()
    async for part in answer.aiter_bytes():
        body += part
        if len(body) > _LONGEST_BODY:
            raise httpx2.DecodingError("the answer is too long")
    return bytes(body)


def unasked(lost: Unreachable, told: str) -> Unsent | Throttled:
    """Say what a question without an answer means for what was to be sent after it: nothing was; a wait is kept."""
    return Unsent(told) if lost.after is None else Throttled(lost.after, told)


def lost_outcome(lost: Lost) -> Outcome:
    """Say what a request without an answer means for its order."""
    return Uncertain(lost.cause) if lost.sent else Unsent(lost.cause)


def classify(answer: Answer, now: datetime, *, replays: bool) -> Outcome:
    """Say what an answer other than success means for an order that was sent.

    `replays`: the ERP honours Idempotency-Key. Its 409 says that our first request still runs, which is
    doubt: the same order under the same key is the right thing to send, while the key is remembered.
    """
    status = answer.status
    told = _told(status)
    wait = retry_after(answer.headers, now)
    if status in _WAIT or (status == HTTPStatus.SERVICE_UNAVAILABLE and wait is not None):
        return Throttled(wait, told)
    if status == HTTPStatus.UNAUTHORIZED:
        return Throttled(wait, f"{told}: the token was refused twice")
    if status == HTTPStatus.CONFLICT and replays:
        return Uncertain(f"{told}: the first request still runs")
    if status in _UNSURE or status >= HTTPStatus.INTERNAL_SERVER_ERROR or status < HTTPStatus.MULTIPLE_CHOICES:
        return Uncertain(told)
    words = reason_of(answer)
    return Rejected(f"{told}: {words}" if words else told)


def refusal(answer: Answer, now: datetime) -> Unreachable | Refused:
    """Give the error for a question that was not answered with success."""
    told = _told(answer.status)
    if answer.status in _ASK_AGAIN or answer.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return Unreachable(told, after=retry_after(answer.headers, now))
    words = reason_of(answer)
    return Refused(f"{told}: {words}" if words else told)


def _told(status: int) -> str:
    told = f"the ERP answered {status}"
    moved = HTTPStatus.MULTIPLE_CHOICES <= status < HTTPStatus.BAD_REQUEST
    return f"{told}: redirects are not followed, see base_url" if moved else told


def retry_after(headers: httpx2.Headers, now: datetime) -> timedelta | None:
    """Read Retry-After, seconds or a date, at most an hour; None when it is missing or says nothing."""
    value = headers.get("retry-after", "").strip()
    try:
        wait = timedelta(seconds=float(value))
    except OverflowError:
        return LONGEST_WAIT
    except ValueError:
        try:
            date = parsedate_to_datetime(value)
            wait = (date if date.tzinfo else date.replace(tzinfo=UTC)) - now
        except (ValueError, OverflowError):
            return None
    return min(max(wait, timedelta(0)), LONGEST_WAIT)


def reason_of(answer: Answer) -> str:
    """Give a short clean reason out of a JSON error: title, field, detail. No path, token or traceback."""
    if "json" not in answer.headers.get("content-type", ""):
        return ""
    try:
        said = answer.json()
    except (ValueError, RecursionError):
        return ""
    if not isinstance(said, dict):
        return ""
    parts = [clean(said.get(name)) for name in ("title", "detail", "message")]
    errors = said.get("errors")
    first = errors[0] if isinstance(errors, list) and errors and isinstance(errors[0], dict) else said
    where = first.get("field")
    if isinstance(where, str) and _SAFE_FIELD.match(where):
        parts.insert(1, f"field {where}")
    kept = list(dict.fromkeys(part for part in parts if part))
    return ": ".join(kept)[:_LONGEST_WORDS]


def clean(words: object) -> str:
    """Give the first line of what an ERP said, short; a traceback, a path and what looks like a secret are left out."""
    if not isinstance(words, str) or "Traceback" in words:
        return ""
    line = _CONTROL.sub(" ", words.strip().split("\n", 1)[0])
    return _PATHISH.sub("…", _SECRETISH.sub("…", line)).strip()[:_LONGEST_WORDS]
