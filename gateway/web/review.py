"""The review list: reports that a person looks at before anything is ordered."""

from typing import Any

from litestar import Request, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath

from gateway.flow.receive import Reviewed, Ruling, review
from gateway.runtime.gateway import Gateway
from gateway.web.bodies import read
from gateway.web.masking import shown
from gateway.web.problems import FieldFault, Wrong
from gateway.web.reports import Limit, Reports


@get("/review", opt={"scope": "read", "reach": "everywhere"})
async def waiting(gateway: NamedDependency[Gateway], limit: Limit = 100) -> Reports:
    """List the reports that wait for a person."""
    held = await gateway.store.read(lambda tx: tx.reports(route="review", limit=limit))
    return Reports([shown(row) for row in held if not row.reviewed])


@post(
    "/review/{name:str}",
    status_code=200,
    opt={"scope": "review:write", "reach": "everywhere", "once": "again", "body": Ruling},
)
async def decide(request: Request[Any, Any, Any], gateway: NamedDependency[Gateway], name: FromPath[str]) -> Reviewed:
    """Confirm, correct or dismiss a report. The same decision again gives the same answer."""
    ruling = await read(request, Ruling, limit=gateway.api.max_body)
    if isinstance(ruling.asset, str) and gateway.plant.asset(ruling.asset) is None:
        raise Wrong(400, "the request is not as it should be", (FieldFault("asset", "no such asset"),))
    done = await review(gateway.store, name, ruling, gateway.confirm, gateway.now)
    if done.order_key is not None:
        gateway.wake_delivery()
    return done
