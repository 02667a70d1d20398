"""What a token endpoint answers: a token, the next refresh token, or why there is none."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import httpx2

from gateway.core.errors import Unreachable

_DEFAULT_LIFE_S = 300.0
_LONGEST_TOKEN = 16_384
_RENEW = (0.75, 0.85)
_KNOWN = frozenset(
    {
        "invalid_request",
        "invalid_client",
        "invalid_grant",
        "unauthorized_client",
        "unsupported_grant_type",
        "invalid_scope",
        "invalid_target",
        "temporarily_unavailable",
        "server_error",
    }
)
"""The error codes of RFC 6749 and 8707: the only words of an answer that are passed on."""


class NoToken(Unreachable):
    """There is no token, so the request was not sent. `refused`: the client itself is not accepted."""

    def __init__(self, message: str, *, refused: bool = False, code: str = "") -> None:
        super().__init__(message)
        self.refused, self.code = refused, code


@dataclass(frozen=True, slots=True)
class Token:
    """An access token. Times by the monotonic clock, in seconds. Its repr does not show it."""

    value: str
    renew_at: float
    ends_at: float

    def __repr__(self) -> str:
        return "Token(...)"


def read_token(content: bytes, now: float, dice: Callable[[float, float], float]) -> tuple[Token, str]:
    """Read a token endpoint's 200: the token, and the next refresh token, "" when it stays. Raises `NoToken`."""
    try:
        said: Any = json.loads(content)
    except ValueError:
        raise NoToken("no token: the token endpoint's answer is no JSON") from None
    if not isinstance(said, dict) or not isinstance(said.get("access_token"), str):
        raise NoToken("no token: the token endpoint's answer has no access_token")
    value = said["access_token"]
    if not _fits_a_header(value):
        raise NoToken("no token: the access_token cannot be sent in a header")
    if str(said.get("token_type", "")).lower() != "bearer":
        raise NoToken("no token: the token is not of type bearer")
    life = _life(said.get("expires_in"))
    turned = said.get("refresh_token")
    token = Token(value, now + life * dice(*_RENEW), now + life)
    return token, turned if isinstance(turned, str) and len(turned) <= _LONGEST_TOKEN else ""


def _fits_a_header(value: str) -> bool:
    return value.isascii() and value.isprintable() and 0 < len(value) <= _LONGEST_TOKEN


def _life(expires_in: object) -> float:
    """Give a token's life in seconds; what is missing, zero or no number is five minutes."""
    try:
        life = float(str(expires_in))
    except ValueError:
        return _DEFAULT_LIFE_S
    return life if 0 < life < float("inf") else _DEFAULT_LIFE_S


def error_code(answer: httpx2.Response) -> str:
    """Give the error of RFC 6749 that an answer names, "" for anything else."""
    try:
        said: Any = answer.json()
    except ValueError:
        return ""
    code = said.get("error") if isinstance(said, dict) else None
    return code if isinstance(code, str) and code in _KNOWN else ""
