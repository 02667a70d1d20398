"""Reached: until when all that the server had to say is known to have come. By the server's clock."""

from collections.abc import Mapping, Sequence

from gateway.core.series import NEVER

_NAME = "reached"
_WRITTEN = 2_000_000
"""Written when it is so much further (microseconds): an older time only makes a gap longer."""


class Reached:
    """Takes the time of each subscription's last message or keep-alive; the line is as far as the one furthest back.

    Without it a gap on a line where nothing changes would begin with the last value, hours ago.
    """

    def __init__(self) -> None:
        self._times: dict[str, int] = {}
        self._written = NEVER
        self.until = NEVER

    def recall(self, memory: Mapping[str, bytes]) -> None:
        """Take up what the last run left."""
        kept = memory.get(_NAME, b"")
        if len(kept) == 8:  # noqa: PLR2004 (one time)
            self.until = self._written = int.from_bytes(kept, "little", signed=True)

    def take(self, name: str, published: int, margin: float) -> None:
        """A subscription's message was sent at `published`; what is older than `margin` seconds by then was in it."""
        if published != NEVER:
            self._times[name] = published - round(margin * 1e6)

    def forget(self, name: str) -> None:
        """The subscription is made anew: it has said nothing yet."""
        self._times.pop(name, None)

    def memory(self, names: Sequence[str]) -> dict[str, bytes]:
        """Give what the next run must know; `names` are the subscriptions that there are."""
        if not names or not all(name in self._times for name in names):
            return {}
        self.until = min(self._times[name] for name in names)
        if self._written <= self.until < self._written + _WRITTEN:
            return {}
        self._written = self.until
        return {_NAME: self.until.to_bytes(8, "little", signed=True)}
