"""`andon tokens`: access tokens of our own, for a plant without an identity provider."""

from typing import TYPE_CHECKING, Any

import rich_click as click

from gateway.cli.common import config_option, output_option, show, stamp

if TYPE_CHECKING:
    from datetime import timedelta

    from gateway.runtime.settings import Settings

COLUMNS: dict[str, Any] = {
    "id": lambda row: row.id,
    "subject": lambda row: row.subject,
    "scopes": lambda row: " ".join(row.scopes),
    "roles": lambda row: " ".join(row.roles),
    "lines": lambda row: " ".join(row.lines),
    "ends": lambda row: stamp(row.ends_at),
    "revoked": lambda row: "yes" if row.revoked else "",
}
_LONGEST_SUBJECT = 128
_SCOPES = (
    "read",
    "reports:write",
    "review:write",
    "orders:write",
    "dlq:write",
    "line:push",
    "line:write",
    "production:write",
)


@click.group()
def cli() -> None:
    """Access tokens made here: for a plant without an identity provider."""


@cli.command()
@click.argument("subject")
@click.option("--scope", "scopes", multiple=True, type=click.Choice(_SCOPES), help="May be repeated.")
@click.option("--role", "roles", multiple=True, help="A role of [api.roles]; may be repeated.")
@click.option("--line", "lines", multiple=True, help="A line of the assets; may be repeated. Without it: every line.")
@click.option("--life", default="90d", show_default=True, help="How long it counts: 8h, 90d; a year at most.")
@config_option
@click.option(
    "-o",
    "--output",
    type=click.Choice(["table", "json", "jsonl"]),
    default=None,
    help="Default: the bare token, on a terminal and piped; json has its id too.",
)
def create(
    subject: str,
    scopes: tuple[str, ...],
    roles: tuple[str, ...],
    lines: tuple[str, ...],
    life: str,
    config: str | None,
    output: str | None,
) -> None:
    """Make a token for SUBJECT and print it once: it is kept nowhere.

    Example:  andon tokens create press-camera --scope line:push --line L2 --life 90d
    """
    import json
    from datetime import UTC, datetime

    from gateway.runtime.settings import load

    if not 0 < len(subject) <= _LONGEST_SUBJECT or not subject.isprintable():
        raise click.BadParameter("1 to 128 characters that can be printed", param_hint="SUBJECT")
    lasts = _lasting(life)
    settings = load(config)
    if not scopes and not roles:
        raise click.UsageError("say what it opens: --scope or --role")
    _known(settings, roles, lines)
    made = datetime.now(UTC).replace(microsecond=0)
    desk = _desk(settings)
    token, issued = desk.create(subject, scopes, lines or ("*",), settings.site.id, made, made + lasts, roles)
    if output in {"json", "jsonl"}:
        click.echo(json.dumps({"id": issued.id, "token": token}))
    else:
        click.echo(f"token {issued.id} for {subject}, until {stamp(issued.ends_at)}", err=True)
        click.echo(token)


def _lasting(life: str) -> "timedelta":
    """Read how long a token counts. Raises `click.BadParameter`."""
    from datetime import timedelta

    from gateway.core.units import Duration, decode

    try:
        lasts = timedelta(seconds=decode(Duration, life))
    except (ValueError, OverflowError) as bad:
        raise click.BadParameter(str(bad), param_hint="--life") from bad
    if not timedelta(0) < lasts <= timedelta(days=366):
        raise click.BadParameter("more than nothing and at most a year", param_hint="--life")
    return lasts


def _known(settings: "Settings", roles: tuple[str, ...], lines: tuple[str, ...]) -> None:
    """See that the settings know the roles and the lines. Raises `click.BadParameter`."""
    strange = sorted(set(roles) - set(settings.api.roles))
    if strange:
        known = ", ".join(sorted(settings.api.roles)) or "none"
        raise click.BadParameter(f"no {strange[0]!r} under [api.roles]; there is: {known}", param_hint="--role")
    plant = {asset.line for asset in settings.assets if asset.line}
    unknown = sorted(set(lines) - plant)
    if unknown:
        raise click.BadParameter(
            f"no asset is on {unknown[0]!r}; lines: {', '.join(sorted(plant)) or 'none'}", param_hint="--line"
        )


@cli.command("list")
@config_option
@output_option
def list_tokens(config: str | None, output: str | None) -> None:
    """List the tokens that were made here, the oldest first."""
    from gateway.runtime.settings import load

    show(_desk(load(config)).listed(), COLUMNS, output)


@cli.command()
@click.argument("name")
@config_option
def revoke(name: str, config: str | None) -> None:
    """Take back a token by its id, or all of a subject. The running gateway refuses them at once.

    Example:  andon tokens revoke press-camera
    """
    from gateway.runtime.settings import load

    for issued in _desk(load(config)).revoke(name):
        click.echo(f"revoked {issued.id} ({issued.subject})")


def _desk(settings: Any) -> Any:
    from gateway.core.errors import Misconfigured
    from gateway.runtime.local_tokens import Desk

    if settings.api.token_folder is None:
        raise Misconfigured('say where the key is kept: token_folder = "andon-data/tokens" under [api]')
    return Desk(settings.api.token_folder)
