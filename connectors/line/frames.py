"""Frames: a stream of syslog split into messages (RFC 6587: octet counting, or an end of line). Pure."""

import re

_COUNTED = re.compile(rb"([1-9]\d{0,8}) <")
_MAYBE_COUNTED = re.compile(rb"[1-9]\d{0,8} ?$")


class Frames:
    """The bytes of one connection. A message longer than `longest` is cut there and counted; its rest is left out."""

    def __init__(self, longest: int) -> None:
        self._longest = longest
        self._held = b""
        self._skip = 0
        self._skip_line = False
        self.cut = 0

    def feed(self, data: bytes) -> list[bytes]:
        """Give the messages that are complete now."""
        self._held += data
        found: list[bytes] = []
        while self._held:
            if not self._skipped():
                break
            counted = _COUNTED.match(self._held)
            if counted is None and _MAYBE_COUNTED.match(self._held):
                break
            message = self._line() if counted is None else self._of(int(counted[1]), counted.end() - 1)
            if message is None:
                break
            if message:
                found.append(message)
        return found

    def end(self) -> list[bytes]:
        """The connection has ended: a line without its end counts, a torn counted message is cut."""
        rest, self._held = self._held, b""
        if self._skip or self._skip_line or not rest.strip(b"\r\n\0 "):
            return []
        counted = _COUNTED.match(rest)
        if counted is not None:
            self.cut += 1
            rest = rest[counted.end() - 1 :]
        return [rest.rstrip(b"\r\n\0")[: self._longest]]

    def _skipped(self) -> bool:
        """Pass over the rest of a message that was cut; False when more of it is to come."""
        if self._skip:
            passed = min(self._skip, len(self._held))
            self._held, self._skip = self._held[passed:], self._skip - passed
            return not self._skip
        if self._skip_line:
            _, found, rest = self._held.partition(b"\n")
            self._held, self._skip_line = rest, not found
            return bool(found)
        return True

    def _of(self, length: int, start: int) -> bytes | None:
        end = start + length
        if length > self._longest:
            if len(self._held) - start < self._longest:
                return None
            message = self._held[start : start + self._longest]
            self._skip = length - self._longest
            self._held = self._held[start + self._longest :]
            self.cut += 1
            return message
        if len(self._held) < end:
            return None
        message, self._held = self._held[start:end], self._held[end:]
        return message.rstrip(b"\r\n\0")

    def _line(self) -> bytes | None:
        at = self._held.find(b"\n")
        if 0 <= at <= self._longest:
            line, self._held = self._held[:at], self._held[at + 1 :]
            return line.rstrip(b"\r\0")
        if len(self._held) <= self._longest:
            return None
        line, self._held = self._held[: self._longest], self._held[self._longest :]
        self._skip_line = True
        self.cut += 1
        return line
