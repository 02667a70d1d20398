"""Webhooks of ERPs that prove too little to be believed: a reason to ask, and nothing else."""

from typing import Any

import msgspec
from litestar import Request, post
from litestar.di import NamedDependency
from litestar.params import FromPath

from gateway.flow.receive import Hint, take_hint
from gateway.runtime.gateway import Gateway
from gateway.web.bodies import decode, raw
from gateway.web.proofs import FrappeSigned, OdooSent
from gateway.web.webhooks import Applied

_LONGEST = 200


class OdooEvent(msgspec.Struct, frozen=True, kw_only=True):
    """What an automation rule of Odoo sends: these, and the fields that were chosen for it.

    With `write_date` among them the same change is looked at once.
    """

    id: int = msgspec.field(name="_id")
    model: str = msgspec.field(name="_model")
    write_date: str | bool | None = None


class FrappeEvent(msgspec.Struct, frozen=True, kw_only=True):
    """What a webhook of Frappe sends: the fields that were chosen for it, `name` among them.

    With `doctype` and `modified` among them the same change is looked at once.
    """

    name: str
    doctype: str = ""
    modified: str = ""


@post("/webhooks/odoo/{secret:str}", status_code=202, opt={"scope": "signed", "body": OdooEvent})
async def odoo(
    request: Request[Any, Any, Any],
    gateway: NamedDependency[Gateway],
    odoo_sent: NamedDependency[OdooSent],
    secret: FromPath[str],
) -> Applied:
    """Have a record of Odoo read back. Nothing is signed, so that nothing that is said counts."""
    odoo_sent.check(request.client.host if request.client is not None else "", secret)
    content = await raw(request, gateway.api.max_body)
    event = decode(content, OdooEvent)
    # As its adapter calls records: a request by its id, any other by its model too.
    number = str(event.id) if event.model == "maintenance.request" else f"{event.model},{event.id}"
    facts = (event.model, number, event.write_date) if isinstance(event.write_date, str) else ()
    return await _hinted(gateway, content, Hint("odoo", number, facts))


@post("/webhooks/frappe", status_code=202, opt={"scope": "signed", "body": FrappeEvent})
async def frappe(
    request: Request[Any, Any, Any], gateway: NamedDependency[Gateway], frappe_signed: NamedDependency[FrappeSigned]
) -> Applied:
    """Have a document of Frappe read back. It is signed but not dated: it may be old, and sent by anybody again."""
    content = await raw(request, gateway.api.max_body)
    frappe_signed.check(request.headers.get("x-frappe-webhook-signature", ""), content)
    event = decode(content, FrappeEvent)
    facts = (event.doctype, event.name, event.modified) if event.modified else ()
    return await _hinted(gateway, content, Hint("frappe", event.name, facts))


async def _hinted(gateway: Gateway, content: bytes, hint: Hint) -> Applied:
    """Note a hint; an order that is none of ours is no fault of the sender, who tells of all of them."""
    cut = tuple(fact[:_LONGEST] for fact in hint.facts)
    whole = msgspec.structs.replace(hint, facts=cut, texts=_texts(content))
    noted = await take_hint(gateway.store, whole, gateway.now)
    if noted:
        gateway.wake_follow()
    return Applied(hint.number[:_LONGEST], noted)


def _texts(content: bytes) -> tuple[str, ...]:
    """Give the fields that are texts: one of them may hold our key."""
    try:
        fields: dict[str, Any] = msgspec.json.decode(content)
    except (msgspec.DecodeError, ValueError, RecursionError):
        return ()
    return tuple(text for text in fields.values() if isinstance(text, str))
