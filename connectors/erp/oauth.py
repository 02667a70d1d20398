"""OAuth2 for requests to an ERP: one token for all tasks and threads, renewed early and by one request."""

import asyncio
import contextlib
import random
import threading
from collections.abc import AsyncGenerator, Callable, Generator
from concurrent.futures import Future
from time import monotonic

import httpx2
import structlog

from connectors.erp.grant import Grant
from connectors.erp.keeper import Kept, RefreshKeeper, Sealed
from connectors.erp.token import NoToken, Token, error_code, read_token
from gateway.core.errors import Full, Misconfigured, Unreachable

__all__ = ["ClientCredentials", "Grant", "NoToken", "Token"]

_TOKEN_DEADLINE_S = 10.0
_TURNING_DEADLINE_S = 30.0
"""A refresh token is used up by its request: whoever gives the answer up gives the next token up."""
_PATIENCE_S = 60.0
"""A fetch ends by its own deadlines, a keeper's included; this one is for what nobody thought of."""
_PAUSE_S = 5.0
"""After a renewal that failed, while the old token lives."""

log: structlog.stdlib.BoundLogger = structlog.get_logger()


class ClientCredentials(httpx2.Auth):
    """Puts a bearer token on every request of any client, sync or async, in any thread or event loop.

    However many requests need a token, one request fetches it, in a thread of its own over a client that `connect`
    makes. It is renewed at a random 75 to 85 % of its life, behind the requests, which go on with the old one until
    it ends. A 401 gets one new token and one more try, then it is the caller's. Raises `NoToken`, which never
    carries what the server wrote. Bodies of the requests must be bytes: a stream cannot be sent twice.

    With `Grant.refreshes` tokens come by refresh token: the newest of `keeper`, or `refresh_token` when there is
    none or it is refused (somebody consented anew).
    """

    def __init__(
        self,
        connect: Callable[[], httpx2.AsyncClient],
        grant: Grant,
        clock: Callable[[], float] = monotonic,
        dice: Callable[[float, float], float] = random.uniform,
        *,
        refresh_token: str = "",
        keeper: RefreshKeeper | None = None,
    ) -> None:
        self._connect, self._grant, self._clock, self._dice = connect, grant, clock, dice
        self._first, self._keeper = refresh_token, keeper or Kept()
        self._unkept = ""
        self._lock = threading.Lock()
        self._token: Token | None = None
        self._fetch: Future[Token] | None = None
        self._again_at = 0.0
        self._running: tuple[asyncio.AbstractEventLoop, asyncio.Task[Token]] | None = None
        self._closed = False

    def keep_with(self, keeper: RefreshKeeper) -> None:
        """Keep refresh tokens there from now on, encrypted; called before the first request."""
        self._keeper = Sealed(keeper, self._first, self._grant.token_url, self._grant.client_id)

    async def async_auth_flow(self, request: httpx2.Request) -> AsyncGenerator[httpx2.Request, httpx2.Response]:
        """Send with a token; after the first 401 once more with a new one."""
        for last in (False, True):
            token = await self.token()
            request.headers["authorization"] = f"Bearer {token.value}"
            answer = yield request
            if last or answer.status_code != httpx2.codes.UNAUTHORIZED:
                return
            self._drop(token)

    def sync_auth_flow(self, request: httpx2.Request) -> Generator[httpx2.Request, httpx2.Response, None]:
        """Do the same for a client that blocks its thread."""
        for last in (False, True):
            token = self.token_here()
            request.headers["authorization"] = f"Bearer {token.value}"
            answer = yield request
            if last or answer.status_code != httpx2.codes.UNAUTHORIZED:
                return
            self._drop(token)

    async def token(self) -> Token:
        """Give a token that lives; waits for one when there is none. Raises `NoToken`."""
        held = self._held()
        if isinstance(held, Token):
            return held
        try:
            async with asyncio.timeout(_PATIENCE_S):
                # Shielded: one caller that gives up must not take the token from the others.
                return await asyncio.shield(asyncio.wrap_future(held))
        except NoToken as none:
            raise _again(none) from None
        except TimeoutError:
            raise NoToken("no token: fetching it did not end") from None

    def token_here(self) -> Token:
        """Do as `token` does, blocking this thread. Raises `NoToken`."""
        held = self._held()
        if isinstance(held, Token):
            return held
        try:
            return held.result(_PATIENCE_S)
        except NoToken as none:
            raise _again(none) from None
        except TimeoutError:
            raise NoToken("no token: fetching it did not end") from None

    async def close(self) -> None:
        """Give up a fetch that is under way, or wait for one by refresh token; none is begun after it."""
        turning = self._grant.refreshes
        with self._lock:
            self._closed = True
            fetch, running = self._fetch, self._running
        if running is not None and not turning:
            with contextlib.suppress(RuntimeError):  # its loop has ended by now
                running[0].call_soon_threadsafe(running[1].cancel)
        if fetch is not None:
            with contextlib.suppress(NoToken, TimeoutError):
                async with asyncio.timeout(_PATIENCE_S if turning else _TOKEN_DEADLINE_S):
                    await asyncio.shield(asyncio.wrap_future(fetch))

    def _held(self) -> "Token | Future[Token]":
        """Give the token that lives, or the fetch that everybody waits for; begins one when it is time."""
        with self._lock:
            token, now = self._token, self._clock()
            lives = token is not None and now < token.ends_at
            if token is not None and now < token.renew_at:
                return token
            if self._fetch is None and not (lives and now < self._again_at):
                if self._closed and not lives:
                    raise NoToken("no token: the connection is closed")
                self._begin()
            if token is not None and lives:
                return token
            if self._fetch is None:
                raise NoToken("no token: none could be asked for")
            return self._fetch

    def _begin(self) -> None:
        if self._closed:
            return
        fetch: Future[Token] = Future()
        fetch.set_running_or_notify_cancel()  # from here on no caller that gives up can cancel it
        self._fetch = fetch
        threading.Thread(target=self._run, args=(fetch,), name="oauth token", daemon=True).start()

    def _run(self, fetch: "Future[Token]") -> None:
        """Fetch, in a thread: waiting tasks and threads are served alike, and a busy event loop delays nobody."""
        token, failed = None, NoToken("no token: the connection is closed")
        try:
            token = asyncio.run(self._renew())
        except NoToken as none:
            failed = none
        except asyncio.CancelledError:
            pass
        except Misconfigured as wrong:
            failed = NoToken(f"no token: {wrong}", refused=True)
        except Exception as odd:  # noqa: BLE001  everybody waits for this future: it must end, whatever happened
            failed = NoToken(f"no token: {type(odd).__name__}")
        with self._lock:
            self._fetch, self._running = None, None
            if token is not None:
                self._token = token
            else:
                self._again_at = self._clock() + _PAUSE_S
        if token is not None:
            fetch.set_result(token)
        else:
            fetch.set_exception(failed)

    def _drop(self, token: Token) -> None:
        # Another request may have replaced the refused token by now.
        with self._lock:
            if self._token is token:
                self._token = None

    async def _renew(self) -> Token:
        task = asyncio.current_task()
        with self._lock:
            if self._closed or task is None:
                raise NoToken("no token: the connection is closed")
            self._running = (asyncio.get_running_loop(), task)
        if not self._grant.refreshes:
            return (await self._ask(""))[0]
        token, turned = await self._refresh()
        self._keep(turned)
        return token

    async def _refresh(self) -> tuple[Token, str]:
        """Ask with the newest refresh token; refused, with one that another gateway kept meanwhile, or with the first.

        A newest one that cannot be read may be there all the same: to use up an older one would end them all.
        """
        newest = self._unkept or self._newest()
        try:
            return await self._ask(newest or self._first)
        except NoToken as none:
            if none.code != "invalid_grant":
                raise
            other = self._newest()
            if other and other != newest:
                return await self._ask(other)
            if not newest or newest == self._first:
                raise
        return await self._ask(self._first)

    def _newest(self) -> str:
        try:
            return self._keeper.newest()
        except (Unreachable, Full) as lost:
            raise NoToken(f"no token: the newest refresh token cannot be read ({type(lost).__name__})") from None

    def _keep(self, turned: str) -> None:
        """Make a turned refresh token durable before its access token is used."""
        self._unkept = turned or self._unkept
        if not self._unkept:
            return
        try:
            self._keeper.keep(self._unkept)
        except (Unreachable, Full) as lost:
            log.warning("oauth.refresh_token_not_kept", cause=type(lost).__name__)
        else:
            self._unkept = ""

    async def _ask(self, refresh_token: str) -> tuple[Token, str]:
        """Ask once; gives the token and the next refresh token, "" when it stays."""
        headers, body = self._grant.request(refresh_token)
        try:
            within = _TURNING_DEADLINE_S if refresh_token else _TOKEN_DEADLINE_S
            async with asyncio.timeout(within), self._connect() as client:
                answer = await client.post(self._grant.token_url, content=body, headers=headers)
        except (httpx2.TransportError, httpx2.DecodingError, httpx2.InvalidURL, TimeoutError) as lost:
            raise NoToken(
                f"no token: the token endpoint did not answer ({type(lost).__name__}); see token_url"
            ) from None
        if answer.status_code != httpx2.codes.OK:
            code = error_code(answer)
            refused = answer.status_code in (400, 401, 403)
            told = f"no token: the token endpoint answered {answer.status_code}{f' ({code})' if code else ''}"
            if answer.status_code in (404, 405):
                told += "; see token_url"
            raise NoToken(told, refused=refused, code=code)
        return read_token(answer.content, self._clock(), self._dice)


def _again(none: NoToken) -> NoToken:
    """Copy an error for one of several that wait: each raises its own."""
    return NoToken(str(none), refused=none.refused, code=none.code)
