"""The ERP's own database: orders, idempotency keys and the journal of requests. The oracle of every test."""

import asyncio
import json
import sqlite3
import time
from dataclasses import dataclass
from typing import Any

_SCHEMA = """
CREATE TABLE IF NOT EXISTS orders (
  id INTEGER PRIMARY KEY AUTOINCREMENT, reference TEXT NOT NULL, equipment TEXT, title TEXT NOT NULL,
  status TEXT NOT NULL, closing_code TEXT, version INTEGER NOT NULL, body TEXT NOT NULL,
  created_at REAL NOT NULL, updated_at REAL NOT NULL, chosen TEXT UNIQUE, made_by TEXT NOT NULL DEFAULT '');
CREATE INDEX IF NOT EXISTS orders_reference ON orders (reference);
CREATE TABLE IF NOT EXISTS keys (
  key TEXT PRIMARY KEY, fingerprint TEXT NOT NULL, answer TEXT, number INTEGER, at REAL NOT NULL);
CREATE TABLE IF NOT EXISTS requests (
  id INTEGER PRIMARY KEY AUTOINCREMENT, at REAL NOT NULL, method TEXT NOT NULL, path TEXT NOT NULL,
  reference TEXT NOT NULL, told TEXT NOT NULL);
"""
_MOST_LINES = 500


@dataclass(frozen=True, slots=True)
class Order:
    """One record. Times are wall clock seconds; `body` is what the client sent, `made_by` the user who made it."""

    id: int
    reference: str
    equipment: str | None
    title: str
    status: str
    closing_code: str | None
    version: int
    body: dict[str, Any]
    created_at: float
    updated_at: float
    chosen: str | None = None
    made_by: str = ""

    @property
    def number(self) -> str:
        """Give the number that the ERP shows: the one that the client chose, or its own."""
        return self.chosen or f"WO-{self.id:07d}"

    def view(self) -> dict[str, Any]:
        """Give the record as the API shows it."""
        return {
            "number": self.number,
            "reference": self.reference,
            "equipment": self.equipment,
            "title": self.title,
            "status": self.status,
            "closing_code": self.closing_code,
            "version": self.version,
            "created_at": _iso(self.created_at),
            "created_by": self.made_by,
            "updated_at": _iso(self.updated_at),
            "order": self.body,
        }


@dataclass(frozen=True, slots=True)
class Seen:
    """An idempotency key that was used. `answer` is None while its first request still runs."""

    fingerprint: str
    answer: dict[str, Any] | None


class TakenError(Exception):
    """Another order has this number."""


