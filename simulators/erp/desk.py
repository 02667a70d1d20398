"""A system of another make behind the simulated ERP's door, under paths of its own."""

from typing import Any, Protocol

from simulators.erp.asgi import Request, Response
from simulators.erp.faults import Fault


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


def turn(target: object, values: dict[str, Any]) -> None:
    """Set attributes of habits. Raises ValueError for one that is not there."""
    for name, value in values.items():
        if not hasattr(target, name):
            raise ValueError(f"there is no {name!r}")
        setattr(target, name, value)
