"""Reload: new settings in the place of the old ones; what did not change is not touched.

Faults and models that cannot be loaded are found before anything is. Then the touched jobs end and
begin again with the new settings. When one of them does not get well in time, all of them go back to what
they were. What was applied, tried and taken back is written down.
"""

import asyncio
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import msgspec
import structlog

from gateway.core.errors import AndonError, Misconfigured, Unreachable
from gateway.core.ports import AppliedConfig, Clock, Store, Tx
from gateway.runtime.build import Build
from gateway.runtime.crew import Crew
from gateway.runtime.house import House
from gateway.runtime.parts import Change, changes
from gateway.runtime.preflight import demand
from gateway.runtime.settings import Settings, parse

log: structlog.stdlib.BoundLogger = structlog.get_logger()

WITHIN_S = 30.0
_LOOK_S = 0.1
_PASSWORD = re.compile(r"(://[^\s:/@\"']*:)[^\s@\"']+@")
_PREPARE_S = 120.0

Outcome = Literal["same", "plan", "applied", "kept", "rolled_back", "refused", "started"]


class Told(msgspec.Struct, frozen=True):
    """What became of an attempt to change the settings; `why` names every fault or ailing part.

    `note` says what else is worth knowing.
    """

    outcome: Outcome
    digest: str
    running: str
    changes: tuple[Change, ...] = ()
    why: tuple[str, ...] = ()
    parts: dict[str, str] = {}
    note: str = ""


