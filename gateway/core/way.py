"""Ways into another system, tried without writing: there, not there, or not to be told."""

import msgspec


class Way(msgspec.Struct, frozen=True):
    """One request that an adapter will send, and what can be said of it without writing.

    `what` is its name in the settings (amend, cancel), `request` its method and address. `right` is None when only a
    write can tell; `why` says what was seen.
    """

    what: str
    request: str
    right: bool | None
    why: str
