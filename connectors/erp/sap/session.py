"""SAP Gateway's doors: questions, and writes under a CSRF token that one request fetches for all."""

import asyncio
import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from connectors.erp.http import Answer, ErpClient, Lost, classify, clean, lost_outcome, refusal
from connectors.erp.oauth import ClientCredentials, NoToken
from gateway.core.delivery import Outcome, Rejected, Throttled, Uncertain
from gateway.core.errors import Refused, Unreachable
from gateway.core.ports import Clock

ROOT = "/sap/opu/odata/sap"
OUTDATED = "/IWBEP/CM_COS"
_TOKEN = "x-csrf-token"  # noqa: S105  a header's name
_SAFE = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_/.")


class NotAccepted(Unreachable):
    """User, password, certificate or token are not accepted."""


class Stale(Exception):
    """Somebody else changed the entity since it was read (412)."""


class Outdated(Exception):
    """SAP knows the RequestID, and no longer what came of it: it was carried out."""


class Session:
    """One user's session with one SAP. Questions raise `Unreachable` or `Refused`; writes give a row or an outcome.

    The token belongs to the session's cookie: requests that fetch at once would take each other's away, so one
    fetches for all. A token that SAP does not want any more is fetched once more, and then the request waits.
    `accepts` says whether SAP honours a RequestID, as it said last; None while it has not said.
    """

    def __init__(self, name: str, client: ErpClient, tokens: ClientCredentials | None, now: Clock) -> None:
        self._name, self._client, self._auth, self._now = name, client, tokens, now
        self._tokens: dict[str, str] = {}
        self._fetching = asyncio.Lock()
        self.accepts: bool | None = None

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
        inner = row.get("__metadata")
        told = inner.get("etag") if isinstance(inner, dict) else None
        return row, answer.headers.get("etag") or (told if isinstance(told, str) else "")

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
        answer = await self._get(f"{ROOT}/{service}/", None, {**headers, _TOKEN: "Fetch"})
        self._note(answer)
        self._keep(service, answer)

    async def write(
        self, method: str, service: str, rest: str, body: Mapping[str, Any] | None, headers: Mapping[str, str]
    ) -> dict[str, Any] | Outcome:
        """Send a change once: the entity that SAP gives ({} for none), or what became of it.

        Raises `Unreachable` and `Refused` when there is no token, so that nothing was sent, `Stale`, `Outdated`.
        """
        content = None if body is None else json.dumps(body, ensure_ascii=False, sort_keys=True).encode()
        for last in (False, True):
            held = await self._token(service)
            sent = {"content-type": "application/json", **headers, _TOKEN: held}
            try:
                answer = await self._client.ask(method, f"{ROOT}/{service}/{rest}", content=content, headers=sent)
            except Lost as lost:
                return lost_outcome(lost)
            if answer.status != HTTPStatus.FORBIDDEN or answer.headers.get(_TOKEN, "").lower() != "required":
                break
            # Another request may have fetched a new one by now.
            if self._tokens.get(service) is held:
                del self._tokens[service]
            if last:
                return Throttled(None, "the ERP answered 403: the CSRF token was refused twice")
        self._note(answer)
        return self._outcome(answer)

    async def close(self) -> None:
        """Close every connection."""
        if self._auth is not None:
            await self._auth.close()
        await self._client.close()

    def _outcome(self, answer: Answer) -> dict[str, Any] | Outcome:
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
        told = classify(answer, self._now(), replays=self.accepts is not False)
        if isinstance(told, Rejected) and words and answer.status != HTTPStatus.FORBIDDEN:
            return Rejected(f"the ERP answered {answer.status}: {words}")
        return told

    async def _token(self, service: str) -> str:
        if service not in self._tokens:
            async with self._fetching:
                if service not in self._tokens:
                    answer = await self._get(f"{ROOT}/{service}/", None, {_TOKEN: "Fetch"})
                    self._keep(service, answer)
        return self._tokens[service]

    def _keep(self, service: str, answer: Answer) -> None:
        told = answer.headers.get(_TOKEN, "")
        if not told or told.lower() == "required":
            raise Refused("SAP gives no CSRF token; is the user allowed to use the service?")
        self._tokens[service] = told

    def _note(self, answer: Answer) -> None:
        said = answer.headers.get("repeatabilityresult", "").lower()
        if said in {"accepted", "unsupported"}:
            self.accepts = said == "accepted"

    async def _get(self, path: str, params: dict[str, str] | None, headers: Mapping[str, str] | None = None) -> Answer:
        try:
            answer = await self._client.ask("GET", path, params=params, headers=dict(headers or {}))
        except Lost as lost:
            raise Unreachable(f"{self._name}: {lost.cause}") from lost
        if answer.status == HTTPStatus.UNAUTHORIZED:
            raise NotAccepted("the ERP answered 401: user, password or token are not accepted")
        if answer.status == HTTPStatus.OK:
            return answer
        no = refusal(answer, self._now())
        words = _words(answer)[1]
        if isinstance(no, Refused) and words and answer.status != HTTPStatus.FORBIDDEN:
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
