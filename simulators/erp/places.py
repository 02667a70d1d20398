"""The addresses of the generic profile, and what may be done at each."""

from simulators.erp.asgi import Response, problem


def takes(rest: str) -> tuple[str, ...]:
    """Give the methods of an address under the root of orders; () where there is none."""
    match rest.split("/") if rest else []:
        case []:
            return ("GET", "POST")
        case ["batch"]:
            return ("POST",)
        case [_]:
            return ("GET", "PUT", "PATCH", "DELETE")
        case [_, "cancel"]:
            return ("POST",)
    return ()


def told_of(method: str, rest: str, *, tells: bool, writes: bool) -> Response | None:
    """Answer what the address alone decides: OPTIONS, a method that it does not take, an address that there is not.

    Without `tells` all of that is one and the same 404, as in many frameworks.
    """
    taken = takes(rest)
    if taken and method in taken:
        return None
    if not taken or not tells:
        return problem(404, "Not Found")
    allow = {"allow": ", ".join([*(one for one in taken if writes or one == "GET"), "OPTIONS"])}
    if method == "OPTIONS":
        return Response(204, b"", allow)
    answer = problem(405, "Method Not Allowed")
    answer.headers |= allow
    return answer
