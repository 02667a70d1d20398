"""SAP Gateway's doors: questions, and writes in sessions of their own, each with its CSRF token."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Any

from connectors.erp.http import Answer, ErpClient, Lost, classify, clean, lost_outcome, refusal
from connectors.erp.oauth import ClientCredentials, NoToken
from connectors.erp.sap.record import etag_in
from gateway.core.delivery import Outcome, Rejected, Throttled, Uncertain
from gateway.core.errors import Refused, Unreachable
from gateway.core.ports import Clock

ROOT = "/sap/opu/odata/sap"
OUTDATED = "/IWBEP/CM_COS"
_TOKEN = "x-csrf-token"  # noqa: S105  a header's name
_SAFE = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_/.")


class NotAccepted(Unreachable):
    """User, password, certificate or token are not accepted."""


class Gone(Refused):
    """There is no such entity (404)."""


class Barred(Refused):
    """The user may not use the service (403)."""


class Stale(Exception):
    """Somebody else changed the entity since it was read (412)."""


class Outdated(Exception):
    """SAP knows the RequestID, and no longer what came of it: it was carried out."""


class Own:
    """A session of its own: a client with its cookies, and the CSRF token of each service. One write at a time."""

    def __init__(self, client: ErpClient) -> None:
        self.client = client
        self.tokens: dict[str, str] = {}


class Session:
    """One user with one SAP. Questions raise `Unreachable` or `Refused`; writes give a row or an outcome.

    A CSRF token belongs to its session's cookie, and whoever comes without a living session gets a new cookie: writes
    at once in one session would take each other's away. So each write has a session to itself, one that was
    used before where one is free, at most `most` of them. A token that SAP does not want any more is fetched once
    more, and then the request waits.
    """

    def __init__(
        self,
        name: str,
        connect: Callable[[], ErpClient],
        tokens: ClientCredentials | None,
        now: Clock,
        *,
        most: int,
        patience_s: float,
    ) -> None:
        self._name, self._connect, self._auth, self._now = name, connect, tokens, now
        self._patience_s = patience_s
        self._client = connect()
        self._free: list[Own] = []
        self._all: list[Own] = []
        self._room = asyncio.Semaphore(most)
        self._accepts: dict[str, bool] = {}

    def accepts(self, service: str) -> bool | None:
        """Say whether a service honours a RequestID, as it said last; None while it has not said."""
        return self._accepts.get(service)

    async def rows(self, service: str, entity: str, asked: str, top: int) -> list[dict[str, Any]]:
        """Give the entities that fit a `$filter`."""
        params = {"$filter": asked, "$top": str(top), "$format": "json"}
        said = _inside(await self._get(f"{ROOT}/{service}/{entity}", params))
        rows = said.get("results") if isinstance(said, dict) else None
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise Refused("the answer is no list of entities; is base_url an SAP Gateway?")
        return rows

    async def one(self, service: str, entity: str, number: str) -> tuple[dict[str, Any], str]:
        """Give one entity and its ETag."""
        answer = await self._get(f"{ROOT}/{service}/{entity}('{number}')", {"$format": "json"})
        row = _inside(answer)
        if not isinstance(row, dict):
            raise Refused(f"the answer is no {entity}")
        return row, answer.headers.get("etag") or etag_in(row)

    async def metadata(self, service: str) -> str:
        """Give `$metadata`."""
        answer = await self._get(f"{ROOT}/{service}/$metadata", None, {"accept": "application/xml"})
        return answer.body.decode("utf-8", "replace")

    async def learn(self, service: str, headers: Mapping[str, str]) -> None:
        """Fetch tokens, and learn on the way whether a RequestID is honoured. Raises `Unreachable`, `Refused`."""
        if self._auth is not None:
            try:
                await self._auth.token()
            except NoToken as none:
                if none.refused:
                    raise Refused(f"{none}; see client_id, client_secret, scope and audience") from none
                raise
        async with self._own() as own:
            answer = await self._fetch(own, service, headers)
        self._note(service, answer)

    async def write(
        self, method: str, service: str, rest: str, body: Mapping[str, Any] | None, headers: Mapping[str, str]
    ) -> dict[str, Any] | Outcome:
        """Send a change once: the entity that SAP gives ({} for none), or what became of it.

        Raises `Unreachable` and `Refused` when there is no token, so that nothing was sent, `Stale`, `Outdated`.
        """
        content = None if body is None else json.dumps(body, ensure_ascii=False, sort_keys=True).encode()
        async with self._own() as own:
            for last in (False, True):
                if service not in own.tokens:
                    await self._fetch(own, service, {})
                kind = {} if content is None else {"content-type": "application/json"}
                sent = {**kind, **headers, _TOKEN: own.tokens[service]}
                try:
                    answer = await own.client.ask(method, f"{ROOT}/{service}/{rest}", content=content, headers=sent)
                except Lost as lost:
                    return lost_outcome(lost)
                if answer.status != HTTPStatus.FORBIDDEN or answer.headers.get(_TOKEN, "").lower() != "required":
                    break
                # The session has ended, and with it the tokens of all services.
                own.tokens.clear()
                if last:
                    return Throttled(None, "the ERP answered 403: the CSRF token was refused twice")
        self._note(service, answer)
        return self._outcome(service, answer)

    async def close(self) -> None:
        """Close every connection."""
        if self._auth is not None:
            await self._auth.close()
        for own in self._all:
            await own.client.close()
        await self._client.close()

    @asynccontextmanager
    async def _own(self) -> AsyncIterator[Own]:
        """Give a session that nobody else uses meanwhile. Raises `Unreachable` when none gets free in time."""
        try:
            async with asyncio.timeout(self._patience_s):
                await self._room.acquire()
        except TimeoutError:
            raise Unreachable(f"{self._name}: no session got free in {self._patience_s:g} s") from None
        try:
            own = self._free.pop() if self._free else self._more()
            try:
                yield own
            finally:
                self._free.append(own)
        finally:
            self._room.release()

    def _more(self) -> Own:
        own = Own(self._connect())
        self._all.append(own)
        return own

    def _outcome(self, service: str, answer: Answer) -> dict[str, Any] | Outcome:
        if HTTPStatus.OK <= answer.status < HTTPStatus.MULTIPLE_CHOICES:
            if answer.status == HTTPStatus.NO_CONTENT:
                return {}
            row = _inside(answer)
            return row if isinstance(row, dict) else Uncertain(f"the ERP answered {answer.status} without an entity")
        if answer.status == HTTPStatus.PRECONDITION_FAILED:
            raise Stale
        code, words = _words(answer)
        if code.startswith(OUTDATED) and code.endswith("005"):
            raise Outdated
        if answer.status == HTTPStatus.UNAUTHORIZED:
            return Throttled(None, "the ERP answered 401: user, password or token are not accepted")
        told = classify(answer, self._now(), replays=self.accepts(service) is not False)
        if isinstance(told, Rejected) and words and answer.status != HTTPStatus.FORBIDDEN:
            return Rejected(f"the ERP answered {answer.status}: {words}")
        return told

    async def _fetch(self, own: Own, service: str, headers: Mapping[str, str]) -> Answer:
        """Fetch a token for a service into a session. Raises `Unreachable` and `Refused`."""
        answer = await self._get(f"{ROOT}/{service}/", None, {**headers, _TOKEN: "Fetch"}, own.client)
        told = answer.headers.get(_TOKEN, "")
        if not told or told.lower() == "required":
            raise Refused("SAP gives no CSRF token; is the user allowed to use the service?")
        own.tokens[service] = told
        return answer

    def _note(self, service: str, answer: Answer) -> None:
        said = answer.headers.get("repeatabilityresult", "").lower()
        if said in {"accepted", "unsupported"}:
            self._accepts[service] = said == "accepted"

    async def _get(
        self,
        path: str,
        params: dict[str, str] | None,
        headers: Mapping[str, str] | None = None,
        client: ErpClient | None = None,
    ) -> Answer:
        try:
            answer = await (client or self._client).ask("GET", path, params=params, headers=dict(headers or {}))
        except Lost as lost:
            raise Unreachable(f"{self._name}: {lost.cause}") from lost
        if answer.status == HTTPStatus.UNAUTHORIZED:
            raise NotAccepted("the ERP answered 401: user, password or token are not accepted")
        if answer.status == HTTPStatus.OK:
            return answer
        no = refusal(answer, self._now())
        words = _words(answer)[1]
        if answer.status == HTTPStatus.NOT_FOUND:
            raise Gone(f"the ERP answered 404: {words}" if words else str(no))
        if answer.status == HTTPStatus.FORBIDDEN:
            raise Barred(str(no))
        if isinstance(no, Refused) and words:
            raise Refused(f"the ERP answered {answer.status}: {words}")
        raise no


def _inside(answer: Answer) -> Any:
    """Give what stands in the `d` of an OData V2 answer; None for what is none."""
    try:
        said = answer.json()
    except (ValueError, RecursionError):
        return None
    return said.get("d") if isinstance(said, dict) else None


def _words(answer: Answer) -> tuple[str, str]:
    """Give code and words of an OData error, with the property that it names; nothing of its insides."""
    try:
        said = answer.json()
    except (ValueError, RecursionError):
        return "", ""
    error = said.get("error") if isinstance(said, dict) else None
    if not isinstance(error, dict):
        return "", ""
    code, message = error.get("code"), error.get("message")
    text = clean(message.get("value") if isinstance(message, dict) else message)
    inner = error.get("innererror")
    details = inner.get("errordetails") if isinstance(inner, dict) else None
    first = details[0] if isinstance(details, list) and details and isinstance(details[0], dict) else {}
    target = first.get("target") or first.get("propertyref")
    place = f"field {target}: " if isinstance(target, str) and target and set(target) <= _SAFE else ""
    return code if isinstance(code, str) else "", f"{place}{text}" if text else ""
