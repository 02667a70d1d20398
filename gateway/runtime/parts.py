"""Parts: what a configuration is made of, by content; what a change touches, and what has to wait for a restart."""

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import msgspec

Rows = Mapping[str, Any]

_GROUPS = ("line", "erp")
_TABLES = ("site", "store", "api", "diagnosis", "language", "orders", "production")
_STORE_PLACE = frozenset({"path", "url"})
_DELIVERY = frozenset({"deliver", "reconcile", "follow"})


class Change(msgspec.Struct, frozen=True):
    """One part that differs. `keys` names what does; `touches` the jobs that are ended and begun again.

    `restart` says why it takes effect only at the next start; empty when it is applied at once.
    """

    part: str
    kind: Literal["added", "removed", "changed"]
    keys: tuple[str, ...] = ()
    touches: tuple[str, ...] = ()
    restart: str = ""


def parts_of(rows: Rows) -> dict[str, Any]:
    """Give the parts of a settings file: a table, an asset, a line source, an ERP each, by name."""
    parts: dict[str, Any] = {name: rows.get(name, {}) for name in _TABLES}
    for asset in rows.get("asset", []):
        parts[f"asset.{asset.get('id', '')}"] = asset
    for group in _GROUPS:
        for name, row in rows.get(group, {}).items():
            parts[f"{group}.{name}"] = _with_table(row)
    events = rows.get("events", {})
    parts["events"] = {key: value for key, value in events.items() if key != "to"}
    for row in events.get("to", []):
        parts[f"events.{row.get('name', '')}"] = row
    return parts


def digests(rows: Rows) -> dict[str, str]:
    """Give a digest of the content of every part, twelve hex digits; comments and order do not count."""
    return {name: _digest(part) for name, part in sorted(parts_of(rows).items())}


def whole(parts: Mapping[str, str]) -> str:
    """Give the digest of a configuration from those of its parts."""
    return _digest(dict(sorted(parts.items())))


def changes(old: Rows, new: Rows) -> list[Change]:
    """Say what differs between two configurations, part by part, by name."""
    before, after = parts_of(old), parts_of(new)
    both = sorted({*before, *after})
    return [change for name in both if (change := _change(name, before, after, old, new)) is not None]


def _change(name: str, before: Rows, after: Rows, old: Rows, new: Rows) -> Change | None:
    was, will = before.get(name), after.get(name)
    if _digest(was) == _digest(will):
        return None
    kind: Literal["added", "removed", "changed"] = "changed"
    if name not in before or name not in after:
        kind = "added" if name in after else "removed"
    keys = tuple(_differing(before[name], after[name])) if kind == "changed" else ()
    return Change(name, kind, keys, tuple(sorted(_touched(name, old, new))), _restart(name, keys))


def _touched(name: str, old: Rows, new: Rows) -> set[str]:
    """Give the jobs that stand on a part."""
    group = name.partition(".")[0]
    if group == "line":
        # The first source brings the diagnosis with it, the last one takes it away.
        return {name} | ({"diagnose"} if bool(old.get("line")) != bool(new.get("line")) else set())
    if name.startswith("events."):
        return {f"publish.{name.partition('.')[2]}"}
    if name == "site":  # its id is the source of the events
        return {"diagnose", "listen", *_publishing(old), *_publishing(new)}
    if group == "asset":
        return {"diagnose", "listen"}
    if group == "erp":
        used = {_erp_of(old), _erp_of(new)}
        produces = {"produce"} if name in {_producing(old), _producing(new)} else set()
        if name.partition(".")[2] not in used:
            return produces
        return produces | _DELIVERY | ({"diagnose", "listen"} if len(used) > 1 else set())
    jobs = {
        "diagnosis": {"diagnose"},
        "language": {"listen"},
        "orders": {"diagnose", "listen", *_DELIVERY},
        "production": {"produce"},
        "events": {*_publishing(old), *_publishing(new)},
    }
    return jobs.get(name, set())


def _restart(name: str, keys: tuple[str, ...]) -> str:
    if name == "api":
        return "the web server stays as it is: it listens, and trusts, as it was told at its start"
    if name == "store" and (not keys or _STORE_PLACE & set(keys)):
        return "the store is never opened anew under a running gateway"
    return ""


def _erp_of(rows: Rows) -> str | None:
    named = rows.get("orders", {}).get("erp")
    return named if named is not None else next(iter(rows.get("erp", {})), None)


def _publishing(rows: Rows) -> set[str]:
    return {f"publish.{row.get('name', '')}" for row in rows.get("events", {}).get("to", [])}


def _producing(rows: Rows) -> str:
    return str(rows.get("production", {}).get("to", ""))


def _differing(was: Rows, will: Rows) -> Iterator[str]:
    """Name the keys of a part that differ; of a list of tags, the tags."""
    for key in sorted({*was, *will}):
        old, new = was.get(key), will.get(key)
        if old == new:
            continue
        if key == "tag" and isinstance(old, list) and isinstance(new, list):
            before, after = ({_tag(row): row for row in rows} for rows in (old, new))
            yield from (f"tag {name}" for name in sorted({*before, *after}) if before.get(name) != after.get(name))
        else:
            yield key


def _tag(row: Any) -> str:
    return f"{row.get('asset', '')}/{row.get('tag', '')}" if isinstance(row, dict) else str(row)


def _with_table(row: Any) -> Any:
    """Put the content of a tag table beside its name: a table that was edited is a changed part."""
    named = row.get("tags") if isinstance(row, dict) else None
    if not isinstance(named, str):
        return row
    try:
        return {**row, "(content of tags)": hashlib.sha256(Path(named).read_bytes()).hexdigest()}
    except OSError:
        return row


def _digest(part: Any) -> str:
    return hashlib.sha256(msgspec.json.encode(part, order="deterministic")).hexdigest()[:12]
