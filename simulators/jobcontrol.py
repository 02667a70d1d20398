"""A machine that takes jobs over OPC UA (ISA-95 Job Control v2): `python -m simulators.jobcontrol --port 0`.

Prints `READY {"endpoint": …}` when it serves. In the namespace `urn:andon:machine` the object `s=JobOrderControl` is an
ISA95JobOrderReceiverObjectType, `s=JobOrderResults` an ISA95JobResponseProviderObjectType; `s=order-id`, `s=material`,
`s=quantity` and `s=start` are plain variables that can be written, as a machine without job control has them.

Commands are read from stdin, one JSON object a line, answered with `OK {…}` or `ERROR …`:

{"faults": [{"kind": "lost_reply", "path": "store", "reference": "AN…", "count": 1}]}    see simulators.jobserver
{"job": "AN…", "state": "Running", "code": ""}        the machine moves a job
{"edit": "AN…", "priority": 1}                        a person at the machine changes a job; or "text"
{"deny": true}                                        nobody is let in any more; false lets in again
{"clear": "AN…"}                                      a person clears a job that is over
{"down": 0.6}                                         nobody is served for so long
{"kill": "session"}                                   every session is forgotten, the links stay
{"most": 10}                                          so many jobs fit
{"values": true}                                      what the plain variables hold, and how often each was written
{"state": true}                                       jobs, how often each was made, faults, methods called

With --pki it is secured (simulators.papers). Ends on SIGTERM and SIGINT, and when stdin ends.
"""

import argparse
import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

from asyncua import ua

from simulators.console import attend, fail, say
from simulators.jobs import OK, Book
from simulators.jobserver import KINDS, Fault, Machine
from simulators.papers import Papers

PROGRAM = "simulators.jobcontrol"


class Console:
    """Does with a machine what a line on stdin asks for."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine

    async def answer(self, line: str) -> str:
        """Do what one line asks for; gives the reply. Raises ValueError."""
        try:
            asked = json.loads(line)
            return f"OK {json.dumps(await self._obey(asked))}"
        except (json.JSONDecodeError, TypeError, KeyError) as wrong:
            raise ValueError(f"not a command: {wrong}") from None

    async def _obey(self, asked: dict[str, Any]) -> dict[str, Any]:
        match asked:
            case {"faults": rules}:
                wrong = [rule["kind"] for rule in rules if rule["kind"] not in KINDS]
                if wrong:
                    raise ValueError(f"unknown kind {wrong[0]!r}; one of {sorted(KINDS)}")
                self._machine.faults = [Fault(**rule) for rule in rules]
            case {"job": name, "state": state}:
                self._machine.book.put(name, state, asked.get("code", ""))
            case {"edit": name, "priority": priority}:
                self._machine.book.jobs[name].order.Priority = priority
            case {"edit": name, "text": text}:
                self._machine.book.jobs[name].order.Description = [ua.LocalizedText(text)]
            case {"deny": denied}:
                self._machine.denied = bool(denied)
                if self._machine.denied:
                    self._machine.cut()
            case {"clear": name}:
                if self._machine.book.remove(name, "Clear") != OK:
                    raise ValueError(f"no job {name!r} that is over")
            case {"down": seconds}:
                await self._machine.down(float(seconds))
            case {"kill": "session"}:
                self._machine.forget_sessions()
            case {"most": most}:
                self._machine.book.most = int(most)
            case {"values": True}:
                return {"values": await self._machine.values(), "written": self._machine.written}
            case {"state": True}:
                return self._machine.state()
            case _:
                raise ValueError("give one of faults, job, edit, deny, clear, down, kill, most, values, state")
        return {}


async def _serve(options: argparse.Namespace) -> None:
    password = os.environ.get(options.password_env or "", "")
    papers = None if options.pki is None else Papers(Path(options.pki), options.strict, options.user, password)
    async with Machine(options.host, options.port, Book(options.most), papers) as machine:
        say("READY", endpoint=machine.endpoint)
        await attend(Console(machine).answer, until_eof=True)


def main(arguments: list[str] | None = None) -> int:
    """Serve until told to stop; 2 on bad arguments."""
    parser = argparse.ArgumentParser(prog=PROGRAM, description="A machine that takes jobs over OPC UA")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one; READY says which")
    parser.add_argument("--most", type=int, default=1000, help="so many jobs fit")
    parser.add_argument("--pki", metavar="FOLDER", help="serve secured only; its certificate is made there")
    parser.add_argument("--strict", action="store_true", help="let in whom the folder's trusted/certs has, nobody else")
    parser.add_argument("--user", default="", help="let in this user, no anonymous")
    parser.add_argument("--password-env", metavar="NAME", help="the variable with the user's password")
    options = parser.parse_args(arguments)
    try:
        asyncio.run(_serve(options))
    except (ValueError, OSError) as wrong:
        return fail(PROGRAM, str(wrong))
    return 0


if __name__ == "__main__":
    sys.exit(main())
