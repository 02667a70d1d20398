"""Resume: what is remembered of session and subscriptions, so that the next run goes on where this one ended."""

import hashlib
from collections.abc import Collection, Mapping, Sequence

import msgspec

from connectors.line.opcua.settings import Settings
from connectors.opcua.kept import Session

_SESSION, _SUBSCRIPTIONS, _MARKS, _TURN = "session", "subscriptions", "marks", "turn"


class Subscription(msgspec.Struct, frozen=True, array_like=True):
    """A subscription: its plan's name, its id, revised interval (s), keep-alives and lifetime (intervals).

    `keys` says of each item which tag it is (see `key_of`), `items` its id on the server, `handles` our own;
    `slowest` is the longest sampling interval of an item, in seconds.
    """

    name: str
    id: int
    interval: float
    keep_alives: int
    lifetime: int
    keys: bytes
    items: tuple[int, ...]
    handles: tuple[int, ...]
    slowest: float = 0.0

    @property
    def margin(self) -> float:
        """How long at most what is said to have happened waits before it is published, in seconds."""
        return self.interval + self.slowest

    @property
    def silence(self) -> float:
        """How long it may be silent, in seconds."""
        return max(1.0, 1.5 * self.interval * self.keep_alives)


class Kept(msgspec.Struct, frozen=True):
    """What the last run left behind. `marks` is the last committed sequence number by subscription id.

    `turn` is the endpoint to begin with, when it was decided to leave the session's; "" for none.
    """

    session: Session | None = None
    subscriptions: tuple[Subscription, ...] = ()
    marks: dict[int, int] = {}
    turn: str = ""


def recall(memory: Mapping[str, bytes], endpoints: Collection[str], identity: bytes) -> Kept:
    """Read what was kept for these endpoints and this user; what is damaged or of another is as good as none."""
    try:
        session = msgspec.msgpack.decode(memory[_SESSION], type=Session)
        subscriptions = msgspec.msgpack.decode(memory[_SUBSCRIPTIONS], type=tuple[Subscription, ...])
        marks = msgspec.msgpack.decode(memory[_MARKS], type=dict[int, int])
    except (KeyError, msgspec.DecodeError, msgspec.ValidationError):
        return Kept()
    if session.endpoint not in endpoints or session.identity != identity:
        return Kept()
    turn = memory.get(_TURN, b"").decode(errors="replace")
    return Kept(session, tuple(one for one in subscriptions if one.id in marks), marks, turn)


def written(session: Session, subscriptions: Sequence[Subscription]) -> dict[str, bytes]:
    """Write down a session and its subscriptions; that another server was to be turned to is over then."""
    return {
        _TURN: b"",
        _SESSION: msgspec.msgpack.encode(session),
        _SUBSCRIPTIONS: msgspec.msgpack.encode(tuple(subscriptions)),
    }


def marked(marks: Mapping[int, int]) -> dict[str, bytes]:
    """Write down how far each subscription is committed."""
    return {_MARKS: msgspec.msgpack.encode(dict(marks))}


def turned(endpoint: str) -> dict[str, bytes]:
    """Write down which server the next link is to begin with."""
    return {_TURN: endpoint.encode()}


def identity_of(settings: Settings) -> bytes:
    """Give a digest of who we are for the server; no secret can be told from it."""
    user = settings.user
    facts = (
        settings.security,
        settings.mode,
        settings.application_uri,
        "" if user is None else user.name or str(user.certificate),
    )
    return hashlib.sha256(msgspec.json.encode(facts)).digest()[:12]
