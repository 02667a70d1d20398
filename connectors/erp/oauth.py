"""OAuth2 client credentials for requests to an ERP: one token for all, renewed early and by one request."""

import asyncio
import base64
import json
import random
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from time import monotonic
from typing import Any, Literal
from urllib.parse import quote

import httpx2
from authlib.common.urls import add_params_to_qs
from authlib.oauth2.rfc6749.parameters import prepare_token_request

from gateway.core.errors import Unreachable

_DEFAULT_LIFE_S = 300.0
_TOKEN_DEADLINE_S = 10.0
_LONGEST_TOKEN = 16_384
_RENEW = (0.75, 0.85)
_KNOWN = frozenset(
    {
        "invalid_request",
        "invalid_client",
        "invalid_grant",
        "unauthorized_client",
        "unsupported_grant_type",
        "invalid_scope",
        "invalid_target",
        "temporarily_unavailable",
        "server_error",
    }
)
"""The error codes of RFC 6749 and 8707: the only words of an answer that are passed on."""


class NoToken(Unreachable):
    """There is no token, so the request was not sent. `refused`: the client itself is not accepted."""

    def __init__(self, message: str, *, refused: bool = False) -> None:
        super().__init__(message)
        self.refused = refused


@dataclass(frozen=True, slots=True)
class Grant:
    """What a token is asked with. Its repr does not show the secret."""

    token_url: str
    client_id: str
    client_secret: str
    client_auth: Literal["basic", "form"] = "basic"
    scope: str = ""
    audience: str = ""
    resource: str = ""

    def __repr__(self) -> str:
        return f"Grant({self.token_url}, {self.client_id})"

    def request(self) -> tuple[dict[str, str], bytes]:
        """Encode headers and body of a token request."""
        headers = {"accept": "application/json", "content-type": "application/x-www-form-urlencoded"}
        body = prepare_token_request(
            "client_credentials", scope=self.scope, audience=self.audience, resource=self.resource
        )
        if self.client_auth == "form":
            body = add_params_to_qs(body, [("client_id", self.client_id), ("client_secret", self.client_secret)])
        else:
            # RFC 6749 2.3.1: both are form-encoded first, else a colon or a euro sign breaks the header.
            pair = f"{quote(self.client_id, safe='')}:{quote(self.client_secret, safe='')}"
            headers["authorization"] = "Basic " + base64.b64encode(pair.encode()).decode()
        return headers, str(body).encode()


@dataclass(frozen=True, slots=True)
class Token:
    """An access token. Times by the monotonic clock, in seconds. Its repr does not show it."""

    value: str
    renew_at: float
    ends_at: float

    def __repr__(self) -> str:
        return "Token(...)"


class ClientCredentials(httpx2.Auth):
    """Puts a bearer token on every request; one object per event loop.

    However many requests need a token, one request fetches it. It is renewed at a random 75 to 85 % of
    its life; while that fails the old one is used until it ends. A 401 gets one new token and one more
    try, then it is the caller's. Raises `NoToken`, which never carries what the server wrote.
    Bodies of the requests must be bytes: a stream cannot be sent twice.
    """

    def __init__(
        self,
        client: httpx2.AsyncClient,
        grant: Grant,
        clock: Callable[[], float] = monotonic,
        dice: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self._client, self._grant, self._clock, self._dice = client, grant, clock, dice
        self._token: Token | None = None
        self._fetch: asyncio.Task[Token] | None = None

    async def async_auth_flow(self, request: httpx2.Request) -> AsyncGenerator[httpx2.Request, httpx2.Response]:
        """Send with a token; after the first 401 once more with a new one."""
        for last in (False, True):
            token = await self.token()
            request.headers["authorization"] = f"Bearer {token.value}"
            answer = yield request
            if last or answer.status_code != httpx2.codes.UNAUTHORIZED:
                return
            # Another request may have replaced the refused token by now.
            if self._token is token:
                self._token = None

    async def token(self) -> Token:
        """Give a token that lives; fetches one when there is none. Raises `NoToken`."""
        token = self._token
        if token is not None and self._clock() < token.renew_at:
            return token
        if self._fetch is None:
            self._fetch = asyncio.get_running_loop().create_task(self._renew(), name="oauth token")
            self._fetch.add_done_callback(self._fetched)
        try:
            # Shielded: one caller that gives up must not take the token from the others.
            return await asyncio.shield(self._fetch)
        except NoToken:
            if token is not None and token is self._token and self._clock() < token.ends_at:
                return token
            raise

    async def close(self) -> None:
        """Give up a fetch that is under way."""
        if self._fetch is not None:
            self._fetch.cancel()
            await asyncio.wait([self._fetch])

    def _fetched(self, fetch: asyncio.Task[Token]) -> None:
        self._fetch = None
        # Read the error even when every caller has gone, or asyncio complains.
        if not fetch.cancelled() and fetch.exception() is None:
            self._token = fetch.result()

    async def _renew(self) -> Token:
        headers, body = self._grant.request()
        try:
            async with asyncio.timeout(_TOKEN_DEADLINE_S):
                answer = await self._client.post(self._grant.token_url, content=body, headers=headers)
        except (httpx2.TransportError, httpx2.DecodingError, httpx2.InvalidURL, TimeoutError) as lost:
            raise NoToken(f"no token: the token endpoint did not answer ({type(lost).__name__})") from None
        if answer.status_code != httpx2.codes.OK:
            code = _error_code(answer)
            refused = answer.status_code in (400, 401, 403)
            raise NoToken(f"no token: the token endpoint answered {answer.status_code}{code}", refused=refused)
        return self._read(answer.content)

    def _read(self, content: bytes) -> Token:
        try:
            said: Any = json.loads(content)
        except ValueError:
            raise NoToken("no token: the token endpoint's answer is no JSON") from None
        if not isinstance(said, dict) or not isinstance(said.get("access_token"), str):
            raise NoToken("no token: the token endpoint's answer has no access_token")
        value = said["access_token"]
        if not value.isascii() or not value.isprintable() or not 0 < len(value) <= _LONGEST_TOKEN:
            raise NoToken("no token: the access_token cannot be sent in a header")
        if str(said.get("token_type", "")).lower() != "bearer":
            raise NoToken("no token: the token is not of type bearer")
        life = _life(said.get("expires_in"))
        now = self._clock()
        return Token(value, now + life * self._dice(*_RENEW), now + life)


def _life(expires_in: object) -> float:
    """Give a token's life in seconds; what is missing, zero or no number is five minutes."""
    try:
        life = float(str(expires_in))
    except ValueError:
        return _DEFAULT_LIFE_S
    return life if 0 < life < float("inf") else _DEFAULT_LIFE_S


def _error_code(answer: httpx2.Response) -> str:
    try:
        said: Any = answer.json()
    except ValueError:
        return ""
    code = said.get("error") if isinstance(said, dict) else None
    return f" ({code})" if isinstance(code, str) and code in _KNOWN else ""
