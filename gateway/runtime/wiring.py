"""Wiring: where everything is made and joined."""

import asyncio
import fcntl
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from gateway.core.errors import Misconfigured
from gateway.core.ports import Store
from gateway.runtime.crew import Crew
from gateway.runtime.gateway import Gateway
from gateway.runtime.hall import Hall
from gateway.runtime.house import House
from gateway.runtime.line import Job
from gateway.runtime.making import now, own_secret
from gateway.runtime.reload import Reloading
from gateway.runtime.settings import Settings


@dataclass(frozen=True, slots=True)
class Running:
    """The gateway, ready to be run in one task group."""

    gateway: Gateway
    house: House

    @property
    def jobs(self) -> dict[str, Job]:
        """The jobs of the configuration that runs."""
        return self.house.jobs

    def reloading(self, crew: Crew) -> Reloading:
        """Give what puts new settings in the place of those that this crew works by."""
        reloading = Reloading(self.house, crew, self.gateway.store, now)
        self.house.more_troubles = reloading.troubles
        return reloading


@asynccontextmanager
async def wire(settings: Settings, stopping: asyncio.Event) -> AsyncIterator[Running]:
    """Make and join everything; close it in the reverse order."""
    async with AsyncExitStack() as stack:
        no_other = alone(settings, stack)
        store = await _store(settings, stack)
        pool = ThreadPoolExecutor(2, thread_name_prefix="models")
        stack.callback(pool.shutdown, wait=False, cancel_futures=True)
        house = House(settings, Hall(store, pool, await own_secret(store), stopping))
        stack.push_async_callback(house.close)
        if no_other:
            await house.take_up()
        yield Running(house.gateway, house)


def alone(settings: Settings, stack: ExitStack | AsyncExitStack) -> bool:
    """Take the folder for this gateway alone: two on one embedded store would each tell half of the story.

    True when no other process works on the store; PostgreSQL may be shared. Raises `Misconfigured` when another gateway
    has the folder.
    """
    if settings.store.location() is not None:
        return False
    folder = Path(settings.store.path)
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        held = stack.enter_context((folder / "gateway.lock").open("w"))
    except OSError as no:
        raise Misconfigured(f"[store] path {folder}: {no.strerror}") from no
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as taken:
        raise Misconfigured(
            f"[store] path {folder}: another gateway runs on it: end that one, or name another folder"
        ) from taken
    return True


async def _store(settings: Settings, stack: AsyncExitStack) -> Store:
    loop = asyncio.get_running_loop()
    store: Store = await loop.run_in_executor(None, settings.store.open)
    stack.push_async_callback(store.close)
    return store
