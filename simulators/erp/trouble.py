"""What a client gets to see of a fault, before and after the order is made."""

import asyncio
import time
from email.utils import formatdate

from simulators.erp.asgi import CutError, Response, problem
from simulators.erp.faults import Fault

HTML = {"content-type": "text/html; charset=utf-8"}


async def before(fault: Fault) -> Response | None:
    """Give the answer of a fault that strikes before anything is made, or None."""
    match fault.kind:
        case "error_before":
            return Response(500, b"<h1>Internal Server Error</h1>", HTML)
        case "unknown_field":
            return traceback("ValueError: Invalid field 'x_failure' on model 'maintenance.request'")
        case "throttle" | "unavailable" | "too_early":
            status = {"throttle": 429, "unavailable": 503, "too_early": 425}[fault.kind]
            answer = problem(status, "Try later")
            wait = retry_after(fault)
            if wait is not None:
                answer.headers["retry-after"] = wait
            return answer
        case "refuse":
            return problem(422, "Unprocessable Content", "equipment is blocked", errors=[{"field": "equipment"}])
        case "unauthorized":
            return unauthorized()
        case "forbidden":
            return problem(403, "Forbidden", "no right to make orders")
        case "redirect":
            return Response(307, b"", {"location": "http://127.0.0.1:9/api/orders"})
        case "hang":
            await asyncio.sleep(fault.seconds)
            raise CutError
        case "cut":
            raise CutError
    return None


async def after(fault: Fault | None, answer: Response) -> Response:
    """Give the answer that a fault leaves of the right one. Raises CutError for none."""
    match fault.kind if fault is not None else "":
        case "error_after":
            return Response(500, b"<h1>Internal Server Error</h1>", HTML)
        case "lost_reply" | "ghost":
            raise CutError
        case "lost_hang":
            await asyncio.sleep(fault.seconds if fault is not None else 0)
            raise CutError
        case "truncated":
            return Response(answer.status, answer.body[: len(answer.body) // 2], answer.headers, len(answer.body))
        case "garbage":
            return Response(answer.status, b"<html><title>proxy</title></html>", HTML)
    return answer


def retry_after(fault: Fault) -> str | None:
    """Give the Retry-After that a fault wants to be told, None for none."""
    if fault.kind == "unavailable" and fault.retry_after is None and fault.style == "seconds":
        return None
    seconds = 1.0 if fault.retry_after is None else fault.retry_after
    return {
        "seconds": f"{seconds:g}",
        "date": formatdate(time.time() + seconds, usegmt=True),
        "absurd": "99999999",
        "nonsense": "soon",
    }.get(fault.style)


def unauthorized() -> Response:
    """Give a 401."""
    answer = problem(401, "Unauthorized")
    answer.headers["www-authenticate"] = 'Bearer error="invalid_token"'
    return answer


def traceback(last: str) -> Response:
    """Give a 500 with a page that shows the insides of a server."""
    page = f"<h1>500</h1><pre>Traceback (most recent call last):\n  File &quot;/opt/erp/http.py&quot;\n{last}</pre>"
    return Response(500, page.encode(), HTML)
