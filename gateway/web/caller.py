"""Who asks, what it may do, and where."""

import msgspec


class Caller(msgspec.Struct, frozen=True):
    """Who asks: the token's subject ("" for a caller without one), what it may do, and on which lines.

    `lines` is None for every line. `site` is the site that the token is for, "" for any. `issuer` says whose word
    this is: a subject of one issuer is nobody of another.
    """

    subject: str = ""
    scopes: frozenset[str] = frozenset()
    lines: frozenset[str] | None = None
    site: str = ""
    issuer: str = ""
