"""`andon demo`: a line, an ERP and the gateway between them, on one machine, with real sockets."""

import asyncio
import contextlib
import signal
import sys
import tempfile
from pathlib import Path

import rich_click as click


@click.command()
@click.option("--once", is_flag=True, help="End by itself when the story is told.")
@click.option("-o", "--output", type=click.Choice(["table", "json"]), default="table", show_default=True)
@click.option("--port", default=0, help="Port of the gateway; 0 takes a free one.", type=click.IntRange(0, 65535))
@click.option("--seed", default=7, show_default=True, help="Seed of the simulators.")
@click.option(
    "--dir", "folder", default=None, type=click.Path(file_okay=False, path_type=Path), help="Keep the data here."
)
def cli(once: bool, output: str, port: int, seed: int, folder: Path | None) -> None:
    """Simulate a line and an ERP, and show the whole road: a defect and two reports become one order each.

    Then the ERP goes away for 10 s and loses replies, and every order is there exactly once all the same.
    Exit code 1 when an order is lost or doubled.
    """
    from gateway.runtime.logs import configure

    configure("WARNING")
    going_on = not once and sys.stdout.isatty()
    with contextlib.ExitStack() as stack:
        if folder is None:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="andon-demo-")))
        folder.mkdir(parents=True, exist_ok=True)
        sys.exit(asyncio.run(_tell(folder.absolute(), port, seed, output, going_on=going_on)))


async def _tell(folder: Path, port: int, seed: int, output: str, *, going_on: bool) -> int:
    from gateway.cli.demo_story import Story

    story = Story(folder, port, seed, output)
    telling = asyncio.create_task(story.tell(going_on=going_on))
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, telling.cancel)
    try:
        return await telling
    except asyncio.CancelledError:
        click.echo("Everything is ended.", err=True)
        return story.code
