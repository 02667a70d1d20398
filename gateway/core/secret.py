"""Secrets are named, not held: where one is found, and how it is read when it is needed."""

import os
from pathlib import Path

import msgspec

from gateway.core.errors import Misconfigured


class SecretRef(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A reference to a secret: an environment variable or a file. Its repr never shows the secret."""

    env: str | None = None
    file: str | None = None

    def __post_init__(self) -> None:
        if (self.env is None) == (self.file is None):
            raise ValueError('A secret is named by { env = "NAME" } or { file = "/path" }')

    def reveal(self) -> str:
        """Read the secret. Raises `Misconfigured` naming the variable or the file, never the value."""
        if self.env is not None:
            value = os.environ.get(self.env)
            if not value:
                raise Misconfigured(f"environment variable {self.env} is not set")
            if not _is_text(value):
                raise Misconfigured(f"environment variable {self.env} is not UTF-8")
            return value
        try:
            value = Path(str(self.file)).read_text("utf-8").strip()
        except OSError as lost:
            raise Misconfigured(f"secret file {self.file} cannot be read: {lost.strerror}") from lost
        except UnicodeDecodeError:  # it holds bytes of the secret: no cause of ours
            raise Misconfigured(f"secret file {self.file} is not UTF-8") from None
        if not value:
            raise Misconfigured(f"secret file {self.file} is empty")
        return value


def _is_text(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True
