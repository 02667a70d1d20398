"""Keys: which pushes were taken under which Idempotency-Key, durable with the values themselves."""

import struct
from collections.abc import Mapping
from datetime import datetime

from gateway.core.errors import Reused
from gateway.core.series import ticks

_NAME = "key."
_HELD = struct.Struct("<q8s")


class Keys:
    """The last `most` keys, each with the digest of what was sent. Kept in the same commit as the values."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._marks: dict[str, bytes] = {}

    def remember(self, memory: Mapping[str, bytes]) -> None:
        """Take the keys of an earlier run, the oldest first."""
        held = [
            (*_HELD.unpack(value), name.removeprefix(_NAME))
            for name, value in memory.items()
            if name.startswith(_NAME) and len(value) == _HELD.size
        ]
        self._marks = {key: mark for _, mark, key in sorted(held)}

    def seen(self, key: str, mark: bytes) -> bool:
        """Say whether this was committed under its key. Raises `Reused` when other bytes were."""
        held = self._marks.get(key)
        if held is None:
            return False
        self.same(held, mark)
        return True

    @staticmethod
    def same(held: bytes, mark: bytes) -> None:
        """Raise `Reused` when a key stands for other bytes."""
        if held != mark:
            raise Reused("this Idempotency-Key already stands for other content")

    def keep(self, key: str, mark: bytes, at: datetime) -> dict[str, bytes]:
        """Give what is to be committed with the values: the key, and the oldest forgotten."""
        told = {_NAME + key: _HELD.pack(ticks(at), mark)}
        self._marks[key] = mark
        for old in list(self._marks)[: max(0, len(self._marks) - self._most)]:
            del self._marks[old]
            told[_NAME + old] = b""
        return told
