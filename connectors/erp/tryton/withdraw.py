"""Taking a record back: buttons one after the other, so that a planner who has begun always wins."""

from connectors.erp.tryton.door import Door, Row
from connectors.erp.tryton.record import Record
from gateway.core.delivery import Outcome, Rejected

_MOST_PRESSES = 4
_MOST_BEGUN = 10_000


class Withdrawals:
    """The withdrawals that were begun. One that was cut is gone on with, by a new process too.

    Each button holds for one state, so Tryton itself refuses it when a planner was faster. Behind the first one
    a note is written: it says to a later call who has begun.
    """

    def __init__(self, door: Door, record: Record) -> None:
        self._door, self._record = door, record
        self._model, self._carrier = record.shape.model, record.shape.carrier
        self._begun: set[str] = set()

    async def go_on(self, row: Row, key: str, reason: str) -> Row | Outcome:
        """Press until it is cancelled; gives the record then, or what became of a request."""
        if row.get("state") not in self._carrier.untouched and not self._is_ours(row, key):
            return Rejected(f"it is {row.get('state')} in the ERP: somebody has begun")
        told = await self._press_on(row, key, reason)
        if isinstance(told, dict | Rejected):
            self._begun.discard(key)
        return told

    async def _press_on(self, row: Row, key: str, reason: str) -> Row | Outcome:
        for _ in range(_MOST_PRESSES):
            button = self._carrier.cancel.get(str(row.get("state")))
            if button is None or self._is_cancelled(row):
                break
            if len(self._begun) < _MOST_BEGUN:
                self._begun.add(key)
            told = await self._door.write("POST", f"{self._path(row)}/{button}", self._record.read, {})
            if isinstance(told, dict):
                told = await self._noted(told, key, reason)
            if not isinstance(told, dict):
                return told
            row = told
        if self._is_cancelled(row):
            return row
        return Rejected(f"it is {row.get('state')} in the ERP and cannot be taken back")

    async def _noted(self, row: Row, key: str, reason: str) -> Row | Outcome:
        field = self._carrier.note_field
        note = str(row.get(field) or "")
        if not field or _mark(key) in note:
            return row
        said = {field: f"{note}\n{_mark(key)} {reason}".strip()}
        return await self._door.write("PUT", self._path(row), self._record.read, said)

    def _is_ours(self, row: Row, key: str) -> bool:
        """Say whether it is we who began; whoever wrote after that wins."""
        field = self._carrier.note_field
        noted = bool(field) and _mark(key) in str(row.get(field))
        return (noted or key in self._begun) and row.get("write_uid") == row.get("create_uid")

    def _is_cancelled(self, row: Row) -> bool:
        return self._carrier.states.get(str(row.get("state"))) == "cancelled"

    def _path(self, row: Row) -> str:
        return f"{self._model}/{row['id']}"


def _mark(key: str) -> str:
    return f"[{key} withdrawn]"
