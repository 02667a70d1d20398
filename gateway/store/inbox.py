"""What comes in from outside, each thing once."""

from datetime import datetime

from sqlalchemy import delete, select, update

from gateway.core.errors import Conflict
from gateway.store.part import Part
from gateway.store.tables import inbox


class Inbox(Part):
    """Messages by the name that the sender gave them, with the answer that they got."""

    def first_time(self, scope: str, name: str, fingerprint: str, at: datetime) -> bool:
        """Say whether this message is new; False when the very same came before.

        Raises `Conflict` when something else came under the same name.
        """
        if self._insert_new(inbox, scope=scope, name=name, fingerprint=fingerprint, at=at):
            return True
        known = self.answer_of(scope, name)
        if known is not None and known[0] != fingerprint:
            raise Conflict(f"{scope} {name} was used before for something else")
        return False

    def answer_of(self, scope: str, name: str) -> tuple[str, bytes | None] | None:
        """Fingerprint and answer of a message that came before, or None."""
        look = select(inbox.c.fingerprint, inbox.c.answer).where(inbox.c.scope == scope, inbox.c.name == name)
        found = self._db.execute(look).first()
        return None if found is None else (str(found[0]), found[1])

    def put_answer(self, scope: str, name: str, answer: bytes) -> None:
        """Keep the answer for those who ask again."""
        self._db.execute(update(inbox).where(inbox.c.scope == scope, inbox.c.name == name).values(answer=answer))

    def purge_inbox(self, before: datetime, limit: int) -> int:
        """Forget at most `limit` messages that came before a time; gives how many. They are new if they come again."""
        old = select(inbox.c.scope, inbox.c.name).where(inbox.c.at < before).limit(limit)
        gone = [(row.scope, row.name) for row in self._db.execute(old)]
        for scope, name in gone:
            self._db.execute(delete(inbox).where(inbox.c.scope == scope, inbox.c.name == name))
        return len(gone)
