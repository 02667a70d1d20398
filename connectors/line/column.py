"""Columns: many numbers of many tags on their way from the wire to a `Series`."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gateway.core.series import Form, Layout, Series

FORMS: tuple[Form, ...] = ("<f8", "<i8", "<u8", "|b1")
FLOAT, INTEGER, UNSIGNED, BOOLEAN = range(4)
_FORM_OF = {"f": FLOAT, "i": INTEGER, "u": UNSIGNED, "b": BOOLEAN}
_MOST_REASONS = 255
_MOST_WORDS = 10_000
_OF_MANY = "one of many reasons"


class Words:
    """Reasons by number, so that a column can hold them; 0 is none. After ten thousand, the next ones are one."""

    def __init__(self) -> None:
        self._numbers = {"": 0}
        self._words = [""]

    def number(self, word: str) -> int:
        """Give the number of a reason."""
        if word not in self._numbers and len(self._words) >= _MOST_WORDS:
            word = _OF_MANY  # a reason with a number in it must not grow this for ever
        found = self._numbers.get(word)
        if found is None:
            found = self._numbers[word] = len(self._words)
            self._words.append(word)
        return found

    def __getitem__(self, number: int) -> str:
        return self._words[number]


class Column(NamedTuple):
    """Values of one form: whose (by place in the list of tags), what, how good, when.

    All of one length; those of one tag stand in the order in which they were made. `values` is float64,
    int64, uint64 or bool. `qualities` (`Quality`) and `whys` (numbers in `Words`) are None when every
    value is good. `sourced` and `served` are microseconds since 1970 UTC, `NEVER` for none.
    """

    places: NDArray[np.int64]
    values: NDArray[Any]
    sourced: NDArray[np.int64]
    served: NDArray[np.int64]
    qualities: NDArray[np.uint8] | None = None
    whys: NDArray[np.int32] | None = None

    @property
    def form(self) -> int:
        """Number of the form in `FORMS`."""
        return _FORM_OF[self.values.dtype.kind]

    def marked(self) -> "Column":
        """The same with columns of quality and reason that may be written to."""
        count = len(self.places)
        return self._replace(
            qualities=np.zeros(count, np.uint8) if self.qualities is None else self.qualities.copy(),
            whys=np.zeros(count, np.int32) if self.whys is None else self.whys.copy(),
        )

    def only(self, chosen: NDArray[Any]) -> "Column":
        """The values that are chosen, by a mask or by number."""
        return Column(
            self.places[chosen],
            self.values[chosen],
            self.sourced[chosen],
            self.served[chosen],
            None if self.qualities is None else self.qualities[chosen],
            None if self.whys is None else self.whys[chosen],
        )


def joined(columns: Sequence[Column]) -> Column:
    """Join columns of one form."""
    if len(columns) == 1:
        return columns[0]
    if any(column.qualities is not None for column in columns):
        columns = [column if column.qualities is not None else column.marked() for column in columns]
    qualities = [column.qualities for column in columns if column.qualities is not None]
    whys = [column.whys for column in columns if column.whys is not None]
    return Column(
        np.concatenate([column.places for column in columns]),
        np.concatenate([column.values for column in columns]),
        np.concatenate([column.sourced for column in columns]),
        np.concatenate([column.served for column in columns]),
        np.concatenate(qualities) if qualities else None,
        np.concatenate(whys) if whys else None,
    )


def turns(places: NDArray[Any]) -> Iterator[NDArray[np.intp]]:
    """Give the rows in turns so that no place stands twice in one: first everybody's first value, and so on."""
    count = len(places)
    rows = np.arange(count)
    if bool((places[1:] > places[:-1]).all()):  # most often they come in their order
        yield rows
        return
    order = np.argsort(places, kind="stable")
    follows = np.diff(places[order]) == 0
    if not follows.any():
        yield rows
        return
    first = np.concatenate(([0], np.where(follows, 0, rows[1:])))
    turn = rows - np.maximum.accumulate(first)
    for number in range(int(turn.max()) + 1):
        yield np.sort(order[turn == number])


def last_rows(places: NDArray[Any]) -> NDArray[np.intp]:
    """Give the row of each place's last value."""
    _, back = np.unique(places[::-1], return_index=True)
    return len(places) - 1 - back


def series_of(
    columns: Iterable[Column],
    layout: Layout,
    words: Words,
    received_at: datetime,
    sequence: int,
    *,
    repeated: bool = False,
) -> Iterator[Series]:
    """Make one series of each form that the columns have."""
    by_form: dict[int, list[Column]] = {}
    for column in columns:
        if len(column.places):
            by_form.setdefault(column.form, []).append(column)
    for form, parts in sorted(by_form.items()):
        column = joined(parts)
        qualities, whys, reasons = _marks(column, words)
        yield Series(
            layout=layout,
            received_at=received_at,
            sequence=sequence,
            form=FORMS[form],
            places=column.places.astype("<u4").tobytes(),
            values=column.values.astype(FORMS[form], copy=False).tobytes(),
            qualities=qualities,
            whys=whys,
            reasons=reasons,
            sourced=_shared(column.sourced),
            served=_shared(column.served),
            repeats=b"\1" if repeated else b"\0",
        )


def _marks(column: Column, words: Words) -> tuple[bytes, bytes, tuple[str, ...]]:
    if column.qualities is None or column.whys is None:
        return b"\0", b"\0", ("",)
    met, numbers = np.unique(column.whys, return_inverse=True)
    said = [words[number] for number in met.tolist()]
    if said[0]:
        said, numbers = ["", *said], numbers + 1
    if len(said) > _MOST_REASONS:
        said, numbers = [*said[: _MOST_REASONS - 1], _OF_MANY], np.minimum(numbers, _MOST_REASONS - 1)
    return _shared(column.qualities), _shared(numbers.astype(np.uint8)), tuple(said)


def _shared(column: NDArray[Any]) -> bytes:
    """The column's bytes; those of one item when it holds for all."""
    return column[:1].tobytes() if (column == column[0]).all() else column.tobytes()
