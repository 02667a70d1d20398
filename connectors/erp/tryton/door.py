"""Tryton's REST: paths, domains, and what its answers mean."""

import base64
import json
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any
from urllib.parse import quote, urlencode

from connectors.erp.http import Answer, ErpClient, Lost, classify, lost_outcome, refusal
from gateway.core.delivery import Outcome, Throttled
from gateway.core.errors import Refused, Unreachable
from gateway.core.ports import Clock

Row = dict[str, Any]
Domain = list[Any]


class Failed(Unreachable):
    """A question was answered, with `status` and not with what was asked."""

    def __init__(self, status: int, told: Unreachable) -> None:
        super().__init__(str(told), after=told.after)
        self.status = status


class Door:
    """One database of a Tryton. Questions raise `Unreachable` or `Refused`; writes give a row or an outcome."""

    def __init__(self, name: str, client: ErpClient, database: str, company: int, now: Clock) -> None:
        self.name, self._client, self._now = name, client, now
        self._root = f"/{quote(database, safe='')}/rest/model"
        self._headers = {"content-type": "application/json", "x-tryton-context": _packed({"company": company})}

    async def search(self, model: str, domain: Domain, fields: Sequence[str], limit: int) -> list[Row]:
        """Give the records that fit, the oldest first."""
        asked = [("d", _packed(domain)), ("o", _packed([["id", "ASC"]])), ("s", str(limit))]
        said = await self._ask("GET", model, [*asked, *_wanted(fields)])
        if not isinstance(said, list) or not all(isinstance(row, dict) and _is_id(row.get("id")) for row in said):
            raise Refused("the answer is no list of records; is base_url a Tryton?")
        return said

    async def call(self, model: str, method: str, arguments: Row) -> Any:
        """Ask a method that changes nothing."""
        return await self._ask("POST", f"{model}/{method}", [], json.dumps(arguments).encode())

    async def write(self, method: str, path: str, fields: Sequence[str], body: Row) -> Row | Outcome:
        """Create, change, or press a button: the record as it is then, or what became of the request."""
        content = json.dumps(body, ensure_ascii=False, sort_keys=True).encode()
        try:
            answer = await self._send(method, path, _wanted(fields), content)
        except Lost as lost:
            return lost_outcome(lost)
        row = _decoded(answer)
        if answer.status == HTTPStatus.OK and isinstance(row, dict) and _is_id(row.get("id")):
            return row
        if answer.status == HTTPStatus.UNAUTHORIZED:
            return Throttled(None, "the ERP answered 401: the key is not accepted")
        return classify(answer, self._now(), replays=False)

    async def close(self) -> None:
        """Close every connection."""
        await self._client.close()

    async def _ask(self, method: str, path: str, params: Sequence[tuple[str, str]], content: bytes = b"") -> Any:
        try:
            answer = await self._send(method, path, params, content or None)
        except Lost as lost:
            raise Unreachable(f"{self.name}: {lost.cause}") from lost
        if answer.status != HTTPStatus.OK:
            told = refusal(answer, self._now())
            raise Failed(answer.status, told) if isinstance(told, Unreachable) else told
        return _decoded(answer)

    async def _send(
        self, method: str, path: str, params: Sequence[tuple[str, str]], content: bytes | None = None
    ) -> Answer:
        # `f` repeats, so the query is encoded here.
        asked = f"?{urlencode(params)}" if params else ""
        return await self._client.ask(method, f"{self._root}/{path}{asked}", content=content, headers=self._headers)


def _wanted(fields: Sequence[str]) -> list[tuple[str, str]]:
    return [("f", name) for name in fields if name]


def _packed(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode()


def _decoded(answer: Answer) -> Any:
    """Decode a body; what is no JSON is None."""
    try:
        return answer.json()
    except (ValueError, RecursionError):
        return None


def _is_id(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
