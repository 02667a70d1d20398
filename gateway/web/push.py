"""What devices hand in: waveforms, frames, values and log lines of declared tags; 202 after the commit."""

from typing import Any

import msgspec
from litestar import Request, Response, post, put
from litestar.di import NamedDependency
from litestar.params import FromPath

from gateway.core.push import Push, PushFacts, Receipt
from gateway.core.reading import Moment
from gateway.runtime.gateway import Gateway
from gateway.web.auth import caller_of
from gateway.web.bodies import convert, raw
from gateway.web.problems import Wrong

_HEADERS = {
    "t0": "x-t0", "rate_hz": "x-rate-hz", "unit": "x-unit", "encoding": "x-encoding", "height": "x-height",
    "width": "x-width",
}  # fmt: skip
_SHORTEST_KEY, _LONGEST_KEY = 8, 128
_PATH = "/line/{asset:str}/{tag:str}"


class Pushed(msgspec.Struct, frozen=True):
    """The values are on disk; `count` is their number."""

    asset: str
    tag: str
    received_at: Moment
    count: int


@post(_PATH, status_code=202, opt={"scope": "line:push", "reach": "asset"}, request_max_body_size=None)
async def hand_in(
    request: Request[Any, Any, Any], gateway: NamedDependency[Gateway], asset: FromPath[str], tag: FromPath[str]
) -> Response[Pushed]:
    """Take values of a declared tag: WAV, NPY, CSV, TIFF, PNG or raw numbers; JSON for a value, text for log lines.

    What the bytes do not say stands in the query or in headers: t0, rate_hz, unit, encoding, height, width.
    """
    return await _take(request, gateway, asset, tag)


@put(_PATH, status_code=202, opt={"scope": "line:push", "reach": "asset"}, request_max_body_size=None)
async def put_in(
    request: Request[Any, Any, Any], gateway: NamedDependency[Gateway], asset: FromPath[str], tag: FromPath[str]
) -> Response[Pushed]:
    """Take values of a declared tag, as POST does."""
    return await _take(request, gateway, asset, tag)


async def _take(request: Request[Any, Any, Any], gateway: Gateway, asset: str, tag: str) -> Response[Pushed]:
    door = gateway.equipment.door(asset, tag)
    media_type = request.content_type[0]
    taken = door.media(asset, tag)
    if media_type not in taken:
        raise Wrong(415, f"send {', '.join(taken)}")
    facts = _facts(request)
    key = _key(request)
    with door.admit():
        content = await raw(request, door.largest)
        if not content:
            raise Wrong(400, "the body is empty")
        receipt = await door.push(
            Push(asset=asset, tag=tag, content=content, media_type=media_type, facts=facts, key=key)
        )
    return _answer(receipt)


def _answer(receipt: Receipt) -> Response[Pushed]:
    answer = Pushed(receipt.asset, receipt.tag, receipt.received_at, receipt.count)
    return Response(answer, status_code=202, headers={"Idempotent-Replayed": "true"} if receipt.repeated else None)


def _facts(request: Request[Any, Any, Any]) -> PushFacts:
    """Read what is said in the query, then in headers. Raises `Wrong` 400 with every fault."""
    said = {name: request.headers[header] for name, header in _HEADERS.items() if header in request.headers}
    unknown = set(request.query_params) - set(_HEADERS)
    if unknown:
        raise Wrong(400, f"unknown in the query: {', '.join(sorted(unknown))}; known: {', '.join(_HEADERS)}")
    said |= {name: str(request.query_params[name]) for name in _HEADERS if name in request.query_params}
    return convert(said, PushFacts)


def _key(request: Request[Any, Any, Any]) -> str:
    """Give the sender's key, tied to the sender; "" without one."""
    key = request.headers.get("idempotency-key")
    if key is None:
        return ""
    bare = key.strip().removeprefix('"').removesuffix('"')
    if not _SHORTEST_KEY <= len(bare) <= _LONGEST_KEY:
        raise Wrong(400, f"Idempotency-Key: {_SHORTEST_KEY} to {_LONGEST_KEY} characters")
    caller = caller_of(request)
    return msgspec.json.encode([caller.issuer, caller.subject, bare]).decode()
