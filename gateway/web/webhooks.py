"""Inbound webhooks (Standard Webhooks): proven by signature, applied once."""

import hashlib
from typing import Any

import msgspec
from litestar import Request, Response, post
from litestar.di import NamedDependency

from gateway.core.delivery import StatusUpdate
from gateway.flow.receive import take_status
from gateway.runtime.gateway import Gateway
from gateway.web.bodies import decode, raw
from gateway.web.photo import look_at
from gateway.web.proofs import Verifier
from gateway.web.reports import ReportIn, ReportTaken, check, picture_of, taken


class Applied(msgspec.Struct, frozen=True):
    """The event is on disk; `applied` is False when it already was."""

    id: str
    applied: bool


class _Envelope(msgspec.Struct):
    """A payload as Standard Webhooks recommends it: {type, timestamp, data}."""

    type: str
    data: msgspec.Raw


def _payload(content: bytes) -> bytes:
    """Unwrap {type, timestamp, data}; a bare payload stays as it is."""
    try:
        return bytes(msgspec.json.decode(content, type=_Envelope).data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return content


@post("/webhooks/erp", status_code=202, opt={"scope": "signed", "body": StatusUpdate})
async def erp_status(
    request: Request[Any, Any, Any], gateway: NamedDependency[Gateway], erp_hooks: NamedDependency[Verifier]
) -> Applied:
    """Take in what the ERP says about one of our orders; each event is applied once.

    Of an ERP that is not said to sign, it is only a reason to ask.
    """
    content = await raw(request, gateway.api.max_body)
    event = erp_hooks.event_of(request.headers, content)
    update = decode(_payload(content), StatusUpdate)
    applied = await take_status(
        gateway.store,
        update,
        event,
        hashlib.sha256(content).hexdigest(),
        gateway.now,
        trusted=gateway.erp_signs,
        false_codes=gateway.false_codes,
    )
    gateway.wake_follow()
    return Applied(event, applied)


@post("/webhooks/reports", status_code=202, opt={"scope": "signed", "body": ReportIn})
async def signed_report(
    request: Request[Any, Any, Any], gateway: NamedDependency[Gateway], report_hooks: NamedDependency[Verifier]
) -> Response[ReportTaken]:
    """Take in a report that another system signed. Without an `id` of its own it gets the event's."""
    content = await raw(request, gateway.api.max_body + gateway.api.max_photo * 4 // 3)
    event = report_hooks.event_of(request.headers, content)
    given = decode(_payload(content), ReportIn)
    check(gateway, given, known=False)
    picture = picture_of(given.photo, gateway.api.max_photo)
    photo = await look_at(picture) if picture is not None else None
    named = msgspec.structs.replace(given, id=given.id or _named(event))
    return await taken(request, gateway, named, photo, "webhook")


def _named(event: str) -> str:
    """Name a report after its event: by hash, because an event's id may hold what a report's id may not."""
    return f"W-{hashlib.sha256(event.encode()).hexdigest()[:20]}"
