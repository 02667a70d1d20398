"""Rotating machines over OPC UA: `python -m simulators.opcua --asset M-01 --asset M-02 --port 0`.

Prints `READY {"endpoint": …}` when it serves (nodes: see simulators.line). Commands are read from stdin, one
JSON object a line, and answered with `OK {…}` or `ERROR …`:

{"inject": "bearing_outer_race", "asset": "M-01", "severity": 0.7, "ramp": "10s"}
{"clear": "M-01"}
{"quality": "bad", "asset": "M-01", "tag": "vibration"}        good, uncertain, bad; no tag: all of them
{"silence": true, "asset": "M-01", "tag": "speed"}             stop sending a tag; false goes on
{"set": "M-01", "speed": 0.8, "load": 1.0}                     set points, 1 = rated

With --pki it is secured (simulators.papers): every policy of today, no plain text. --strict wants the client in its
trusted folder, --user with --password-env wants that user, or a certificate in users/certs.

Ends on SIGTERM and SIGINT, and with --until-eof when stdin ends.
"""

import argparse
import asyncio
import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from simulators import scenario
from simulators.bearings import named
from simulators.console import attend, fail, say
from simulators.faults import HEALTHY
from simulators.feed import Feed, layout
from simulators.line import TAGS, LineServer
from simulators.machine import Machine
from simulators.papers import Papers
from simulators.rig import plain_rig
from simulators.voice import Voice

PROGRAM = "simulators.opcua"


