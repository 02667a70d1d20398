"""Where the newest refresh token is kept: a server that rotates them takes each only once (RFC 9700 4.14)."""

from typing import Protocol, runtime_checkable


class RefreshKeeper(Protocol):
    """Keeps one refresh token. Both are called from a thread that is no event loop's, and may block for seconds.

    `keep` returns when the token is durable; it raises `gateway.core.errors.Unreachable` or `Full` when it is not:
    then the token is used all the same and kept at the next occasion.
    """

    def newest(self) -> str: ...  # noqa: D102  "" when none was kept

    def keep(self, token: str) -> None: ...  # noqa: D102


@runtime_checkable
class Remembering(Protocol):
    """An adapter whose refresh token turns: it is given a keeper before its first request."""

    def keep_with(self, keeper: RefreshKeeper) -> None: ...  # noqa: D102


class Kept:
    """A `RefreshKeeper` for as long as the process lives."""

    def __init__(self) -> None:
        self._token = ""

    def newest(self) -> str:
        """Give what was kept last."""
        return self._token

    def keep(self, token: str) -> None:
        """Remember."""
        self._token = token
