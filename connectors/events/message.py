"""Message: an event as CloudEvents 1.0 writes it over HTTP, structured or binary, and its signatures."""

from collections.abc import Sequence
from datetime import UTC, datetime
from urllib.parse import quote

import msgspec
from standardwebhooks.webhooks import Webhook

from gateway.core.event import Event

STRUCTURED = "application/cloudevents+json"
_JSON = "application/json"
# CloudEvents HTTP binding 3.1.3.2: what is printable ASCII stays, but for space, quote and percent.
_STAYS = "".join(chr(code) for code in range(0x21, 0x7F) if chr(code) not in '"%')
_DIGITS = 20


class _Document(msgspec.Struct, frozen=True):
    """The structured form. `sequence` is the CloudEvents extension of that name: it sorts as text."""

    specversion: str
    id: str
    source: str
    type: str
    subject: str
    time: str
    datacontenttype: str
    sequence: str
    data: msgspec.Raw


def written(event: Event, form: str) -> tuple[dict[str, str], bytes]:
    """Give headers and body of an event in its "structured" or "binary" form."""
    attributes = {
        "specversion": "1.0",
        "id": event.id,
        "source": event.source,
        "type": event.type,
        "subject": event.subject,
        "time": event.time.astimezone(UTC).isoformat().replace("+00:00", "Z"),
        "sequence": f"{event.sequence:0{_DIGITS}}",
    }
    if form == "binary":
        headers = {f"ce-{name}": quote(value, safe=_STAYS) for name, value in attributes.items()}
        return {**headers, "content-type": _JSON}, event.data
    document = _Document(**attributes, datacontenttype=_JSON, data=msgspec.Raw(event.data))
    return {"content-type": STRUCTURED}, msgspec.json.encode(document)


def signed(signers: Sequence[Webhook], event: Event, body: bytes, at: datetime) -> dict[str, str]:
    """Give the headers of Standard Webhooks: a signature by every live secret, over id, time and body."""
    at = at.astimezone(UTC)  # the library takes any other zone's clock for UTC
    text = body.decode()
    return {
        "webhook-id": event.id,
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": " ".join(signer.sign(event.id, at, text) for signer in signers),
    }
