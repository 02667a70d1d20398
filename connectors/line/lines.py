"""Log lines: what a syslog datagram or a line of a file says, whatever its form. Pure."""

import re
from datetime import UTC, datetime, timedelta, tzinfo

import msgspec

MOST_TEXT = 8192
_PRIORITY = re.compile(r"<(\d{1,3})>")
_MODERN = re.compile(
    r"1 (?P<at>\S+) (?P<host>\S+) (?P<app>\S+) (?P<pid>\S+) (?P<id>\S+) "
    r"(?P<data>-|(?:\[(?:[^\]\\\"]|\\.|\"(?:[^\"\\]|\\.)*\")*\])+)(?: (?P<text>.*))?",
    re.DOTALL,
)
_OLD = re.compile(
    r"(?P<at>[A-Z][a-z]{2} [ \d]\d \d{2}:\d{2}:\d{2}) (?P<host>\S+) "
    r"(?:(?P<app>[^\s:\[\]]{1,48})(?:\[[^\]]*\])?: ?)?(?P<text>.*)",
    re.DOTALL,
)
_STAMP = re.compile(
    r"\[?(?P<at>\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}:\d{2}(?:[.,]\d{1,9})?(?:Z|[+-]\d{2}:?\d{2})?)\]?[\s,;:|-]*"
)
_WORDS = (
    (0, r"EMERG(?:ENCY)?|PANIC"),
    (1, r"ALERT|ALARM"),
    (2, r"CRIT(?:ICAL)?|FATAL"),
    (3, r"ERR(?:OR)?|FAULT|SEVERE"),
    (4, r"WARN(?:ING)?"),
    (5, r"NOTICE"),
    (6, r"INFO(?:RMATION)?"),
    (7, r"DEBUG|TRACE"),
)
_LEVELS = [(severity, re.compile(rf"\b(?:{words})\b", re.IGNORECASE)) for severity, words in _WORDS]
_HEAD = 60  # characters in which a level word is looked for
_INFO, _NOTICE = 6, 5
_AHEAD = timedelta(days=2)
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


class Said(msgspec.Struct, frozen=True):
    """What a line says: severity of RFC 5424, its own time (aware UTC or None), host, application, text."""

    severity: int
    at: datetime | None
    host: str
    app: str
    text: str


def clean(raw: bytes | str) -> str:
    """Make text that is safe to show: UTF-8 with replacement, no control characters, bounded."""
    text = raw if isinstance(raw, str) else raw[: MOST_TEXT * 4].decode("utf-8-sig", "replace")
    safe = "".join(letter if letter.isprintable() else " " for letter in text[: MOST_TEXT + 1]).strip()
    return safe if len(safe) <= MOST_TEXT else safe[: MOST_TEXT - 1] + "…"


def parse(datagram: bytes, received_at: datetime) -> Said:
    """Read a syslog datagram, RFC 5424 or 3164. Anything else is kept as text, severity notice."""
    text = clean(datagram)
    priority = _PRIORITY.match(text)
    if priority is None or int(priority[1]) > 191:  # noqa: PLR2004 (23 facilities, 8 severities)
        return Said(_NOTICE, None, "", "", text)
    severity, rest = int(priority[1]) % 8, text[priority.end() :]
    if modern := _MODERN.fullmatch(rest):
        return Said(
            severity,
            stamp(modern["at"], received_at.tzinfo),
            _known(modern["host"]),
            _known(modern["app"]),
            (modern["text"] or "").removeprefix("\ufeff").strip(),
        )
    if old := _OLD.fullmatch(rest):
        return Said(severity, _old_stamp(old["at"], received_at), old["host"], old["app"] or "", old["text"].strip())
    return Said(severity, None, "", "", rest.strip())


def read_line(raw: bytes, zone: tzinfo, encoding: str = "utf-8") -> Said:
    """Read a line of a log file: a time at its start and a level word are taken when they are there."""
    text = clean(raw[: MOST_TEXT * 4].decode(encoding, "replace"))
    at = None
    if (found := _STAMP.match(text)) and (at := stamp(found["at"], zone)) is not None:
        text = text[found.end() :].strip() or text
    head = text[:_HEAD]
    severity = next((level for level, words in _LEVELS if words.search(head)), _INFO)
    return Said(severity, at, "", "", text)


def stamp(text: str, zone: tzinfo | None) -> datetime | None:
    """Read an ISO 8601 time; without an offset it is a wall clock of `zone`. None when it is not one."""
    short = re.sub(r"[.,](\d{1,6})\d*", r".\1", text)
    try:
        at = datetime.fromisoformat(short)
    except ValueError:
        return None
    return _utc(at if at.tzinfo is not None else at.replace(tzinfo=zone))


def _old_stamp(text: str, received_at: datetime) -> datetime | None:
    """Read `Nov  3 14:05:09`: the year is the one that brings it nearest to the receive time."""
    month, day, clock = text.split()
    if month not in _MONTHS:
        return None
    hour, minute, second = (int(part) for part in clock.split(":"))
    for year in (received_at.year, received_at.year - 1):
        try:
            at = datetime(year, _MONTHS.index(month) + 1, int(day), hour, minute, second, tzinfo=received_at.tzinfo)
        except ValueError:
            continue
        if at <= received_at + _AHEAD:
            return _utc(at)
    return None


def _utc(at: datetime) -> datetime | None:
    try:
        return at.astimezone(UTC)
    except (OverflowError, ValueError):  # the years 1 and 9999 have no neighbours
        return None


def _known(word: str) -> str:
    return "" if word == "-" else word
