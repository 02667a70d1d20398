"""`andon simulate`: the outside world as processes. The simulators are strangers: started, never imported."""

import os
import sys

import rich_click as click

SIMULATORS = {
    "machine": ("simulators.opcua", "Rotating machines with a physical fault model, camera and log, over OPC UA."),
    "recording": ("simulators.recording", "Play a real vibration recording (.mat .npy .wav .csv) over OPC UA."),
    "oven": ("simulators.modbus", "An oven over Modbus TCP."),
    "erp": ("simulators.erp", "An ERP with OAuth2 that can be told to fail."),
    "dataset": ("simulators.dataset", "Write labelled runs to files: what `andon models train` learns from."),
}


@click.group()
def cli() -> None:
    """Start a simulator; it prints READY with its address, and ends with Ctrl-C.

    Example:  andon simulate machine --asset M-01 --port 4840
    """


def _command(name: str, module: str, line: str) -> click.Command:
    def run(arguments: tuple[str, ...]) -> None:
        # Become the simulator: its signals, streams and exit code are then its own.
        os.execv(sys.executable, [sys.executable, "-m", module, *arguments])  # noqa: S606  (our own module)

    return click.RichCommand(
        name=name,
        callback=run,
        params=[click.Argument(["arguments"], nargs=-1, type=click.UNPROCESSED)],
        help=f"{line} `andon simulate {name} --help` lists its options.",
        short_help=line,
        context_settings={"ignore_unknown_options": True, "help_option_names": []},
    )


for _name, (_module, _line) in SIMULATORS.items():
    cli.add_command(_command(_name, _module, _line))
