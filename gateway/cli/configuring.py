"""What `andon plan`, `apply` and `config` share: the question to the running gateway, the answer in words."""

from pathlib import Path
from typing import Literal

import click
import msgspec

from gateway.core.ports import AppliedConfig
from gateway.runtime.reload import Told

_SIGNS = {"added": "+", "removed": "-", "changed": "~"}
_SAID = {
    "same": "nothing to do",
    "plan": "not applied yet: andon apply",
    "applied": "applied",
    "kept": "applied and kept, though not all is well",
    "rolled_back": "rolled back: the settings from before run again",
    "refused": "refused: nothing was touched",
}


def asked(
    do: Literal["plan", "apply"],
    file: str | None,
    config: str | None,
    *,
    within_s: float = 30.0,
    keep: bool = False,
) -> Told:
    """Ask the gateway that runs on the settings' store. Raises `Misconfigured` with every fault, `Unreachable`."""
    from gateway.runtime.control import Ask, ask
    from gateway.runtime.settings import load

    known = load(config or file)
    new = load(file) if file is not None else None
    text, name = (new.text, str(Path(new.file).absolute())) if new is not None else (None, "andon.toml")
    return ask(Path(known.store.path), Ask(do, text, name, within_s, keep))


def history(config: str | None) -> list[AppliedConfig]:
    """Read what was applied, the newest first; [] of a database server without tables. Raises `Missing`."""
    from gateway.cli.common import with_store
    from gateway.runtime.settings import load
    from gateway.store.schema import revision_of

    store = load(config).store
    if store.url is not None and revision_of(store) is None:
        return []
    return with_store(config, lambda _, store: store.read(lambda tx: tx.configs(limit=200)))


def print_told(told: Told, output: str) -> None:
    """Print an answer: for people, or as one JSON object."""
    if output == "json":
        click.echo(msgspec.json.encode(told).decode())
        return
    for change in told.changes:
        keys = f" ({', '.join(change.keys)})" if change.keys else ""
        does = f"needs a restart: {change.restart}" if change.restart else _does(change.touches)
        click.echo(f"{_SIGNS[change.kind]} {change.part}{keys}: {does}")
    for why in told.why:
        click.echo(f"! {why}")
    if told.note:
        click.echo(f"note: {told.note}")
    outcome = "same" if told.outcome == "plan" and told.digest == told.running and not told.changes else told.outcome
    click.echo(f"{_SAID[outcome]}; {told.running} runs{f', {told.digest} is new' if outcome == 'plan' else ''}")


def _does(touches: tuple[str, ...]) -> str:
    return f"begins again: {', '.join(touches)}" if touches else "takes effect at once, nothing begins again"
