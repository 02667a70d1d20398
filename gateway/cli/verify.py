"""`andon verify`: an order's evidence and decision, computed again."""

import sys
from pathlib import Path
from typing import Any

import rich_click as click

from gateway.cli.common import config_option, output_option, printable, show, with_store
from gateway.cli.exits import Exit

COLUMNS: dict[str, Any] = {
    "what": lambda row: row.what,
    "verdict": lambda row: row.verdict,
    "detail": lambda row: row.detail,
}


@click.command()
@click.argument("order", required=False)
@click.option("--version", "number", type=click.IntRange(1), help="One version of the order (default: every one).")
@click.option(
    "--file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="What `andon orders export` wrote; needs no store and no settings.",
)
@click.option(
    "--models",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="The bundle that decided, when it is not the one of the settings.",
)
@config_option
@output_option
def cli(
    order: str | None,
    number: int | None,
    file: Path | None,
    models: Path | None,
    config: str | None,
    output: str | None,
) -> None:
    """Compute every hash of an order's evidence again, and the decision from nothing but that evidence.

    Exit 0: proven. 5: something differs, and is named. 3: there is no such order. 1: the FILE is no export.

    Examples:  andon verify AN3K7Q0V9W2ZT4E1MPRX   |   andon verify --file order.zip
    """
    if (order is None) == (file is None):
        raise click.UsageError("name an order, or a --file")
    if file is not None and number is not None:
        raise click.UsageError("--version is for the store: a file holds one version")
    checks = _of_file(file, models) if file is not None else with_store(config, _OfOrder(str(order), number, models))
    if not checks:
        version = "" if number is None else f" version {number}"
        click.echo(f"no order {order}{version}; `andon orders list` shows what there is", err=True)
        sys.exit(Exit.NOT_THERE)
    show(checks, COLUMNS, output)
    bad = [check for check in checks if not check.fine]
    if bad:
        click.echo(printable(f"not proven: {', '.join(dict.fromkeys(check.what for check in bad))}"), err=True)
        sys.exit(Exit.NOT_ALL)
    rest = [check.what for check in checks if check.verdict != "proven"]
    click.echo(f"proven; not checked: {', '.join(rest)}" if rest else "proven", err=True)


def _of_file(file: Path, models: Path | None) -> Any:
    from gateway.runtime.making import bundle_of
    from gateway.runtime.parcel import unpack
    from gateway.runtime.proof import prove

    bundle = models or bundle_of("bundled")
    return prove(unpack(file), bundle, bundle)


class _OfOrder:
    def __init__(self, key: str, version: int | None, models: Path | None) -> None:
        self._key, self._version, self._models = key, version, models

    async def __call__(self, settings: Any, store: Any) -> Any:
        import asyncio

        from gateway.runtime.diagnosis_settings import WITHOUT
        from gateway.runtime.making import bundle_of
        from gateway.runtime.proof import dossiers_of, prove_all

        found = await dossiers_of(store, self._key, self._version)
        named = settings.diagnosis.models
        diagnosis = self._models or bundle_of("bundled" if named == WITHOUT else named)
        language = self._models or bundle_of(settings.language.encoder)
        return await asyncio.to_thread(prove_all, found, diagnosis, language)
