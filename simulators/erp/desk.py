"""A system of another make behind the simulated ERP's door, under paths of its own."""

import base64
import hmac
from typing import Any, Protocol

from simulators.erp.asgi import Request, Response
from simulators.erp.faults import Fault
from simulators.idp import IdentityProvider


class Desk(Protocol):
    """Answers every request whose path begins with `prefix`; faults and the journal are the ERP's.

    `admits` gives a refusal or None. `about` gives reference and equipment of a request, for faults and journal.
    `says` gives a fault in the words of this make, or None where the common ones do. `answer` makes and tells;
    it waits first where the fault is a slow one. `turn` sets habits and raises ValueError for what is none.
    """

    prefix: str

    def admits(self, request: Request) -> Response | None: ...  # noqa: D102

    def about(self, request: Request) -> tuple[str, str]: ...  # noqa: D102

    def says(self, fault: Fault) -> Response | None: ...  # noqa: D102

    async def answer(self, request: Request, fault: Fault | None) -> Response: ...  # noqa: D102

    def turn(self, habits: dict[str, Any]) -> None: ...  # noqa: D102


class Porter:
    """Lets in by user and password, or by a token of the authorization server."""

    def __init__(self, idp: IdentityProvider, user: str, password: str, realm: str) -> None:
        self._idp, self._realm = idp, realm
        self._basic = base64.b64encode(f"{user}:{password}".encode())

    def admits(self, request: Request) -> Response | None:
        """Give None to who may come in, else the refusal."""
        kind, _, given = request.header("authorization").partition(" ")
        if kind.lower() == "basic" and hmac.compare_digest(given.strip().encode(), self._basic):
            return None
        if self._idp.knows(request.header("authorization"), "erp"):
            return None
        return Response(401, b"", {"www-authenticate": f'Basic realm="{self._realm}"'})


def turn(target: object, values: dict[str, Any]) -> None:
    """Set attributes of habits. Raises ValueError for one that is not there."""
    for name, value in values.items():
        if not hasattr(target, name):
            raise ValueError(f"there is no {name!r}")
        setattr(target, name, value)
