"""What was set aside, over the API: listed, shown, put back, given up."""

from collections.abc import Sequence
from typing import Annotated, Any

import msgspec
from litestar import Request, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery

from gateway.core.errors import Missing
from gateway.flow.parked import KINDS, Kind, Listed, SetAside, drop, listed, retry, seen, whole
from gateway.runtime.gateway import Gateway
from gateway.web.auth import caller_of, reaches
from gateway.web.bodies import read
from gateway.web.caller import Caller
from gateway.web.masking import written
from gateway.web.reports import Limit

_SCANNED = 10_000
"""Things that are looked through for those of a caller's lines."""

ThingName = Annotated[str, msgspec.Meta(min_length=3, max_length=300)]


class Aside(msgspec.Struct, frozen=True):
    """What was set aside, the newest first. `more`: there is more than was asked for."""

    items: Sequence[SetAside]
    more: bool


class AsideWhole(msgspec.Struct, frozen=True):
    """One thing that was set aside: why, and the thing itself. Names of people are covered."""

    why: SetAside
    thing: Any


class Retry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What to put back, by the name that the list gives it."""

    name: ThingName


class Drop(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What to give up for good, and why; the reason stays in the audit trail."""

    name: ThingName
    reason: Annotated[str, msgspec.Meta(min_length=1, max_length=200)]


class Done(msgspec.Struct, frozen=True):
    """What became of it."""

    name: str
    told: str


@get("/dlq", opt={"scope": "read", "reach": "own"})
async def aside(
    request: Request[Any, Any, Any],
    gateway: NamedDependency[Gateway],
    kind: FromQuery[Kind | None] = None,
    limit: Limit = 100,
) -> Aside:
    """List what was set aside: since when, why, what to do next. A token for some lines sees what is about theirs."""
    caller, kinds = caller_of(request), KINDS if kind is None else (kind,)
    if caller.lines is None:
        found = await gateway.store.read(lambda tx: listed(tx, kinds, limit))
        return Aside(found.items, found.more)
    every: Listed = await gateway.store.read(lambda tx: listed(tx, kinds, _SCANNED))
    mine = [one for one in every.items if reaches(gateway, caller, one.asset)]
    return Aside(mine[:limit], every.more or len(mine) > limit)


@get("/dlq/{name:path}", opt={"scope": "read", "reach": "own", "also": (422,)})
async def one(request: Request[Any, Any, Any], gateway: NamedDependency[Gateway], name: FromPath[str]) -> AsideWhole:
    """Show one thing that was set aside, whole: `/dlq/order:AN…`, `/dlq/event:mes/evt_…`."""
    called = name.removeprefix("/")
    caller = caller_of(request)
    await _reached(gateway, caller, called)
    why, thing = await gateway.store.read(lambda tx: (seen(tx, called), whole(tx, called)))
    return AsideWhole(why, msgspec.to_builtins(written(thing)))


@post(
    "/dlq/retry",
    status_code=200,
    opt={"scope": "dlq:write", "reach": "own", "once": "again", "body": Retry, "also": (404,)},
)
async def put_back(request: Request[Any, Any, Any], gateway: NamedDependency[Gateway]) -> Done:
    """Put one thing back to where it was on its way. Mend the cause first; nothing is made twice."""
    asked = await read(request, Retry, limit=gateway.api.max_body)
    caller = caller_of(request)
    await _reached(gateway, caller, asked.name)
    actor, to = _actor(caller), gateway.produce_to
    told = await gateway.store.write(lambda tx: retry(tx, asked.name, gateway.now(), actor, to))
    _wake(gateway, asked.name)
    return Done(asked.name, told)


@post(
    "/dlq/drop",
    status_code=200,
    opt={"scope": "dlq:write", "reach": "own", "once": "again", "body": Drop, "also": (404,)},
)
async def give_up(request: Request[Any, Any, Any], gateway: NamedDependency[Gateway]) -> Done:
    """Give one thing up, for good. An order is never dropped: it is taken back by `/orders/{key}/cancel`."""
    asked = await read(request, Drop, limit=gateway.api.max_body)
    caller = caller_of(request)
    await _reached(gateway, caller, asked.name)
    await drop(gateway.store, asked.name, asked.reason, gateway.now, _actor(caller))
    return Done(asked.name, "is given up")


async def _reached(gateway: Gateway, caller: Caller, name: str) -> None:
    """Raise `Missing` for what is not set aside, or not for this caller: nobody learns which."""
    found = await gateway.store.read(lambda tx: seen(tx, name))
    if not reaches(gateway, caller, found.asset):
        raise Missing(f"{name} is not set aside; `andon dlq list` shows what is")


def _actor(caller: Caller) -> str:
    return caller.subject or "anonymous"


def _wake(gateway: Gateway, name: str) -> None:
    """Let what was put back go on at once; what has nobody to wake is looked for by itself."""
    match name.partition(":")[0]:
        case "order" | "change":
            gateway.wake_delivery()
        case "production":
            gateway.wake_production()
        case "report":
            gateway.wake_words()
