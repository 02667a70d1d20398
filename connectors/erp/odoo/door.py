"""Odoo's JSON-2: one call is one transaction, and what its answers mean."""

import json
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from connectors.erp.http import Answer, ErpClient, Lost, classify, clean, lost_outcome, refusal
from gateway.core.delivery import Outcome, Rejected, Throttled, Uncertain
from gateway.core.errors import Refused, Unreachable
from gateway.core.ports import Clock

Row = dict[str, Any]
GROUPS = {"maintenance.request": "Equipment Manager", "quality.alert": "the group User of Quality"}
"""Who may write the records that carry orders."""
_EDITIONS = dict.fromkeys(("quality.alert", "quality.alert.stage"), " (Quality, of Odoo Enterprise)")
_BUSY = "could not serialize access"
_SAFE = frozenset("abcdefghijklmnopqrstuvwxyz0123456789_/.")


class NotAccepted(Unreachable):
    """The key is not accepted (any more)."""


class Door:
    """One database of an Odoo. Questions raise `Unreachable` or `Refused`; changes give a value or an outcome."""

    def __init__(self, name: str, client: ErpClient, now: Clock) -> None:
        self._name, self._client, self._now = name, client, now

    async def ask(self, model: str, method: str, arguments: Mapping[str, Any]) -> Any:
        """Call a method that changes nothing."""
        try:
            answer = await self._send(model, method, arguments)
        except Lost as lost:
            raise Unreachable(f"{self._name}: {lost.cause}") from lost
        if answer.status == HTTPStatus.UNAUTHORIZED:
            raise NotAccepted(f"{self._name}: the ERP answered 401: the API key is not accepted")
        if answer.status != HTTPStatus.OK:
            known = self._words(answer, model)
            raise Refused(f"the ERP answered {answer.status}: {known}") if known else refusal(answer, self._now())
        return _decoded(answer)

    async def search(self, model: str, domain: Sequence[Sequence[Any]], fields: Sequence[str], limit: int) -> list[Row]:
        """Give the records that fit, the oldest first."""
        arguments = {"domain": list(domain), "fields": list(fields), "limit": limit, "order": "id"}
        rows = await self.ask(model, "search_read", arguments)
        if not isinstance(rows, list) or not all(isinstance(row, dict) and _is_id(row.get("id")) for row in rows):
            raise Refused("the answer is no list of records; is base_url an Odoo with JSON-2?")
        return rows

    async def change(self, model: str, method: str, arguments: Mapping[str, Any]) -> Any | Outcome:
        """Call a method that changes something, once: what it gives, or what became of it."""
        try:
            answer = await self._send(model, method, arguments)
        except Lost as lost:
            return lost_outcome(lost)
        if answer.status == HTTPStatus.OK:
            said = _decoded(answer)
            return Uncertain("the ERP answered 200 with what is no JSON") if said is None else said
        if answer.status == HTTPStatus.UNAUTHORIZED:
            return Throttled(None, "the ERP answered 401: the API key is not accepted")
        known = self._words(answer, model)
        if known:
            return Rejected(f"the ERP answered {answer.status}: {known}")
        return classify(answer, self._now(), replays=False)

    async def close(self) -> None:
        """Close every connection."""
        await self._client.close()

    async def _send(self, model: str, method: str, arguments: Mapping[str, Any]) -> Answer:
        content = json.dumps(arguments, ensure_ascii=False, separators=(",", ":")).encode()
        headers = {"content-type": "application/json"}
        return await self._client.ask("POST", f"/json/2/{model}/{method}", content=content, headers=headers)

    def _words(self, answer: Answer, model: str) -> str:
        """Say what these mean in our own words: Odoo's hold a user's name."""
        if answer.status == HTTPStatus.FORBIDDEN:
            return f"no right on {model}; the integration user needs {GROUPS.get(model, 'Equipment Manager')}"
        if answer.status == HTTPStatus.NOT_FOUND:
            return (
                f"there is no {model}; is the module installed{_EDITIONS.get(model, '')}, and the record not deleted?"
            )
        return ""


def refused_load(said: Any) -> Outcome | None:
    """Say what a 200 of `load` without ids means; None when it has ids.

    The transaction was taken back: nothing was made.
    """
    if not isinstance(said, dict):
        return Uncertain("the ERP answered 200 with what is no result of load")
    if isinstance(said.get("ids"), list) and said["ids"]:
        return None
    messages = said.get("messages")
    rows = [row for row in messages if isinstance(row, dict)] if isinstance(messages, list) else []
    if any(_BUSY in str(row.get("message", "")) for row in rows):
        return Throttled(None, f"the ERP answered 200 with an error: {_BUSY}")
    first = next((row for row in rows if row.get("type") == "error"), rows[0] if rows else {})
    field = first.get("field")
    place = f"field {field}: " if isinstance(field, str) and field and set(field) <= _SAFE else ""
    return Rejected(f"the ERP answered 200 with an error: {place}{clean(first.get('message')) or 'no reason given'}")


def _decoded(answer: Answer) -> Any:
    try:
        return answer.json()
    except (ValueError, RecursionError):
        return None


def _is_id(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0