class Book:
    """The database; used from one thread.

    What is written in one round of the event loop is committed together right after it. `durable` returns when
    what was written before it is: nobody is answered sooner. The journal is written with the next order, or
    when it is read.
    """

    def __init__(self, path: str) -> None:
        self._db = sqlite3.connect(path, isolation_level=None)
        self._db.row_factory = sqlite3.Row
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=FULL")
        self._db.executescript(_SCHEMA)
        if "chosen" not in {row["name"] for row in self._db.execute("PRAGMA table_info(orders)")}:
            self._db.execute("ALTER TABLE orders ADD COLUMN chosen TEXT")
        if "made_by" not in {row["name"] for row in self._db.execute("PRAGMA table_info(orders)")}:
            self._db.execute("ALTER TABLE orders ADD COLUMN made_by TEXT NOT NULL DEFAULT ''")
        # A crash left these without an answer: nothing was committed under them.
        self._db.execute("DELETE FROM keys WHERE answer IS NULL")
        self._committed: asyncio.Future[None] | None = None
        self._closed = False
        self._lines: list[tuple[float, str, str, str, str]] = []

    def close(self) -> None:
        """Close the file."""
        self._flush()
        self._commit()
        self._db.close()
        self._closed = True

    async def durable(self) -> None:
        """Wait until all that was written is on the disk."""
        if self._committed is not None:
            await asyncio.shield(self._committed)

    def _begin(self) -> None:
        """Open the transaction of this round, if it is not open."""
        if self._db.in_transaction:
            return
        self._db.execute("BEGIN IMMEDIATE")
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            return
        self._committed = loop.create_future()
        loop.call_soon(self._commit)

    def _commit(self) -> None:
        if self._closed:
            return
        waiting, self._committed = self._committed, None
        try:
            if self._db.in_transaction:
                self._flush()
                self._db.execute("COMMIT")
        except sqlite3.Error as failed:
            if waiting is None:
                raise
            waiting.set_exception(failed)
        else:
            if waiting is not None:
                waiting.set_result(None)

    def _write(self, change: str, values: tuple[object, ...]) -> sqlite3.Cursor:
        self._begin()
        return self._db.execute(change, values)

    def seen(self, key: str, retention: float) -> Seen | None:
        """Look an idempotency key up; one older than `retention` seconds is forgotten."""
        row = self._db.execute("SELECT fingerprint, answer, at FROM keys WHERE key = ?", (key,)).fetchone()
        if row is None:
            return None
        if row["at"] < time.time() - retention:
            self._write("DELETE FROM keys WHERE key = ?", (key,))
            return None
        return Seen(row["fingerprint"], row["answer"] and json.loads(row["answer"]))

    def start(self, key: str, fingerprint: str) -> None:
        """Note that a request under this key began."""
        self._write("INSERT INTO keys VALUES (?, ?, NULL, NULL, ?)", (key, fingerprint, time.time()))

    def release(self, key: str) -> None:
        """Forget a key whose request failed before it changed anything."""
        self._write("DELETE FROM keys WHERE key = ? AND answer IS NULL", (key,))

    def commit(
        self, body: dict[str, Any], key: str | None, chosen: str | None = None, made_by: str = "interface"
    ) -> Order:
        """Make an order, and remember it under the key, in one transaction.

        `chosen` is the number that the client wants, `made_by` who makes it. Raises `TakenError` when another order
        has that number.
        """
        now = time.time()
        reference, equipment, title = str(body.get("reference", "")), body.get("equipment"), body["title"]
        try:
            cursor = self._write(
                "INSERT INTO orders"
                " (reference, equipment, title, status, version, body, created_at, updated_at, chosen, made_by)"
                " VALUES (?, ?, ?, 'OPEN', 1, ?, ?, ?, ?, ?)",
                (reference, equipment, title, json.dumps(body, ensure_ascii=False), now, now, chosen, made_by),
            )
        except sqlite3.IntegrityError as taken:
            raise TakenError(chosen) from taken
        number = int(cursor.lastrowid or 0)
        order = Order(number, reference, equipment, title, "OPEN", None, 1, body, now, now, chosen, made_by)
        if key is not None:
            self._db.execute(
                "UPDATE keys SET answer = ?, number = ? WHERE key = ?", (json.dumps(order.view()), order.id, key)
            )
        return order

    def change(self, number: str, fields: dict[str, Any]) -> Order | None:
        """Set status, closing code or title; None when there is no such order."""
        order = self.order(number)
        if order is None:
            return None
        self._write(
            "UPDATE orders SET status = ?, closing_code = ?, title = ?, version = version + 1, updated_at = ?"
            " WHERE id = ?",
            (
                fields.get("status", order.status),
                fields.get("closing_code", order.closing_code),
                fields.get("title", order.title),
                time.time(),
                order.id,
            ),
        )
        return self.order(number)

    def rewrite(self, order_id: int, body: dict[str, Any], status: str | None = None) -> Order | None:
        """Write over the whole body of an order; None when there is no such order."""
        self._write(
            "UPDATE orders SET body = ?, title = ?, status = coalesce(?, status), version = version + 1,"
            " updated_at = ? WHERE id = ?",
            (json.dumps(body, ensure_ascii=False), str(body.get("title", "")), status, time.time(), order_id),
        )
        return self._one("SELECT * FROM orders WHERE id = ?", (order_id,))

    def remove(self, order_id: int) -> None:
        """Take an order out."""
        self._write("DELETE FROM orders WHERE id = ?", (order_id,))

    def order(self, number: str) -> Order | None:
        """Give one order by its number."""
        digits = number.removeprefix("WO-")
        if digits.isdigit():
            return self._one("SELECT * FROM orders WHERE id = ?", (int(digits),))
        return self._one("SELECT * FROM orders WHERE chosen = ?", (number,))

    def orders(self, reference: str | None = None, *, before: float | None = None, limit: int = 10_000) -> list[Order]:
        """List orders, oldest first; `before` hides what is younger than this wall clock time."""
        until = time.time() if before is None else before
        if reference is None:
            rows = self._db.execute("SELECT * FROM orders WHERE created_at <= ? ORDER BY id LIMIT ?", (until, limit))
        else:
            rows = self._db.execute(
                "SELECT * FROM orders WHERE reference = ? AND created_at <= ? ORDER BY id LIMIT ?",
                (reference, until, limit),
            )
        return [_order(row) for row in rows]

    def note(self, method: str, path: str, reference: str, told: str) -> None:
        """Write one line of the journal: what was asked, and what the client was told."""
        self._lines.append((time.time(), method, path, reference, told))
        if len(self._lines) >= _MOST_LINES:
            self._flush()

    def _flush(self) -> None:
        lines, self._lines = self._lines, []
        if lines:
            self._begin()
            self._db.executemany(
                "INSERT INTO requests (at, method, path, reference, told) VALUES (?, ?, ?, ?, ?)", lines
            )

    def journal(self, limit: int = 1000) -> list[dict[str, Any]]:
        """Give the newest lines of the journal, oldest first."""
        self._flush()
        rows = self._db.execute("SELECT * FROM requests ORDER BY id DESC LIMIT ?", (limit,)).fetchall()
        return [dict(row) for row in reversed(rows)]

    def counts(self) -> dict[str, Any]:
        """Count requests, and commits per reference: more than one is a duplicate."""
        self._flush()
        told = self._db.execute("SELECT method, told, count(*) AS n FROM requests GROUP BY method, told")
        commits = self._db.execute("SELECT reference, count(*) AS n FROM orders GROUP BY reference")
        per_key = {row["reference"]: row["n"] for row in commits}
        answers: dict[str, int] = {}
        posts = requests = 0
        for row in told:
            answers[row["told"]] = answers.get(row["told"], 0) + row["n"]
            requests += row["n"]
            posts += row["n"] if row["method"] == "POST" else 0
        return {
            "requests": requests,
            "posts": posts,
            "told": answers,
            "commits": per_key,
            "duplicates": sum(n - 1 for key, n in per_key.items() if key),
        }

    def _one(self, question: str, values: tuple[object, ...]) -> Order | None:
        row = self._db.execute(question, values).fetchone()
        return None if row is None else _order(row)


def _order(row: sqlite3.Row) -> Order:
    return Order(**{**dict(row), "body": json.loads(row["body"])})


def _iso(at: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(at)) + f".{int(at % 1 * 1000):03d}Z"
