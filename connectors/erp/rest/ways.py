"""The addresses of a plan, tried without writing: asked about an order that nobody has.

An ERP tells by OPTIONS or by 405 (`Allow`) what may be done at an address, and by its 404 whether the order is not
there or the address. What it says is believed only as far as it says something else of an address that cannot be.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from http import HTTPStatus

from connectors.erp.rest.check import NOBODY
from connectors.erp.rest.door import Door, Said
from connectors.erp.rest.plan import Call, Plan, Probe
from gateway.core.errors import Refused
from gateway.core.way import Way

_VALUES = {"key": NOBODY, "number": NOBODY, "id": NOBODY}
_STRANGE = "-andon-no-such-way"
_GONE = frozenset({HTTPStatus.NOT_FOUND, HTTPStatus.GONE})
_SHUT = frozenset({HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN})
_VARIES = re.compile(r"[0-9A-Fa-f]{8}[0-9A-Fa-f-]*|\d+")
"""Numbers of requests, times: what is another one in each answer."""
_MOST = 4096
_READS = frozenset({"GET"})


@dataclass(frozen=True, slots=True)
class Seen:
    """What was seen at an address, and at one beside it that cannot be. `allowed` is None when nobody tells."""

    status: int
    there: bool | None
    allowed: frozenset[str] | None
    same_options: bool


async def ways(plan: Plan, door: Door) -> list[Way]:
    """Try every address of a plan. Raises `Unreachable`."""
    tries = Tries(door)
    told = [await _way(tries, plan, what, call) for what, call in _calls(plan)]
    return [_doubted(way, seen, tries) for way, seen in told]


def _calls(plan: Plan) -> Iterator[tuple[str, Call]]:
    named = {"create": plan.create, "read": plan.read, "amend": plan.amend, "cancel": plan.cancel, "batch": plan.batch}
    for what, call in named.items():
        if call is not None:
            yield what, call


class Tries:
    """Asks each address once. What an ERP told of one address it would tell of another one, too."""

    def __init__(self, door: Door) -> None:
        self._door, self._seen = door, dict[tuple[str, bool], Seen]()

    @property
    def tells_missing(self) -> bool:
        """Say whether some 404 was of an order, and not of its address."""
        return any(seen.there and seen.status in _GONE for seen in self._seen.values())

    @property
    def tells_allowed(self) -> bool:
        """Say whether OPTIONS was answered of some address."""
        return any(seen.allowed is not None for seen in self._seen.values())

    async def at(self, call: Call, *, asks: bool) -> Seen:
        """Look at an address; without `asks` by OPTIONS alone."""
        known = self._seen.get((call.path, asks))
        if known is None:
            known = self._seen[call.path, asks] = await self._look(call, asks=asks)
        return known

    async def _look(self, call: Call, *, asks: bool) -> Seen:
        strange = _beside(call.path)
        if strange is None:
            return Seen(0, None, None, same_options=False)
        # Without the headers of a write: one of them may override the method.
        headers = call.headers if call.method in _READS else {}
        options, other_options = [await self._say("OPTIONS", path, {}) for path in (call.path, strange)]
        allow, other_allow = options.header("allow"), other_options.header("allow")
        believed = allow if allow != other_allow and options.status < HTTPStatus.BAD_REQUEST else ""
        status, there = 0, None
        if asks:
            got, other = [await self._say("GET", path, headers, call) for path in (call.path, strange)]
            status, there = got.status, _there(got, other)
            if got.status == HTTPStatus.METHOD_NOT_ALLOWED and other.status != got.status:
                believed = believed or got.header("allow")
        same = (options.status, _words(options)) == (other_options.status, _words(other_options))
        return Seen(status, True if believed else there, _methods(believed), same_options=same)

    async def _say(self, method: str, path: str, headers: dict[str, str], like: Call | None = None) -> Said:
        params = like.params if like is not None else {}
        asked = Probe(path=path, method="GET" if method == "GET" else "OPTIONS", params=params, headers=headers)
        return await self._door.look(asked, _VALUES)


async def _way(tries: Tries, plan: Plan, what: str, call: Call) -> tuple[Way, Seen | None]:
    request = f"{call.method} {call.path}"
    found = plan.find is not None and plan.find.path == call.path
    if what == "read" and found:
        return Way(what, request, right=True, why="orders are looked up there"), None
    # Nobody's order is read, changed and taken back; a GET where orders are made might make one in a careless ERP.
    try:
        seen = await tries.at(call, asks=what not in {"create", "batch"})
    except Refused as no:
        return Way(what, request, right=None, why=str(no)), None
    if seen.allowed is not None:
        named = ", ".join(sorted(seen.allowed))
        right = call.method in seen.allowed
        return Way(what, request, right=right, why=f"the ERP allows {named} there" + ("" if right else " only")), None
    if call.method in _READS:
        return _read(what, request, seen), seen
    if seen.there or found:
        why = f"the address is there; that {call.method} is allowed shows the first {what}"
        return Way(what, request, right=None, why=why), None
    return Way(what, request, right=None, why=_unsaid(seen, call.method, what)), seen


def _read(what: str, request: str, seen: Seen) -> Way:
    if seen.status == HTTPStatus.METHOD_NOT_ALLOWED and seen.there:
        return Way(what, request, right=False, why="the ERP does not allow it there (405)")
    if seen.there and seen.status >= HTTPStatus.BAD_REQUEST:
        return Way(what, request, right=True, why=f"there is no such order, it says ({seen.status})")
    if seen.there:
        why = f"it answers {seen.status} about an order that nobody has; is it the address of one order?"
        return Way(what, request, right=None, why=why)
    return Way(what, request, right=None, why=_unsaid(seen, "GET", what))


def _doubted(way: Way, seen: Seen | None, tries: Tries) -> Way:
    """Call an address wrong that answers as one that cannot be, where the ERP tells the two apart elsewhere.

    By its 404 alone not one that takes POST only: to many servers it is no address for any other method.
    """
    if way.right is not None or seen is None or not seen.same_options:
        return way
    gone = seen.status in _GONE and seen.there is False and not way.request.startswith("POST ")
    if not (tries.tells_allowed or (tries.tells_missing and gone)):
        return way
    return Way(way.what, way.request, right=False, why="the ERP answers there as where there is nothing")


def _unsaid(seen: Seen, method: str, what: str) -> str:
    if seen.status in _SHUT:
        return f"the ERP answers {seen.status} to a GET there; that {method} is allowed shows the first {what}"
    if seen.there is False:
        return f"the ERP answers {seen.status} as where there is nothing: look at the address once more"
    told = f" ({seen.status})" if seen.status else ""
    return f"the ERP does not tell{told}; the first {what} shows it"


def _beside(path: str) -> str | None:
    """Give an address beside one that surely is none; None where every part of it is a slot."""
    parts = path.split("/")
    for place in range(len(parts) - 1, 0, -1):
        if parts[place] and "{" not in parts[place]:
            return "/".join([*parts[:place], parts[place] + _STRANGE, *parts[place + 1 :]])
    return None


def _there(got: Said, other: Said) -> bool | None:
    """Say whether an address is there, compared with one that is not: None when the two cannot be told apart."""
    if got.status >= HTTPStatus.INTERNAL_SERVER_ERROR or got.status in _SHUT:
        return None
    if got.status != other.status:
        return other.status in _GONE or None
    if got.status in _GONE:
        return _words(got) != _words(other)
    return None


def _words(said: Said) -> tuple[str, str]:
    """Give what an answer says, without what is its own: addresses, keys, times, numbers."""
    kind = said.header("content-type").partition(";")[0].strip().lower()
    text = said.answer.body[:_MOST].decode("utf-8", "replace").replace(_STRANGE, "").replace(NOBODY, "~")
    return kind, _VARIES.sub("~", text)


def _methods(allow: str) -> frozenset[str] | None:
    return frozenset(word.strip().upper() for word in allow.split(",") if word.strip()) or None
