"""Area: the tags of one table of one unit, the plan of few reads that covers them, and what the device refused."""

import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import msgspec

from connectors.line.modbus.address import Address, Table
from connectors.line.modbus.decode import Spot
from connectors.line.modbus.frames import ILLEGAL_ADDRESS, ILLEGAL_VALUE
from connectors.line.modbus.packing import Block, cleave, cut_of, pack

_MOST_BITS = 2000
_BITS = 16
_STRIKES = 2
_ASK_AGAIN = timedelta(hours=24)
REFUSED = "refused."
_LONG = datetime(1970, 1, 1, tzinfo=UTC)


class Refusals(msgspec.Struct, frozen=True):
    """What a device refused, kept over restarts. It holds for one list of tags, and not for ever: devices are mended.

    `cuts` are addresses that no read may cross; `most` is how many addresses one read may have (0: any).
    """

    tags: str
    since: datetime
    cuts: tuple[int, ...] = ()
    most: int = 0


class Area:
    """Tags of one table of one unit. The plan is made anew when the device refuses a part of it."""

    def __init__(
        self, unit: int, table: Table, tags: Sequence[tuple[int, Address]], *, gap: int, span: int, every: float = 1.0
    ) -> None:
        self.unit, self.table, self._every = unit, table, every
        self.places = [place for place, _ in tags]
        self._addresses = [address for _, address in tags]
        self.spans = [(address.offset, address.count) for address in self._addresses]
        self._bits = table in {"coil", "discrete"}
        self._span = _MOST_BITS if self._bits else span
        self._most = self._span
        self._longest = max(count for _, count in self.spans)
        self.gap = gap
        self._cuts: set[int] = set()
        self._since = _LONG
        self._saved: Refusals | None = None
        self._strikes: dict[int, int] = {}
        self._mute: dict[int, tuple[float, int]] = {}
        self.blocks: list[Block] = []
        self.version = 0
        self._plan()

    def _plan(self) -> None:
        gap = self.gap * _BITS if self._bits else self.gap
        self.blocks = pack(self.spans, gap=gap, most=self._most, cuts=self._cuts)
        self.version += 1

    def bridge(self, gap: int) -> bool:
        """Read over gaps of up to so many registers from now on; True when that changes the plan."""
        if gap == self.gap:
            return False
        before, self.gap = self.blocks, gap
        self._plan()
        return before != self.blocks

    @property
    def name(self) -> str:
        """What its refusals are kept under: unit, table and rate."""
        return f"{REFUSED}{self.unit}.{self.table}.{self._every:g}"

    @property
    def _digest(self) -> str:
        return hashlib.sha256(repr(sorted(self.spans)).encode()).hexdigest()[:16]

    def recall(self, kept: bytes | None, now: datetime) -> None:
        """Take back what was refused before the restart, unless the tags changed or it is long ago."""
        if kept is None:
            return
        try:
            known = msgspec.json.decode(kept, type=Refusals)
        except msgspec.DecodeError:
            return
        if known.tags != self._digest or not timedelta(0) <= now - known.since < _ASK_AGAIN:
            return
        self._cuts = set(known.cuts)
        self._most = min(self._span, max(known.most or self._span, self._longest))
        self._since, self._saved = known.since, known
        self._plan()

    def news(self, now: datetime) -> bytes | None:
        """Give what is to be kept, empty to forget it, None when nothing changed. What is long ago is asked again."""
        if (self._cuts or self._most < self._span) and now - self._since >= _ASK_AGAIN:
            self._cuts.clear()
            self._most = self._span
            self._plan()
        if not self._cuts and self._most == self._span:
            had, self._saved = self._saved, None
            return b"" if had is not None else None
        refusals = Refusals(self._digest, self._since, tuple(sorted(self._cuts)), self._most)
        if refusals == self._saved:
            return None
        self._saved = refusals
        return msgspec.json.encode(refusals)

    def parts(self, block: Block, code: int) -> tuple[int, list[Block]] | None:
        """Where a refused block is cut, and its parts; None when nothing can be cut.

        A block with an illegal address is halved until the hole is found. A block with an illegal value may
        be longer than the device allows.
        """
        cut = cut_of(block, self.spans) if code in {ILLEGAL_ADDRESS, ILLEGAL_VALUE} else None
        return None if cut is None else (cut, cleave(block, self.spans, cut))

    def both_answered(self, block: Block, cut: int, code: int, now: datetime) -> None:
        """Note that both parts of a refused block were answered: only that cut is worth remembering."""
        if code == ILLEGAL_VALUE:
            parts = cleave(block, self.spans, cut)
            self._most = max(self._longest, *(part.count for part in parts))
        else:
            self._cuts.add(cut)
        self._note(now)

    def refused_alone(self, block: Block, code: int, now: datetime) -> None:
        """Note that a block that cannot be cut was refused: it is read apart from now on."""
        if code == ILLEGAL_ADDRESS:
            self._cuts |= {block.start, block.end}
            self._note(now)

    def _note(self, now: datetime) -> None:
        if self._since == _LONG:
            self._since = now
        self._plan()

    def asked(self, now: float) -> list[Block]:
        """The blocks to ask for: those that do not wait because they were silent. `now` is monotonic."""
        if not self._mute:
            return self.blocks
        return [block for block in self.blocks if self._mute.get(block.start, (0.0, 0))[0] <= now]

    def heard(self, block: Block) -> None:
        """Note that a block was answered."""
        if self._strikes or self._mute:
            self._strikes.pop(block.start, None)
            self._mute.pop(block.start, None)

    def unheard(self, block: Block, at: datetime, now: float, wait_s: float) -> None:
        """Note that the unit was silent on this block and answered others: some devices ignore what they do not have.

        The second time in a row the block waits, and is then asked for in two parts, so that in the end only what
        is silent waits.
        """
        strikes = self._strikes[block.start] = self._strikes.get(block.start, 0) + 1
        if strikes < _STRIKES and block.start not in self._mute:
            return
        _, times = self._mute.pop(block.start, (0.0, 0))
        found = self.parts(block, ILLEGAL_ADDRESS)
        if found is None:
            self._cuts |= {block.start, block.end}
            self._mute[block.start] = (now + wait_s * 2 ** min(times, 4), times + 1)
        else:
            cut, parts = found
            self._cuts.add(cut)
            for part in parts:
                self._mute[part.start] = (now + wait_s, 0)
        self._note(at)

    def spots(self, block: Block, at: int) -> list[Spot]:
        """Where the values of a block stand when its bytes begin at `at`."""
        found = []
        for number in block.places:
            address = self._addresses[number]
            step = address.offset - block.start
            place = self.places[number]
            found.append(
                Spot(place, address, at + step // 8, step % 8) if self._bits else Spot(place, address, at + 2 * step)
            )
        return found
