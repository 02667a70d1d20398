"""Waiting: questions that wait for a connection, the one with the earliest deadline first. Pure."""

import heapq
from collections.abc import Collection

from connectors.line.modbus.scan import Job


class Waiting:
    """Questions by deadline. Bounded by the groups: each has at most one scan under way."""

    def __init__(self) -> None:
        self._waiting: list[tuple[float, int, Job]] = []
        self._number = 0

    def __len__(self) -> int:
        return len(self._waiting)

    def push(self, job: Job) -> None:
        """Put a question in."""
        self._number += 1
        heapq.heappush(self._waiting, (job.scan.deadline, self._number, job))

    def pop(self, busy: Collection[int] = ()) -> Job | None:
        """Take the most urgent question whose unit is not busy; None when there is none."""
        aside: list[tuple[float, int, Job]] = []
        found = None
        while self._waiting:
            item = heapq.heappop(self._waiting)
            if item[2].scan.group.breaker.unit in busy:
                aside.append(item)
                continue
            found = item[2]
            break
        for item in aside:
            heapq.heappush(self._waiting, item)
        return found
