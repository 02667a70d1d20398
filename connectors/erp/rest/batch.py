"""Several orders in one request, and what its answer says of each (pure)."""

from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

import httpx2
import msgspec

from connectors.erp.http import Answer
from connectors.erp.rest.door import Said
from connectors.erp.rest.plan import Batch, Record
from connectors.erp.rest.record import dig, put, word

_JSON = httpx2.Headers({"content-type": "application/json"})


def packed(batch: Batch, orders: Sequence[tuple[str, dict[str, Any]]]) -> bytes:
    """Encode orders (key and fields) as the body of one request."""
    rows = []
    for key, fields in orders:
        row: dict[str, Any] = {}
        if batch.item:
            put(row, batch.item, fields)
        else:
            row |= fields
        if batch.key:
            put(row, batch.key, key)
        rows.append(row)
    if not batch.rows:
        return msgspec.json.encode(rows, order="sorted")
    body: dict[str, Any] = {}
    put(body, batch.rows, rows)
    return msgspec.json.encode(body, order="sorted")


def opened(batch: Batch, record: Record, said: Said, count: int) -> list[Said] | None:
    """Give each order's part of the answer as if it had been asked for alone; None when that cannot be told."""
    entries = dig(said.body, batch.answers)
    if not isinstance(entries, list) or len(entries) != count:
        return None
    return [_one(batch, record, entry) for entry in entries]


def _one(batch: Batch, record: Record, entry: Any) -> Said:
    row = dig(entry, batch.record)
    told = word(dig(entry, batch.status)) if batch.status else ""
    if told.isdecimal() and HTTPStatus.OK <= int(told) <= 599:  # noqa: PLR2004  the last status there is
        status = int(told)
    elif word(dig(dig(row, record.at), record.number)):
        status = int(HTTPStatus.CREATED)
    else:
        # It says neither yes nor no: nobody knows.
        status = int(HTTPStatus.INTERNAL_SERVER_ERROR)
    body = row if status < HTTPStatus.BAD_REQUEST else dig(entry, batch.error)
    if isinstance(body, str):
        body = {"detail": body}
    return Said(Answer(status, _JSON, msgspec.json.encode(body)), body, empty=body is None)
