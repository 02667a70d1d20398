"""Intake: how much raw data may still come in. Orders and reports are never asked."""

import shutil
from pathlib import Path
from time import monotonic

from gateway.core.errors import Full
from gateway.core.ports import Marks

_LOOK_S = 0.5


class Intake:
    """Refuses batches over the journal's budget, and when the disk's reserve would be touched.

    Used by the writer's thread alone, but for `marks` (set when the settings change) and the counters
    (read by whoever looks).
    """

    def __init__(self, marks: Marks, folder: Path | None) -> None:
        self.marks = marks
        self.refused = 0
        self.why = ""
        self._folder = folder
        self._looked_at = -_LOOK_S
        self._free = 1 << 62
        self._stopped = False

    def admit(self, held: int, more: int) -> None:
        """Let a batch of `more` bytes in on top of `held`. Raises `Full` when it must stay with its source."""
        why = self._over(held, more) or self._short(more)
        if why:
            self.refused += 1
            self.why = why
            raise Full(why)
        if self.why:
            self.why = ""

    def _over(self, held: int, more: int) -> str:
        marks = self.marks
        if marks.when_full == "stop_intake":
            self._stopped = held + more > marks.high or (self._stopped and held > marks.low)
            if self._stopped:
                return f"the journal is at its high mark of {marks.high} bytes; the sources keep what comes now"
        if held + more > marks.budget:
            return f"the journal's budget of {marks.budget} bytes is spent"
        return ""

    def _short(self, more: int) -> str:
        if self._folder is None:
            return ""
        if monotonic() - self._looked_at >= _LOOK_S:
            self._looked_at = monotonic()
            try:
                self._free = shutil.disk_usage(self._folder).free
            except OSError:
                return ""
        self._free -= more
        if self._free < self.marks.reserve:
            return f"what is left of the disk ({self.marks.reserve} bytes) is kept for orders and their evidence"
        return ""
