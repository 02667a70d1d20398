"""Submit a quality report and print the order it led to: `python examples/report.py http://127.0.0.1:8000 TEXT`."""

import json
import sys
import time
import urllib.request
from datetime import UTC, datetime


def call(url: str, body: dict[str, str] | None = None) -> dict[str, object]:
    """Ask the gateway; a body makes it a POST."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})  # noqa: S310  (the user's URL)
    with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310  (the user's URL)
        found: dict[str, object] = json.load(answer)
        return found


def main() -> None:
    """Submit, wait until it was read, print."""
    base, text = sys.argv[1], sys.argv[2]
    now = datetime.now(UTC)
    taken = call(
        f"{base}/api/v1/reports", {"id": f"example-{now:%H%M%S%f}", "text": text, "reported_at": now.isoformat()}
    )
    for _ in range(50):
        report = call(f"{base}{taken['href']}")
        if report["extraction"] is not None:
            print(
                json.dumps(
                    {"extraction": report["extraction"], "order": report["order_key"]}, ensure_ascii=False, indent=1
                )
            )
            return
        time.sleep(0.1)
    sys.exit("the report is on disk and was not read yet")


if __name__ == "__main__":
    main()
