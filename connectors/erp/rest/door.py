"""Requests of a plan: slots filled in, answers read."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import msgspec

from connectors.erp.http import Answer, ErpClient, Lost, classify, lost_outcome, refusal
from connectors.erp.rest import template
from connectors.erp.rest.plan import Call
from gateway.core.delivery import Outcome, Throttled
from gateway.core.errors import Unreachable
from gateway.core.ports import Clock

Values = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Said:
    """An answer with its status, its JSON (None when it is none), its headers, and whether it was empty."""

    answer: Answer
    body: Any
    empty: bool

    @property
    def status(self) -> int:
        """The HTTP status."""
        return self.answer.status

    def header(self, name: str) -> str:
        """Give a header, "" when it is missing."""
        return str(self.answer.headers.get(name, ""))


def plainly(answer: Answer) -> Said:
    """Read an answer as it is."""
    try:
        body = answer.json()
    except (ValueError, RecursionError):
        body = None
    return Said(answer, body, not answer.body.strip())


Reading = Callable[[Answer], Said]
"""How an answer is read: a make of ERP may put its records and its errors into the common words here."""


class Door:
    """One REST interface. `replays`: it honours Idempotency-Key. `secret` is what a 401 is about."""

    def __init__(
        self, name: str, client: ErpClient, now: Clock, *, replays: bool, secret: str, read: Reading = plainly
    ) -> None:
        self.name, self._client, self._now = name, client, now
        self._replays, self._secret, self._read = replays, secret, read

    async def ask(self, call: Call, values: Values, *, missing: bool = False) -> Said:
        """Ask a question. With `missing` a 404 is an answer, too. Raises `Unreachable` or `Refused`."""
        try:
            said = self._read(await self._send(call, values, None, {}))
        except Lost as lost:
            raise Unreachable(f"{self.name}: {lost.cause}") from lost
        if said.status == HTTPStatus.NOT_FOUND and missing:
            return said
        if not HTTPStatus.OK <= said.status < HTTPStatus.MULTIPLE_CHOICES:
            raise refusal(said.answer, self._now())
        return said

    async def look(self, call: Call, values: Values) -> Said:
        """Ask, and take any answer. Raises `Unreachable` without one, `Refused` for what cannot be asked."""
        try:
            return self._read(await self._send(call, values, None, {}))
        except Lost as lost:
            raise Unreachable(f"{self.name}: {lost.cause}") from lost

    async def write(self, call: Call, values: Values, body: Any, headers: Mapping[str, str]) -> Said | Outcome:
        """Send what changes something: its answer whatever it is, or what it means that there is none.

        Raises `Refused` for values that cannot be sent; then nothing was.
        """
        content = body if isinstance(body, bytes) else None if body is None else msgspec.json.encode(body)
        try:
            return self._read(await self._send(call, values, content, headers))
        except Lost as lost:
            return lost_outcome(lost)

    def outcome(self, said: Said, *, creates: bool) -> Outcome:
        """Say what an answer other than the expected ones means."""
        told = classify(said.answer, self._now(), replays=self._replays and creates)
        if said.status == HTTPStatus.UNAUTHORIZED and isinstance(told, Throttled):
            return Throttled(told.after, f"the ERP answered {said.status}: {self._secret}")
        return told

    async def close(self) -> None:
        """Close every connection."""
        await self._client.close()

    async def _send(self, call: Call, values: Values, content: bytes | None, headers: Mapping[str, str]) -> Answer:
        sent = {name: template.header(text, values) for name, text in call.headers.items()}
        if content is not None:
            sent.setdefault("content-type", "application/json")
        return await self._client.ask(
            call.method,
            template.path(call.path, values),
            content=content,
            headers={**sent, **headers},
            params={name: template.text(text, values) for name, text in call.params.items()} or None,
        )
