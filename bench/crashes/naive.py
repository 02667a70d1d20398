"""An integration as it is written first: send until it is answered, remember it then. It makes the baseline."""

import json
import random
import sqlite3
import sys
import time
from pathlib import Path

import httpx2

OK = range(200, 300)
REFUSED = 401


def run(folder: Path, ready: dict[str, str], name: str) -> None:
    """Take on a new order every tenth of a second and send all that are not remembered as sent, for ever."""
    database = sqlite3.connect(folder / "naive.db", isolation_level=None)
    database.execute("PRAGMA journal_mode=WAL")
    database.execute("CREATE TABLE IF NOT EXISTS orders (key TEXT PRIMARY KEY, sent INTEGER NOT NULL DEFAULT 0)")
    with httpx2.Client(base_url=ready["base_url"], timeout=1.0, trust_env=False) as http:
        print("UP", flush=True)
        token, due = "", time.monotonic()
        while True:
            if time.monotonic() >= due:
                [(count,)] = database.execute("SELECT count(*) FROM orders").fetchall()
                database.execute("INSERT INTO orders (key) VALUES (?)", (f"{name}-{count}",))
                due = time.monotonic() + 0.1
            for (key,) in database.execute("SELECT key FROM orders WHERE sent = 0 ORDER BY rowid").fetchall():
                try:
                    token = token or _token(http, ready)
                    body = {"reference": key, "title": "a trouble", "equipment": "M-01"}
                    answer = http.post("/api/orders", json=body, headers={"authorization": f"Bearer {token}"})
                except httpx2.HTTPError:
                    continue
                if answer.status_code in OK:
                    database.execute("UPDATE orders SET sent = 1 WHERE key = ?", (key,))
                elif answer.status_code == REFUSED:
                    token = ""
            time.sleep(random.uniform(0.01, 0.05))  # noqa: S311  (no secret)


def _token(http: httpx2.Client, ready: dict[str, str]) -> str:
    form = {
        "grant_type": "client_credentials",
        "client_id": ready["client_id"],
        "client_secret": ready["client_secret"],
        "audience": "erp",
    }
    return str(http.post(ready["token_url"], data=form).json()["access_token"])


def accepted(folder: Path) -> set[str]:
    """Give the orders that it took on."""
    with sqlite3.connect(folder / "naive.db") as database:
        return {key for (key,) in database.execute("SELECT key FROM orders")}


if __name__ == "__main__":
    run(Path(sys.argv[1]), json.loads(sys.argv[2]), sys.argv[3])
