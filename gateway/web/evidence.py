"""The capsule of an order, and the evidence that it names: bytes by their hash, looked at again on the way out."""

from typing import Annotated, Any

from litestar import Request, Response, get
from litestar.di import NamedDependency
from litestar.params import FromPath, QueryParameter

from gateway.core import capsule
from gateway.core.order import WorkOrder
from gateway.core.ports import Tx
from gateway.flow.dossier import opened, pieces_of
from gateway.runtime.gateway import Gateway
from gateway.web.auth import caller_of, reaches
from gateway.web.problems import Wrong

Version = Annotated[int | None, QueryParameter(ge=1, le=1_000_000)]
_INLINE = {"image/jpeg", "image/png"}
_WHOLE_PLANT = "plant"


@get("/orders/{key:str}/capsule", opt={"scope": "read", "reach": "own"}, media_type=capsule.MEDIA)
async def order_capsule(
    request: Request[Any, Any, Any], gateway: NamedDependency[Gateway], key: FromPath[str], version: Version = None
) -> Response[bytes]:
    """Give the capsule of an order's version (default: the newest), byte for byte; its ETag is its SHA-256."""

    def look(tx: Tx) -> tuple[WorkOrder | None, tuple[bytes, str] | None]:
        found = _version(tx, key, version)
        return found, None if found is None or found.capsule is None else tx.blob(found.capsule)

    order, document = await gateway.store.read(look)
    if order is None or not reaches(gateway, caller_of(request), order.asset):
        raise Wrong(404, "no such order, or no such version of it")
    if order.capsule is None or document is None:
        raise Wrong(404, "this order has no capsule")
    return _given(order.capsule, *document)


@get(
    "/orders/{key:str}/evidence/{sha256:str}",
    opt={"scope": "read", "reach": "own"},
    media_type="application/octet-stream",
)
async def order_evidence(
    request: Request[Any, Any, Any], gateway: NamedDependency[Gateway], key: FromPath[str], sha256: FromPath[str]
) -> Response[bytes]:
    """Give a piece of evidence of one order, of any of its versions; what belongs to other orders is not found."""
    caller = caller_of(request)

    def look(tx: Tx) -> tuple[WorkOrder | None, tuple[bytes, str] | None]:
        newest = _version(tx, key, None)
        if newest is None or not reaches(gateway, caller, newest.asset):
            return None, None
        return newest, tx.blob(sha256) if _named(tx, newest, sha256, everywhere=caller.lines is None) else None

    order, found = await gateway.store.read(look)
    if order is None or found is None:
        raise Wrong(404, "no such evidence of this order")
    return _given(sha256, *found)


@get("/evidence/{sha256:str}", opt={"scope": "read", "reach": "everywhere"}, media_type="application/octet-stream")
async def evidence(gateway: NamedDependency[Gateway], sha256: FromPath[str]) -> Response[bytes]:
    """Give a piece of evidence, byte for byte, by its hash."""
    found = await gateway.store.read(lambda tx: tx.blob(sha256))
    if found is None:
        raise Wrong(404, "no such evidence")
    return _given(sha256, *found)


def _version(tx: Tx, key: str, version: int | None) -> WorkOrder | None:
    stored = tx.order(key)
    if stored is None or version is None:
        return None if stored is None else stored.order
    return tx.order_version(key, version)


def _named(tx: Tx, newest: WorkOrder, sha256: str, *, everywhere: bool) -> bool:
    """Say whether one of an order's versions names this piece. The plant shows more than one line."""
    for version in range(newest.version, 0, -1):
        order = newest if version == newest.version else tx.order_version(newest.key, version)
        if order is None:
            continue
        document = None if order.capsule is None else tx.blob(order.capsule)
        pieces = pieces_of(order, opened(None if document is None else document[0]))
        names = {piece.sha256 for piece in pieces if everywhere or piece.kind != _WHOLE_PLANT}
        if sha256 in names | {order.capsule}:
            return True
    return False


def _given(sha256: str, content: bytes, media_type: str) -> Response[bytes]:
    """Answer with bytes that are what their name says. Raises `Wrong` 500 when the store holds others."""
    if capsule.named(content) != sha256:
        raise Wrong(500, "the store holds other bytes under this name: andon verify says which orders they belong to")
    shown = "inline" if media_type in _INLINE else "attachment"
    headers = {
        "Content-Disposition": f'{shown}; filename="{sha256[:16]}"',
        "Content-Security-Policy": "default-src 'none'; sandbox",
        "Cache-Control": "private, max-age=31536000, immutable",
        "ETag": f'"{sha256}"',
    }
    return Response(content, media_type=media_type, headers=headers)
