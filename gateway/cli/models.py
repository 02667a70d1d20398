"""`andon models`: train a bundle, show what is in it, verify its hashes."""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import msgspec
import rich_click as click

from gateway.cli.common import output_option, show
from gateway.core.plural import plural


class Row(msgspec.Struct, frozen=True):
    """One figure."""

    name: str
    value: float


class PartRow(msgspec.Struct, frozen=True):
    """One part of a bundle."""

    name: str
    size: int
    sha256: str
    made_by: str
    metrics: dict[str, float]


@click.group()
def cli() -> None:
    """Models: train, show, verify.

    Example:  andon models train --out my-bundle
    """


@cli.command()
@click.option("--seed", type=int, default=7, show_default=True, help="The same seed gives the same simulated runs.")
@click.option("--rigs", type=click.IntRange(min=4), default=64, show_default=True, help="Simulated machines.")
@click.option("--out", type=click.Path(path_type=Path), default=None, help="Bundle to write (default: ./bundle).")
@click.option("--runs", type=click.Path(path_type=Path, exists=True, file_okay=False), default=None, help="Use these.")
@click.option("--quick", is_flag=True, help="A small bundle in a minute, to see that it works; not for use.")
def train(seed: int, rigs: int, out: Path | None, runs: Path | None, *, quick: bool) -> None:
    """Train the diagnosis models on simulated runs and measure them on rigs that they have not seen.

    The language encoder is taken over from the bundle that ships; the log head is fitted when it is there.
    About five minutes on two cores.

    Example:  andon models train --seed 7 --out my-bundle
    """
    bundle = _folder(out)
    from gateway.diagnosis.training.fit import QUICK, Effort, fit_bundle
    from nlp.logs import open_log_modality
    from nlp.training.logs import fit as fit_log

    os.environ.setdefault("OMP_NUM_THREADS", "1")
    _take_over(bundle)
    begun = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="andon-runs-") as scratch:
        folder = runs or Path(scratch)
        if runs is None:
            _simulate(folder, seed, 4 if quick else rigs, quick=quick)
        click.echo(f"{time.monotonic() - begun:.0f} s: runs are there", err=True)
        log_metrics = fit_log(folder, bundle, seed)
        effort = QUICK if quick else Effort(workers=min(2, os.cpu_count() or 1))
        metrics = fit_bundle(
            folder,
            bundle,
            seed,
            effort=effort,
            log=open_log_modality(bundle),
            say=lambda text: click.echo(text, err=True),
        )
    rows = [Row(name, round(value, 4)) for name, value in (log_metrics | metrics).items()]
    show(rows, {"measured on unseen rigs": lambda row: row.name, "": lambda row: row.value}, None)
    click.echo(f"{bundle}: {time.monotonic() - begun:.0f} s", err=True)


@cli.command(name="show")
@click.argument("bundle", type=click.Path(path_type=Path), required=False)
@output_option
def show_(bundle: Path | None, output: str | None) -> None:
    """Show a bundle's parts, who made them and what was measured.

    Example:  andon models show
    """
    from gateway.core.artifact import read_manifest

    manifest = read_manifest(bundle or _shipped())
    rows = [
        PartRow(name, part.size, part.sha256[:12], part.made_by, part.metrics)
        for name, part in sorted(manifest.parts.items())
    ]
    click.echo(f"bundle {manifest.digest}, made {manifest.created_at}, seed {manifest.seed}", err=True)
    show(
        rows,
        {
            "part": lambda row: row.name,
            "bytes": lambda row: row.size,
            "sha256": lambda row: row.sha256,
            "made by": lambda row: row.made_by,
            "measured": lambda row: ", ".join(f"{k} {v:.3g}" for k, v in list(row.metrics.items())[:4]),
        },
        output,
    )


@cli.command()
@click.argument("bundle", type=click.Path(path_type=Path), required=False)
def verify(bundle: Path | None) -> None:
    """Check every part's hash; the first that differs is named, exit code 2.

    Example:  andon models verify my-bundle
    """
    from gateway.core.artifact import open_part, read_manifest

    chosen = bundle or _shipped()
    manifest = read_manifest(chosen)
    for name in sorted(manifest.parts):
        open_part(chosen, name)
    click.echo(f"{chosen}: {plural(len(manifest.parts), 'part')} as the manifest says, bundle {manifest.digest}")


def _shipped() -> Path:
    from importlib.resources import files

    return Path(str(files("gateway") / "bundle"))


@cli.command("build-encoder")
@click.option("--data", type=click.Path(path_type=Path, exists=True, file_okay=False), required=True)
@click.option("--out", type=click.Path(path_type=Path), default=None, help="Bundle to write (default: ./bundle).")
@click.option("--seed", type=int, default=7, show_default=True)
def build_encoder(data: Path, out: Path | None, seed: int) -> None:
    """Build the bilingual encoder and its reader anew: for maintainers, about half an hour of one processor.

    Needs the extra `train` and the permitted texts (docs/encoder.md). Run `andon models train` after it: the
    fusion was fitted to the old encoder.
    """
    from nlp.training.build import build_encoder as built

    bundle = _folder(out)
    for name, value in built(data, bundle, seed, click.echo).items():
        click.echo(f"{name:24} {value:.4f}")


def _folder(out: Path | None) -> Path:
    """Make the folder of a new bundle."""
    bundle = out or Path("bundle")
    try:
        bundle.mkdir(parents=True, exist_ok=True)
    except OSError as no:
        raise click.BadParameter(f"cannot be a folder ({no.strerror}): {bundle}", param_hint="--out") from no
    return bundle


def _take_over(bundle: Path) -> None:
    """Copy the language parts of the shipped bundle, so that the new one is whole."""
    import shutil

    from gateway.core.artifact import open_part, put_part, read_manifest

    shipped = _shipped()
    if bundle.resolve() == shipped.resolve():
        return
    manifest = read_manifest(shipped)
    for name, part in manifest.parts.items():
        if "/" in name:
            (bundle / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(open_part(shipped, name), bundle / name)
            put_part(bundle, name, part.made_by, part.metrics, seed=manifest.seed, created_at=manifest.created_at)


def _simulate(folder: Path, seed: int, rigs: int, *, quick: bool) -> None:
    """Record the runs in two processes of the simulators."""
    first = [0, rigs // 2]
    count = [rigs // 2, rigs - rigs // 2]
    seconds, severities = ("4", "1") if quick else ("10", "3")
    jobs = [
        subprocess.Popen(  # noqa: S603  (our own module, no shell)
            [
                *(sys.executable, "-m", "simulators.dataset", "--out", str(folder), "--seed", str(seed)),
                *("--first", str(start), "--rigs", str(many), "--seconds", seconds, "--severities", severities),
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for start, many in zip(first, count, strict=True)
        if many
    ]
    try:
        if any(job.wait(timeout=600) for job in jobs):
            raise click.ClickException("the simulators could not record the runs; try: andon simulate dataset --out X")
    finally:
        for job in jobs:
            job.kill()
