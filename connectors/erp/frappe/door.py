"""Frappe's two REST interfaces: documents, their DocType, and what its answers mean."""

import json
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any, Literal
from urllib.parse import quote

import msgspec

from connectors.erp.http import Answer, ErpClient, Lost, classify, clean, lost_outcome, refusal
from connectors.erp.markup import words
from connectors.erp.oauth import ClientCredentials, NoToken
from gateway.core.delivery import Outcome, Rejected, Throttled, Uncertain
from gateway.core.errors import Refused, Unreachable
from gateway.core.ports import Clock

Row = dict[str, Any]
Api = Literal["v1", "v2"]
_DUPLICATE = frozenset({"DuplicateEntryError", "UniqueValidationError"})
_STALE = "TimestampMismatchError"
_ORDINARY = frozenset({"Message", "Error"})


class NotAccepted(Unreachable):
    """Key or token are not accepted (any more)."""


class NoTokenEver(Refused):
    """The token endpoint refuses the client itself."""


class Duplicate(Exception):
    """A document with this name, or this value in a unique field, is there already (409, 417)."""


class Stale(Exception):
    """Somebody else changed the document since it was read (417)."""


class Said(msgspec.Struct, frozen=True):
    """What an error says: the name of Frappe's exception, and its words without markup."""

    kind: str = ""
    words: str = ""


class Door:
    """One site. Questions raise `Unreachable` or `Refused`; changes give a row or an outcome."""

    def __init__(
        self, name: str, client: ErpClient, doctype: str, api: Api, now: Clock, tokens: ClientCredentials | None
    ) -> None:
        self._name, self._client, self._doctype, self._api, self._now = name, client, doctype, api, now
        self._auth = tokens
        root = "/api/resource/" if api == "v1" else "/api/v2/document/"
        self._root = root + quote(doctype, safe="")

    async def ready(self) -> None:
        """Fetch a token where there is one to fetch. Raises `Unreachable`, `NoTokenEver`."""
        if self._auth is not None:
            try:
                await self._auth.token()
            except NoToken as none:
                if none.refused:
                    raise NoTokenEver(f"{none}; consent anew and put the new refresh token into the settings") from none
                raise

    async def meta(self, doctype: str) -> Row:
        """Give a DocType with its fields."""
        if self._api == "v2":
            said = await self._ask(f"/api/v2/doctype/{quote(doctype, safe='')}/meta", None)
            return said if isinstance(said, dict) else {}
        answer = await self._get("/api/method/frappe.desk.form.load.getdoctype", {"doctype": doctype})
        docs = _decoded(answer).get("docs")
        return next((one for one in docs or () if isinstance(one, dict) and one.get("name") == doctype), {})

    async def call(self, method: str, arguments: Mapping[str, str]) -> Any:
        """Call a method that changes nothing."""
        return await self._ask(f"/api/{'v2/' if self._api == 'v2' else ''}method/{method}", arguments)

    async def search(self, filters: Sequence[Sequence[str]], fields: Sequence[str], limit: int) -> list[Row]:
        """Give the documents that fit, the oldest first."""
        return await self._rows(self._root, filters, fields, limit)

    async def there(self, doctype: str, name: str) -> bool:
        """Say whether a document of another DocType is there, and seen by us."""
        root = self._root.rsplit("/", 1)[0]
        return bool(await self._rows(f"{root}/{quote(doctype, safe='')}", [["name", "=", name]], ["name"], 1))

    async def make(self, body: Row) -> Row | Outcome:
        """Create a document, once: as it is then, or what became of the request. Raises `Duplicate`."""
        return await self._change("POST", self._root, body)

    async def change(self, name: str, body: Row) -> Row | Outcome:
        """Change a document, once: as it is then, or what became of the request. Raises `Stale`."""
        return await self._change("PUT", f"{self._root}/{quote(name, safe='')}", body)

    async def close(self) -> None:
        """Close every connection."""
        if self._auth is not None:
            await self._auth.close()
        await self._client.close()

    async def _rows(self, path: str, filters: Sequence[Sequence[str]], fields: Sequence[str], limit: int) -> list[Row]:
        bound = "limit" if self._api == "v2" else "limit_page_length"
        asked = {
            "filters": json.dumps(list(filters)),
            "fields": json.dumps(list(fields)),
            "order_by": "creation asc",
            bound: str(limit),
        }
        rows = await self._ask(path, asked)
        if not isinstance(rows, list) or not all(isinstance(row, dict) and _named(row) for row in rows):
            raise Refused("the answer is no list of documents; is base_url a Frappe site?")
        return rows

    async def _ask(self, path: str, params: Mapping[str, str] | None) -> Any:
        said = _decoded(await self._get(path, params))
        return said.get("data", said.get("message"))

    async def _get(self, path: str, params: Mapping[str, str] | None) -> Answer:
        try:
            answer = await self._client.ask("GET", path, params=None if params is None else dict(params))
        except Lost as lost:
            raise Unreachable(f"{self._name}: {lost.cause}") from lost
        if answer.status == HTTPStatus.OK:
            return answer
        if answer.status == HTTPStatus.UNAUTHORIZED:
            raise NotAccepted(f"{self._name}: the ERP answered 401: key or token are not accepted")
        no, said = refusal(answer, self._now()), self._words(answer, read(answer))
        if isinstance(no, Refused) and said:
            raise Refused(f"the ERP answered {answer.status}: {said}")
        raise no

    async def _change(self, method: str, path: str, body: Row) -> Row | Outcome:
        content = json.dumps(body, ensure_ascii=False, sort_keys=True).encode()
        headers = {"content-type": "application/json"}
        try:
            answer = await self._client.ask(method, path, content=content, headers=headers)
        except Lost as lost:
            return lost_outcome(lost)
        if HTTPStatus.OK <= answer.status < HTTPStatus.MULTIPLE_CHOICES:
            row = _decoded(answer).get("data")
            if isinstance(row, dict) and _named(row):
                return row
            return Uncertain(f"the ERP answered {answer.status} without a document")
        if answer.status == HTTPStatus.UNAUTHORIZED:
            return Throttled(None, "the ERP answered 401: key or token are not accepted")
        said = read(answer)
        if said.kind in _DUPLICATE or (method == "POST" and answer.status == HTTPStatus.CONFLICT):
            raise Duplicate
        if said.kind == _STALE:
            raise Stale
        told, clear = classify(answer, self._now(), replays=False), self._words(answer, said)
        return Rejected(f"the ERP answered {answer.status}: {clear}") if isinstance(told, Rejected) and clear else told

    def _words(self, answer: Answer, said: Said) -> str:
        """Say what these mean in our own words where Frappe's hold a user's name."""
        if answer.status == HTTPStatus.FORBIDDEN:
            return f"no right on {self._doctype}; see the roles of the key's user"
        return said.words


