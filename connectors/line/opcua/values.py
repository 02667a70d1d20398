"""Data changes of one message: numbers in columns, everything else one by one."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gateway.core.series import ticks

FLOAT, INTEGER, UNSIGNED, BOOLEAN, EMPTY = range(5)
FORMS: tuple[np.dtype[Any], ...] = (np.dtype("<f8"), np.dtype("<i8"), np.dtype("<u8"), np.dtype("|b1"))
BAD = 0x80000000
"""A status code from here on is bad."""


class Change(NamedTuple):
    """One data change that is no number: the client handle, the value, the status code, source and server time.

    A byte string is a view of the message, and so is an array; both live as long as they are held.
    """

    handle: int
    value: object
    status: int
    sourced_at: datetime | None
    served_at: datetime | None


class Values(NamedTuple):
    """Numbers of one form in columns of one length, those of one item in the order in which they were sent.

    `values` is float64, int64 (every integer that fits), uint64 or bool. `statuses` are OPC UA status
    codes; where one is bad the number means nothing. `sourced` and `served` are microseconds since 1970
    UTC, `NEVER` for none.
    """

    handles: NDArray[np.uint32]
    values: NDArray[Any]
    statuses: NDArray[np.uint32]
    sourced: NDArray[np.int64]
    served: NDArray[np.int64]

    def only(self, chosen: NDArray[Any]) -> "Values":
        """The rows that are chosen, by a mask or by number."""
        return Values(
            self.handles[chosen],
            self.values[chosen],
            self.statuses[chosen],
            self.sourced[chosen],
            self.served[chosen],
        )


def sift(changes: Iterable[Change]) -> tuple[tuple[Values, ...], tuple[Change, ...]]:
    """Put the numbers among changes that came one by one into columns; gives these and the rest.

    For what the library decoded: a message that was published again, history, a value that was read. A bad
    item without a value goes where the item's other values went, and into a column when there are none.
    """
    given = list(changes)
    known: dict[int, int] = {}
    for change in given:
        form = _form(change.value)
        if form is not None and known.get(change.handle) != UNSIGNED:  # one that needs it decides for the item
            known[change.handle] = form
    wordy = {change.handle for change in given if change.value is not None or change.status < BAD} - known.keys()
    rows: dict[int, list[Change]] = {}
    rest: list[Change] = []
    for change in given:
        form = _form(change.value)
        if form == INTEGER and known[change.handle] == UNSIGNED and isinstance(change.value, int) and change.value >= 0:
            form = UNSIGNED
        if form is None and change.value is None and change.status >= BAD and change.handle not in wordy:
            form = known.get(change.handle, FLOAT)
        if form is None:
            rest.append(change)
        else:
            rows.setdefault(form, []).append(change)
    return tuple(_of_changes(form, chosen) for form, chosen in rows.items()), tuple(rest)


def _form(value: object) -> int | None:
    if isinstance(value, bool):
        return BOOLEAN
    if isinstance(value, float):
        return FLOAT
    if isinstance(value, int):
        return INTEGER if -(2**63) <= value < 2**63 else UNSIGNED
    return None


def _of_changes(form: int, chosen: Sequence[Change]) -> Values:
    return Values(
        np.array([change.handle for change in chosen], np.uint32),
        np.array([change.value or 0 for change in chosen], FORMS[form]),
        np.array([change.status for change in chosen], np.uint32),
        np.array([ticks(change.sourced_at) for change in chosen], np.int64),
        np.array([ticks(change.served_at) for change in chosen], np.int64),
    )
