"""`andon events`: who is told of events, how far, and a try."""

import asyncio
import sys
from typing import Any

import msgspec
import rich_click as click

from gateway.cli.common import config_option, output_option, show, stamp, with_store
from gateway.cli.exits import Exit
from gateway.core.plural import plural

COLUMNS: dict[str, Any] = {
    "name": lambda row: row.name,
    "state": lambda row: row.state,
    "waiting": lambda row: row.waiting,
    "parked": lambda row: row.parked,
    "behind": lambda row: row.behind,
    "types": lambda row: " ".join(row.types),
    "why": lambda row: row.why,
}


class Told(msgspec.Struct, frozen=True):
    """A subscriber. `behind` counts the lines of the audit trail that were not looked at for it yet."""

    name: str
    state: str
    waiting: int
    parked: int
    behind: int
    types: tuple[str, ...]
    why: str


@click.group()
def cli() -> None:
    """Events out: who is told, how far, and a try."""


@cli.command("list")
@config_option
@output_option
def list_subscribers(config: str | None, output: str | None) -> None:
    """List who is told of events: on, off (and why), or not in the settings any more.

    What is parked is in `andon dlq list`.
    """

    async def act(settings: Any, store: Any) -> Any:
        return await store.read(lambda tx: _told(tx, {one.name: one.types for one in settings.events.to}))

    show(with_store(config, act), COLUMNS, output)


@cli.command()
@click.argument("name")
@click.option("--from-now", is_flag=True, help="Leave out what happened while it was off.")
@config_option
def enable(name: str, from_now: bool, config: str | None) -> None:
    """Send to a subscriber again that asked never to be told again (410), or that parked too much. Exit 3 without one.

    Example:  andon events enable mes
    """
    from datetime import UTC, datetime

    from gateway.flow.publish import turn_on

    def step(tx: Any) -> bool:
        stand = tx.subscriber(name)
        if stand is not None:
            turn_on(tx, stand, datetime.now(UTC), from_now=from_now)
        return stand is not None

    async def act(_: Any, store: Any) -> Any:
        return await store.write(step)

    if not with_store(config, act):
        click.echo(f"{name} was never told anything; `andon events list` shows who is", err=True)
        sys.exit(Exit.NOT_THERE)
    click.echo(f"{name}: is told again{' of what happens from now on' if from_now else ''}")


@cli.command()
@click.argument("name")
@config_option
def forget(name: str, config: str | None) -> None:
    """Let go of a subscriber that is not in the settings any more, with what it was not told. Exit 3 without one.

    Example:  andon events forget old-mes
    """
    from datetime import UTC, datetime

    def step(tx: Any) -> int | None:
        if tx.subscriber(name) is None:
            return None
        gone = tx.forget_subscriber(name)
        tx.note("events.forgotten", name, datetime.now(UTC), f"{plural(gone, 'event')} that it was not told")
        return int(gone)

    async def act(settings: Any, store: Any) -> Any:
        if name in {one.name for one in settings.events.to}:
            raise Refused(f"{name} is in the settings: take its [[events.to]] out first")
        return await store.write(step)

    from gateway.core.errors import Refused

    gone = with_store(config, act)
    if gone is None:
        click.echo(f"{name} was never told anything; `andon events list` shows who is", err=True)
        sys.exit(Exit.NOT_THERE)
    click.echo(f"{name}: forgotten, with {plural(gone, 'event')} that it was not told")


@cli.command()
@click.argument("name")
@config_option
def test(name: str, config: str | None) -> None:
    """Send one event `io.andon.test.v1`, now, and say what the receiver made of it. Exit 6 when it did not take it.

    Example:  andon events test mes
    """
    from gateway.core.errors import Missing
    from gateway.core.event import Heard
    from gateway.runtime.settings import load

    settings = load(config)
    one = next((one for one in settings.events.to if one.name == name), None)
    if one is None:
        known = ", ".join(one.name for one in settings.events.to) or "none"
        raise Missing(f"no [[events.to]] of the settings is called {name!r}; there is: {known}")
    heeded = asyncio.run(_try(settings, one))
    if isinstance(heeded, Heard):
        click.echo(f"{name}: taken")
        return
    click.echo(f"{name}: not taken: {heeded.cause}", err=True)
    sys.exit(Exit.AILING)


async def _try(settings: Any, one: Any) -> Any:
    import secrets
    from datetime import UTC, datetime

    from gateway.core.event import TEST, Event
    from gateway.runtime.telling import source_of

    now = datetime.now(UTC)
    event = Event(
        id=f"evt_{secrets.token_hex(16)}",
        name=TEST,
        source=source_of(settings),
        subject=one.name,
        time=now,
        sequence=0,
        data=msgspec.json.encode({"subscriber": one.name}),
    )
    sink = one.open(settings.events.allowed)
    try:
        return await sink.send(event, now)
    finally:
        await sink.close()


def _told(tx: Any, types: dict[str, tuple[str, ...]]) -> list[Told]:
    counts, end = tx.outgoing_counts(), tx.audit_end()
    stands = {one.name: one for one in tx.subscribers()}
    found = []
    for name in sorted({*stands, *types}):
        stand = stands.get(name)
        off = stand is not None and stand.off_at is not None
        state = "not in the settings" if name not in types else "off" if off else "on"
        found.append(
            Told(
                name,
                state,
                counts.get((name, "WAITING"), 0),
                counts.get((name, "PARKED"), 0),
                end - stand.number if stand is not None else 0,
                types.get(name, ()),
                f"since {stamp(stand.off_at)}: {stand.off_why}" if stand is not None and off else "",
            )
        )
    return found