class Command(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One command from stdin; exactly one of the first five is given."""

    inject: str | None = None
    clear: str | None = None
    quality: Literal["good", "uncertain", "bad"] | None = None
    silence: bool | None = None
    set: str | None = None
    asset: str = ""
    tag: str = ""
    severity: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.7
    ramp: str = "0s"
    speed: Annotated[float, msgspec.Meta(ge=0.05, le=1.5)] | None = None
    load: Annotated[float, msgspec.Meta(ge=0, le=1.5)] | None = None


@dataclass(frozen=True, slots=True)
class Plant:
    """The machines that are served together, and what may be done to them."""

    feeds: dict[str, Feed]
    server: LineServer

    async def answer(self, line: str) -> str:
        """Do what one line asks for; gives the reply. Raises ValueError."""
        try:
            command = msgspec.json.decode(line, type=Command)
        except msgspec.DecodeError as wrong:
            raise ValueError(f"not a command: {wrong}") from None
        return f"OK {json.dumps(await self._obey(command), ensure_ascii=False)}"

    async def _obey(self, command: Command) -> dict[str, object]:
        if command.inject is not None:
            feed = self._feed(command.asset)
            await feed.inject(command.inject, command.severity, scenario.seconds(command.ramp))
            return {"asset": feed.asset, "fault": command.inject, "severity": command.severity}
        if command.clear is not None:
            feed = self._feed(command.clear)
            await feed.inject(HEALTHY, 0.0)
            return {"asset": feed.asset, "fault": HEALTHY}
        if command.set is not None:
            feed = self._feed(command.set)
            await feed.set(command.speed, command.load)
            return {"asset": feed.asset, "speed": command.speed, "load": command.load}
        if command.quality is None and command.silence is None:
            raise ValueError("give one of inject, clear, quality, silence, set")
        feed = self._feed(command.asset)
        for tag in self._tags(command.tag):
            if command.quality is not None:
                self.server.grade(feed.asset, tag, command.quality)
            if command.silence is not None:
                self.server.silence(feed.asset, tag, silent=command.silence)
        return {"asset": feed.asset, "tag": command.tag or "all"}

    def _feed(self, asset: str) -> Feed:
        if not asset and len(self.feeds) == 1:
            return next(iter(self.feeds.values()))
        if asset not in self.feeds:
            raise ValueError(f"no machine {asset!r} here; there are {', '.join(self.feeds)}")
        return self.feeds[asset]

    def _tags(self, tag: str) -> list[str]:
        if tag and tag not in TAGS:
            raise ValueError(f"no tag {tag!r}; there are {', '.join(TAGS)}")
        return [tag] if tag else list(TAGS)

    async def follow(self, script: scenario.Script) -> None:
        """Let happen what the script says, at its times."""
        start = asyncio.get_running_loop().time()
        for step in script.step:
            await asyncio.sleep(max(0.0, start + scenario.seconds(step.at) - asyncio.get_running_loop().time()))
            feed = self.feeds[step.asset or next(iter(self.feeds))]
            await feed.inject(step.fault, step.severity, scenario.seconds(step.ramp))
            say("STEP", asset=feed.asset, fault=step.fault, severity=step.severity)


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog=PROGRAM, description="Rotating machines with a physical fault model, over OPC UA"
    )
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one; READY says which")
    parser.add_argument("--asset", action="append", default=[], metavar="ID", help="a machine; may be repeated")
    parser.add_argument(
        "--bearing",
        action="append",
        default=[],
        help="designation or geometry (9:7.94:39.04); once for all, or one per asset",
    )
    parser.add_argument("--speed", action="append", type=float, default=[], help="rated speed in rpm; likewise")
    parser.add_argument("--rate", type=float, default=12_800, help="sampling rate in Hz")
    parser.add_argument("--block", type=float, default=0.5, help="seconds of signal per value")
    parser.add_argument("--load", type=float, default=0.7, help="load, 1 = rated")
    parser.add_argument("--warming", type=float, default=25, help="thermal time constant in seconds")
    parser.add_argument("--seed", type=int)
    parser.add_argument("--syslog", metavar="HOST:PORT", help="send the log by syslog (RFC 5424, UDP)")
    parser.add_argument("--logfile", help="append the log to a file; {asset} in its name gives each machine its own")
    parser.add_argument("--talk", type=float, default=1.0, help="multiplies how often the machines log")
    parser.add_argument("--script", help="script of faults: a .toml file, or one of simulators/scenarios by name")
    parser.add_argument("--pki", metavar="FOLDER", help="serve secured only; its certificate is made there")
    parser.add_argument("--strict", action="store_true", help="let in whom the folder's trusted/certs has, nobody else")
    parser.add_argument("--user", default="", help="let in this user, no anonymous")
    parser.add_argument("--password-env", metavar="NAME", help="the variable with the user's password")
    parser.add_argument("--until-eof", action="store_true", help="end when stdin ends")
    return parser.parse_args(arguments)


def _machines(options: argparse.Namespace, seed: int) -> list[Machine]:
    assets = list(dict.fromkeys(options.asset or ["M-01"]))
    bearings, speeds = options.bearing or ["6205"], options.speed or [1797.0]
    for what, given in (("--bearing", bearings), ("--speed", speeds)):
        if len(given) not in (1, len(assets)):
            raise ValueError(f"{what}: give it once, or once per asset ({len(assets)})")
    if min(speeds) <= 0 or not 0 < options.block <= 10 or not 1000 <= options.rate <= 200_000:  # noqa: PLR2004 (limits)
        raise ValueError("a speed above 0 rpm, a block of 0 to 10 s and a rate of 1000 to 200000 Hz are needed")
    for bearing in bearings:
        named(bearing)
    machines = []
    for index, asset in enumerate(assets):
        rig = plain_rig(
            asset,
            bearing=bearings[index % len(bearings)],
            speed_rpm=speeds[index % len(speeds)],
            rate_hz=options.rate,
            seed=seed,
        )
        machines.append(Machine(rig, seed, load=options.load, tau_s=options.warming, talk=options.talk))
    return machines


def _papers(options: argparse.Namespace) -> Papers | None:
    if options.pki is None:
        if options.user or options.strict:
            raise ValueError("--user and --strict want --pki: nothing of it would hold in plain text")
        return None
    password = os.environ.get(options.password_env or "", "")
    if options.user and not password:
        raise ValueError("--user wants --password-env, the name of a variable that holds the password")
    return Papers(Path(options.pki), options.strict, options.user, password)


def _address(text: str | None) -> tuple[str, int] | None:
    if text is None:
        return None
    host, _, port = text.rpartition(":")
    if not host or not port.isdigit():
        raise ValueError(f"--syslog wants HOST:PORT, got {text!r}")
    return host, int(port)


async def _serve(options: argparse.Namespace) -> None:
    script = scenario.load(options.script, options.asset or ["M-01"]) if options.script else scenario.Script([])
    seed = next(number for number in (options.seed, script.seed, 1) if number is not None)
    machines = _machines(options, seed)
    papers = _papers(options)
    voice = Voice(_address(options.syslog), options.logfile)
    try:
        voice.check([machine.rig.name for machine in machines])
        async with LineServer([layout(machine) for machine in machines], options.host, options.port, papers) as server:
            feeds = {m.rig.name: Feed(m, server, voice, options.block) for m in machines}
            plant = Plant(feeds, server)
            running = [asyncio.create_task(feed.run()) for feed in feeds.values()]
            running.append(asyncio.create_task(plant.follow(script)))
            say("READY", endpoint=server.endpoint, assets=list(feeds), rate_hz=options.rate, seed=seed)
            await attend(plant.answer, *running, until_eof=options.until_eof)
    finally:
        voice.close()


def main(arguments: list[str] | None = None) -> int:
    """Serve until told to stop; 2 on bad arguments."""
    options = _options(arguments)
    try:
        asyncio.run(_serve(options))
    except (ValueError, OSError) as wrong:
        return fail(PROGRAM, str(wrong))
    return 0


if __name__ == "__main__":
    sys.exit(main())
