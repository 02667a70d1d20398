"""Marks: the last messages that were committed, so that one that the broker sends again is known. Pure.

A gateway that is killed after a commit has acknowledged what the broker may never have read. The broker
then sends those messages again, flagged, with the packet identifier that they had.
"""

import hashlib
import struct
from collections.abc import Mapping

from connectors.line.mqtt.link import Message

_SLOTS, _PER_SLOT = 512, 64
"""At least 32,000 messages are remembered: as many as a broker may send before it reads an acknowledgement."""
_NAME = "recent."
_MARK = struct.Struct("<H8s")


class Marks:
    """Packet identifier and digest of each committed message, some messages to a slot, the slots in a ring."""

    def __init__(self) -> None:
        self._before: set[bytes] = set()
        self._now: list[bytes] = []
        self._held: list[bytes] = []
        self._slot = 0

    def remember(self, memory: Mapping[str, bytes]) -> None:
        """Take what an earlier run committed; the slot behind its last one is written next."""
        self._slot = (int.from_bytes(memory.get(_NAME + "slot", b""), "little") + 1) % _SLOTS
        for number in range(_SLOTS):
            held = memory.get(f"{_NAME}{number}", b"")
            if len(held) % _MARK.size == 0:
                self._before.update(held[at : at + _MARK.size] for at in range(0, len(held), _MARK.size))

    def met(self, message: Message) -> bool:
        """Say whether the message was committed before; if not, it is part of the next commit."""
        if not message.mid:
            return False
        digest = hashlib.blake2b(message.topic.encode() + b"\0" + message.payload, digest_size=8).digest()
        mark = _MARK.pack(message.mid, digest)
        if message.again and mark in self._before:
            self._before.discard(mark)
            return True
        self._now.append(mark)
        return False

    def kept(self) -> dict[str, bytes]:
        """Give what is to be committed with the messages since the last time."""
        if not self._now:
            return {}
        self._held += self._now
        self._now = []
        slot, marks = self._slot, b"".join(self._held)
        if len(self._held) >= _PER_SLOT:
            self._slot, self._held = (slot + 1) % _SLOTS, []
        return {f"{_NAME}{slot}": marks, _NAME + "slot": slot.to_bytes(2, "little")}
