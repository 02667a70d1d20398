"""Who asks, and what it may do."""

import msgspec


class Caller(msgspec.Struct, frozen=True):
    """Who asks: the token's subject ("" for a caller without one) and what it may do."""

    subject: str = ""
    scopes: frozenset[str] = frozenset()