class Reloading:
    """Plans and applies settings, one at a time."""

    def __init__(self, house: House, crew: Crew, store: Store, now: Clock) -> None:
        self._house, self._crew, self._store, self._now = house, crew, store, now
        self._own = house.build.settings.file
        self._turn = asyncio.Lock()
        self._last: Told | None = None

    def troubles(self) -> Sequence[str]:
        """What the last attempt left to be said, as "config: why"."""
        last = self._last
        if last is None or last.outcome not in {"rolled_back", "refused", "kept"}:
            return ()
        return [f"config: {last.digest or 'a faulty file'} was {last.outcome.replace('_', ' ')}: {'; '.join(last.why)}"]

    async def started(self) -> None:
        """Write down what the gateway was started with, unless it is what ran last."""
        settings = self._house.build.settings
        known = await self._store.read(lambda tx: tx.configs(limit=1))
        if not known or known[0].digest != settings.digest or known[0].outcome == "rolled_back":
            await self._record(settings, "started", "")

    async def plan(self, text: str, file: str) -> Told:
        """Say what applying these settings would do. Raises `Misconfigured` with every fault."""
        now, new = self._house.build.settings, await asyncio.to_thread(_read, text, file)
        return Told("plan", new.digest, now.digest, tuple(changes(now.rows, new.rows)), parts=new.parts)

    def running(self) -> Told:
        """Say what runs."""
        settings = self._house.build.settings
        return Told("same", settings.digest, settings.digest, parts=settings.parts)

    async def verified(self) -> Told:
        """Look at the ERP, with the adapter that runs; `why` has what is wrong with it."""
        return msgspec.structs.replace(self.running(), why=tuple(await self._house.build.ailing({"deliver"})))

    async def own_file(self) -> tuple[str, str]:
        """Give text and name of the file that the gateway was started with. Raises `Misconfigured`."""
        try:
            return await asyncio.to_thread(Path(self._own).read_text, "utf-8-sig"), self._own
        except (OSError, UnicodeDecodeError) as lost:
            raise Misconfigured(f"{self._own} cannot be read: {lost}") from lost

    async def again(self) -> None:
        """Read the file again that the gateway was started with, and apply it (SIGHUP)."""
        try:
            text, file = await self.own_file()
        except Misconfigured as gone:
            self._said(Told("refused", "", self.running().running, why=(str(gone),)))
            log.warning("config.apply", outcome="refused", why=str(gone))
            return
        await self.apply(text, file)

    async def apply(self, text: str, file: str, *, within_s: float = WITHIN_S, keep: bool = False) -> Told:
        """Apply settings. What is not well within `within_s` seconds is taken back, unless it is to be kept."""
        async with self._turn:
            told = await self._apply(text, file, within_s, keep=keep)
            if told.outcome in {"applied", "kept"} and not _same(file, self._own):
                note = f"the gateway starts with {self._own}: what was applied from {file} lasts until then"
                told = msgspec.structs.replace(told, note=note)
            self._said(told)
        say = log.warning if told.outcome in {"refused", "rolled_back", "kept"} else log.info
        say("config.apply", outcome=told.outcome, digest=told.digest, running=told.running, why=list(told.why))
        return told

    def _said(self, told: Told) -> Told:
        self._last = told
        return told

    async def _apply(self, text: str, file: str, within_s: float, *, keep: bool) -> Told:
        old = self._house.build
        running = old.settings.digest
        try:
            plan = await self.plan(text, file)
            if all(change.restart for change in plan.changes):
                return msgspec.structs.replace(plan, outcome="same", parts=old.settings.parts)
            settings = _as_far_as_it_goes(await asyncio.to_thread(_read, text, file), old.settings, plan.changes)
            touched = {job for change in plan.changes if not change.restart for job in change.touches}
            new = self._house.built(settings, touched)
            try:
                async with asyncio.timeout(_PREPARE_S):
                    await new.prepare(touched)
            except BaseException:
                await new.close(old)
                raise
        except Misconfigured as wrong:
            return Told("refused", "", running, why=(str(wrong),))
        except (AndonError, TimeoutError) as lost:
            return Told("refused", "", running, why=(str(lost) or "the models were not loaded in time",))
        ailing = await self._swap(old, new, touched, within_s)
        if ailing and not keep:
            await self._back(old, new, touched)
            told = Told("rolled_back", settings.digest, running, plan.changes, tuple(ailing), old.settings.parts)
            await self._record(settings, "rolled_back", "; ".join(ailing))
            return told
        self._crew.trust()
        await old.close(new)
        await self._record(settings, "kept" if ailing else "applied", "; ".join(ailing))
        outcome: Outcome = "kept" if ailing else "applied"
        return Told(outcome, settings.digest, settings.digest, plan.changes, tuple(ailing), settings.parts)

    async def _swap(self, old: Build, new: Build, touched: set[str], within_s: float) -> list[str]:
        """End and begin the touched jobs; give what is not well after a while."""
        await self._crew.end(touched & set(old.jobs))
        self._house.show(new)
        self._crew.start({name: job for name, job in new.jobs.items() if name in touched}, on_trial=True)
        clock = asyncio.get_running_loop().time
        until = clock() + within_s
        while True:
            failed = [f"{name}: {why}" for name in sorted(touched) if (why := self._crew.failed(name))]
            ailing = failed or await new.ailing(touched)
            if failed or not ailing or clock() >= until:
                return ailing
            await asyncio.sleep(_LOOK_S)

    async def _back(self, old: Build, new: Build, touched: set[str]) -> None:
        await self._crew.end(touched & set(new.jobs))
        self._house.show(old)
        self._crew.trust()
        self._crew.start({name: job for name, job in old.jobs.items() if name in touched})
        await new.close(old)

    async def _record(self, settings: Settings, outcome: Outcome, why: str) -> None:
        now = self._now()
        row = AppliedConfig(0, now, settings.digest, outcome, why, settings.parts, without_passwords(settings.text))

        def step(tx: Tx) -> None:
            tx.put_config(row)
            tx.note(f"config.{outcome}", settings.digest, now, why[:500])

        try:
            await self._store.write(step)
        except Unreachable as lost:  # no room for a note keeps no gateway from its start, and undoes no change
            log.warning("config.not_recorded", why=str(lost))


def _as_far_as_it_goes(new: Settings, old: Settings, found: Sequence[Change]) -> Settings:
    """Give the new settings with the parts left as they are that take effect only at the next start."""
    waits = {change.part for change in found if change.restart}
    kept: dict[str, object] = {part: getattr(old, part) for part in ("api", "store") if part in waits}
    if not kept:
        return new
    rows = {name: row for name, row in new.rows.items() if name not in kept}
    rows |= {part: old.rows[part] for part in kept if part in old.rows}
    parts = {**new.parts, **{part: old.parts[part] for part in kept}}
    return msgspec.structs.replace(new, **kept, rows=rows, parts=parts).renamed()


def _read(text: str, file: str) -> Settings:
    new = parse(text, file)
    demand(new)
    return new


def _same(file: str, other: str) -> bool:
    return Path(file).absolute() == Path(other).absolute()


def without_passwords(text: str) -> str:
    """Give a settings text without the passwords that somebody wrote into an address."""
    return _PASSWORD.sub(r"\1***@", text)
