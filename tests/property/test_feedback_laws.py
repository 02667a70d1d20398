"""Laws of feedback on a real store: words in any order lead to the same end, and it is said once."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from itertools import count
from pathlib import Path

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.core.delivery import StatusUpdate
from gateway.core.episode import Episode, EpisodeState
from gateway.core.ports import Store, StoredOrder, Tx
from gateway.core.status import Said, heard
from gateway.core.status import told as saying
from gateway.flow.receive import take_status
from gateway.store.settings import Settings
from tests.erp_process import make_order
from tests.fakes import at

HEARD = at(10_000)
WORDS = st.builds(
    lambda word, seconds, code: StatusUpdate(key="", number="7", status=word, at=at(seconds), closing_code=code),
    st.sampled_from(["New", "In Progress", "Closed", "Cancelled", "Archived"]),
    st.integers(0, 5),
    st.sampled_from([None, None, "WORN", "NO_FAULT"]),
)
MANY = st.lists(WORDS, max_size=6)


async def told(store: Store, name: str, words: Sequence[StatusUpdate]) -> tuple[StoredOrder, list[str], EpisodeState]:
    """Tell each word about a new order, as an event of its own."""
    order = make_order(name, asset=name)

    def fill(tx: Tx) -> None:
        tx.put_order(order, "main", at(0))
        tx.put_episode(
            Episode(order.key, name, "bearing", "bearing_outer_race", "machine", EpisodeState.OPEN, at(0), at(1))
        )

    await store.write(fill)
    for number, word in enumerate(words):
        given_word = msgspec.structs.replace(word, key=order.key)
        heard_at = HEARD + timedelta(seconds=number)
        assert await take_status(store, given_word, f"{name} {number}", "hash", lambda at=heard_at: at)

    def look(tx: Tx) -> tuple[StoredOrder | None, list[str], Episode | None]:
        events = [line.event for line in tx.audit(limit=100_000) if line.subject == order.key]
        return tx.order(order.key), events, tx.episode(order.key)

    held, events, episode = await store.read(look)
    assert held is not None and episode is not None
    return held, events, episode.state


def test_the_store_ends_where_the_rule_ends_and_says_one_end(tmp_path: Path) -> None:
    names = (f"M-{number}" for number in count())
    with asyncio.Runner() as runner:
        store = Settings(path=str(tmp_path)).open()

        @settings(max_examples=25, deadline=None)
        @given(MANY, st.data())
        def law(words: list[StatusUpdate], data: st.DataObject) -> None:
            shuffled = data.draw(st.permutations([*words, *words[:2]]))
            order, events, state = runner.run(told(store, next(names), shuffled))
            known = Said()
            for word in words:
                known = heard(known, word, HEARD)
            assert (order.erp_status, order.erp_state, order.closing_code) == saying(known)
            # Each end is said once, and each time that it did not hold.
            again = events.count("episode.reopened")
            assert again == events.count("order.reopened")
            assert events.count("episode.closed") <= 1 + again and events.count("episode.ruled") <= 1 + again
            if known.state == "done":
                assert state is EpisodeState.CLOSED
            if known.state == "open":
                assert state is EpisodeState.OPEN

        law()
        runner.run(store.close())
