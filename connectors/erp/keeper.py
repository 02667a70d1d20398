"""Where the newest refresh token is kept: a server that rotates them takes each only once (RFC 9700 4.14)."""

import base64
import binascii
import hmac
import json
import secrets
from typing import Protocol, runtime_checkable

_NONCE = 12


class RefreshKeeper(Protocol):
    """Keeps one refresh token. Both are called from a thread that is no event loop's, and may block for seconds.

    `newest` raises `gateway.core.errors.Unreachable` when it cannot be read: then nobody asks with an older one.
    `keep` returns when the token is durable; it raises `Unreachable` or `Full` when it is not: then the token is
    used all the same and kept at the next occasion.
    """

    def newest(self) -> str: ...  # noqa: D102  "" when none was kept

    def keep(self, token: str) -> None: ...  # noqa: D102


@runtime_checkable
class Remembering(Protocol):
    """An adapter whose refresh token may turn: it is given a keeper before its first request.

    Its settings have `refresh_token`, None when no token turns.
    """

    def keep_with(self, keeper: RefreshKeeper) -> None: ...  # noqa: D102


class Kept:
    """A `RefreshKeeper` for as long as the process lives."""

    def __init__(self) -> None:
        self._token = ""

    def newest(self) -> str:
        """Give what was kept last."""
        return self._token

    def keep(self, token: str) -> None:
        """Remember."""
        self._token = token


class Sealed:
    """A `RefreshKeeper` that lets another one keep its token encrypted (AES-256-GCM).

    The key comes from the first refresh token, which stands in the settings' secrets and not in the store. Who has
    the store alone reads nothing; and a token that somebody's new consent brought opens none of the old ones.
    """

    def __init__(self, inner: RefreshKeeper, first: str, *client: str) -> None:
        self._inner = inner
        self._key = hmac.digest(first.encode(), json.dumps(["andon refresh token", *client]).encode(), "sha256")

    def newest(self) -> str:
        """Give the token; "" when none was kept, or one of another consent."""
        from cryptography.exceptions import InvalidTag  # noqa: PLC0415  10 MiB, and most need no key
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: PLC0415

        try:
            sealed = base64.b64decode(self._inner.newest(), validate=True)
            return AESGCM(self._key).decrypt(sealed[:_NONCE], sealed[_NONCE:], None).decode()
        except (InvalidTag, binascii.Error, ValueError):
            return ""

    def keep(self, token: str) -> None:
        """Encrypt, and let it be kept."""
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: PLC0415  as above

        nonce = secrets.token_bytes(_NONCE)
        sealed = nonce + AESGCM(self._key).encrypt(nonce, token.encode(), None)
        self._inner.keep(base64.b64encode(sealed).decode())
