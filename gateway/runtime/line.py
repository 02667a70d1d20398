"""The line's sources while they run: the open source of each, and how its tags are doing."""

from collections.abc import Awaitable, Callable, Sequence
from functools import partial

from msgspec.structs import replace

from gateway.core.batch import Batch, TagState
from gateway.core.errors import Misconfigured, Unreachable
from gateway.core.ports import LineSource, Store
from gateway.flow.ingest import ingest
from gateway.runtime.equipment import Equipment
from gateway.runtime.settings import LineSettings

Job = Callable[[], Awaitable[None]]


class Line:
    """All sources by name. A source is one object from its opening to the loss of its link."""

    def __init__(self, sources: Sequence[LineSettings], store: Store, noted: Callable[[Batch], None]) -> None:
        self._sources = {source.name: source for source in sources}
        self._store, self._noted = store, noted
        self._open: dict[str, LineSource] = {}
        self._lost: dict[str, str] = {}
        self._down: set[str] = set()

    def jobs(self) -> dict[str, Job]:
        """Give one job per source; each run opens a new source."""
        return {f"line.{name}": self.job(source) for name, source in self._sources.items()}

    def job(self, source: LineSettings) -> Job:
        """Give the job of one source."""
        return partial(self._run, source)

    def settle(self, sources: Sequence[LineSettings]) -> None:
        """Take these for the line's sources from now on; the others are forgotten, what is open stays open."""
        self._sources = {source.name: source for source in sources}
        for name in {*self._open, *self._lost, *self._down} - set(self._sources):
            self.forget(name)

    def forget(self, name: str) -> None:
        """Let go of what is known of a source whose job has ended."""
        self._open.pop(name, None)
        self._lost.pop(name, None)
        self._down.discard(name)

    def well(self, name: str) -> str:
        """Say what keeps a source from being well: empty when it is open and one of its tags is healthy."""
        source = self._open.get(name)
        if source is None:
            return "not open yet"
        if name in self._down:
            return self._lost.get(name, "no link")
        states = source.tags()
        if not states or any(state.healthy for state in states):
            return ""
        return self._as_it_is(states[0]).detail or "none of its tags is healthy"

    async def _run(self, settings: LineSettings) -> None:
        source = self._open[settings.name] = self._made(settings)
        self._down.discard(settings.name)
        try:
            await ingest(source, self._store, self._heard)
        except Unreachable as lost:
            self._lost[settings.name] = str(lost)
            self._down.add(settings.name)
            raise

    def _made(self, settings: LineSettings) -> LineSource:
        """Open a source. What it needs was there at the start: a file that is gone or broken now may come back."""
        try:
            return settings.open()
        except Misconfigured as wrong:
            if settings.name not in self._open:
                raise
            raise Unreachable(str(wrong)) from wrong

    def _heard(self, batch: Batch) -> None:
        self._lost.pop(batch.source, None)
        self._noted(batch)

    @property
    def equipment(self) -> Equipment:
        """What can be asked of the open sources; it sees those that are opened later."""
        return Equipment(self._open)

    def tags(self) -> list[TagState]:
        """Say how every node, register and unit is doing; a source that never opened is unhealthy by name."""
        states: list[TagState] = []
        for name in self._sources:
            source = self._open.get(name)
            if source is None:
                states.append(TagState(name, name, healthy=False, detail="not open yet"))
            else:
                states += [self._as_it_is(state) for state in source.tags()]
        return states

    def _as_it_is(self, state: TagState) -> TagState:
        """Put the reason of the last lost link beside what a source says that is down, or not yet up again."""
        lost = self._lost.get(state.source, "")
        if state.source in self._down:
            return replace(state, healthy=False, detail=lost)
        if not lost or state.healthy:
            return state
        return replace(state, detail=f"{state.detail}; the last try: {lost}")
