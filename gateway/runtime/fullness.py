"""Fullness: what a journal that has no room says in health and metrics."""

from collections.abc import Sequence

from gateway.core.plural import plural
from gateway.core.ports import Held, Store
from gateway.runtime.telemetry import Telemetry


class Fullness:
    """Remembers what the journal held when it was last looked at, and what it held at the start.

    `held` is what it held at the last look.
    """

    def __init__(self, store: Store, telemetry: Telemetry) -> None:
        self._store, self._telemetry = store, telemetry
        self.held = Held()
        self._at_start: Held | None = None

    def note(self, held: Held) -> None:
        """Take note of what the journal holds."""
        self.held = held
        if self._at_start is None:
            self._at_start = held
        self._telemetry.set_held(held, self._store.refused)

    def troubles(self) -> Sequence[str]:
        """Say what ails the journal, as "journal: why". That old values get thinner is no trouble: it is counted."""
        aside = self.held.aside - (self._at_start or self.held).aside
        said = [f"journal: {self._store.refusing}"] if self._store.refusing else []
        if aside:
            said.append(f"journal: {plural(aside, 'batch was', 'batches were')} set aside: unreadable")
        return said