def read(answer: Answer) -> Said:
    """Read an error of either interface; its traceback is left where it is."""
    said = _decoded(answer)
    errors = said.get("errors")
    if isinstance(errors, list) and errors and isinstance(errors[0], dict):
        first = errors[0]
        return Said(str(first.get("type") or ""), _told(first))
    told = said.get("_server_messages")
    try:
        messages = [json.loads(one) for one in json.loads(told)] if isinstance(told, str) else []
    except (ValueError, TypeError, RecursionError):
        messages = []
    heard = [_told(one) for one in messages if isinstance(one, dict)]
    return Said(str(said.get("exc_type") or _class_of(said.get("exception"))), heard[-1] if heard else "")


def _class_of(exception: object) -> str:
    """Give the name out of "frappe.exceptions.DuplicateEntryError: ..", as older sites say it."""
    return exception.partition(":")[0].rpartition(".")[2] if isinstance(exception, str) else ""


def _told(message: Mapping[str, Any]) -> str:
    title, text = message.get("title"), message.get("message")
    place = clean(title) if isinstance(title, str) and title not in _ORDINARY else ""
    plain = clean(words(text)) if isinstance(text, str) else ""
    return ": ".join(part for part in (place, plain) if part)


def _decoded(answer: Answer) -> Row:
    """Decode a body; what is no JSON object is an empty one."""
    try:
        said = answer.json()
    except (ValueError, RecursionError):
        return {}
    return said if isinstance(said, dict) else {}


def _named(row: Row) -> bool:
    name = row.get("name")
    return (isinstance(name, str) and bool(name)) or (isinstance(name, int) and not isinstance(name, bool))
