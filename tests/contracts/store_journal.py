"""What every store promises of raw data: batches, cursors, trimming, pictures."""

import math
import random

import msgspec

from gateway.core.ports import Store, Tx
from gateway.core.reading import Quality, Reading
from tests.contracts.store_rows import diagnosis
from tests.fakes import at, batch, block, frame, line, value


class Journal:
    """The journal and the blobs."""

    # journal

    async def test_a_batch_comes_back_as_it_was(self, store: Store) -> None:
        items = (
            block("M-1", 0, 1.5),
            frame("M-2", 0, 40.0),
            line("M-3", 0, "轴承温度高 \x00"),
            value("M-4", "speed", 0, None),
        )
        odd = Reading("M-5", "t", "on", "", Quality.UNCERTAIN, None, None, at(1), "why")
        whole = msgspec.structs.replace(batch(1, 1, *items), readings=(*batch(1, 1, *items).readings, odd))
        many = batch(2, 2, *(value("M-6", "speed", n / 100, n) for n in range(500)))
        numbers = await store.write(lambda tx: [tx.append(whole), tx.append(many)])
        assert await store.read(lambda tx: tx.batches_after(0)) == list(zip(numbers, [whole, many], strict=True))

    async def test_a_value_that_is_no_number_stays_so(self, store: Store) -> None:
        await store.write(lambda tx: tx.append(batch(1, 0, value("M", "t", 0, math.nan))))
        [(_, back)] = await store.read(lambda tx: tx.batches_after(0))
        number = back.readings[0].value
        assert isinstance(number, float) and math.isnan(number)

    async def test_batches_are_found_by_the_time_of_their_values(self, store: Store) -> None:
        hours = [batch(n, 3600 * n, value("M", "t", 3600 * n, n)) for n in range(5)]
        numbers = await store.write(lambda tx: [tx.append(one) for one in hours])
        found = await store.read(lambda tx: tx.batches(at(3600), at(3 * 3600)))
        assert [number for number, _ in found] == numbers[1:3]
        page = await store.read(lambda tx: tx.batches(at(0), at(10**6), after=numbers[0], limit=2))
        assert [number for number, _ in page] == numbers[1:3]

    async def test_a_waveform_counts_until_its_last_sample(self, store: Store) -> None:
        await store.write(lambda tx: tx.append(batch(1, 10, block("M", 0, 1.0, seconds=10))))
        assert len(await store.read(lambda tx: tx.batches(at(5), at(6)))) == 1
        assert len(await store.read(lambda tx: tx.batches(at(11), at(12)))) == 0

    async def test_a_cursor_never_goes_back(self, store: Store) -> None:
        assert await store.read(lambda tx: tx.cursor("flow")) == 0
        for number in (5, 9, 7):
            await store.write(lambda tx, number=number: tx.advance("flow", number))
        assert await store.read(lambda tx: tx.cursor("flow")) == 9

    async def test_trimming_takes_the_oldest_and_keeps_what_is_not_read_yet(self, store: Store) -> None:
        one = batch(1, 0, block("M", 0, 1.0, seconds=50))
        numbers = await store.write(lambda tx: [tx.append(one) for _ in range(10)])
        assert await store.write(lambda tx: tx.trim(10**9, numbers[-1])) == 0
        assert await store.write(lambda tx: tx.trim(0, numbers[4])) == 4
        assert await store.write(lambda tx: tx.trim(0, numbers[4])) == 0
        left = await store.read(lambda tx: tx.batches_after(0))
        assert [number for number, _ in left] == numbers[4:]
        assert (await store.read(lambda tx: tx.counts())).readings == 6

    async def test_trimming_stops_at_the_budget_and_numbers_never_come_again(self, store: Store) -> None:
        noise = random.Random(1).randbytes(10_000)
        one = msgspec.structs.replace(block("M", 0, 1.0), samples=noise)
        numbers = await store.write(lambda tx: [tx.append(batch(1, 0, one)) for _ in range(10)])
        gone = await store.write(lambda tx: tx.trim(5 * len(noise) + 3000, 10**9))
        assert 0 < gone < 10
        while await store.write(lambda tx: tx.trim(0, 10**9)):
            pass
        assert (await store.read(lambda tx: tx.counts())).readings == 0
        assert await store.write(lambda tx: tx.append(batch(1, 0, one))) > numbers[-1]
        assert (await store.read(lambda tx: tx.counts())).readings == 1

    async def test_trimming_spares_diagnoses_of_the_time_that_is_still_recorded(self, store: Store) -> None:
        def fill(tx: Tx) -> None:
            for n in range(20):
                tx.append(batch(n, n, value("M", "t", n, n)))
                tx.put_diagnosis(diagnosis("M", n))

        await store.write(fill)
        await store.write(lambda tx: tx.trim(0, 11))
        left = await store.read(lambda tx: tx.diagnoses(limit=100))
        assert [seen.start for seen in left] == [at(n) for n in range(19, 9, -1)]

    # blobs

    async def test_the_same_content_is_kept_once(self, store: Store) -> None:
        content = bytes(range(256)) * 4000
        names = [await store.write(lambda tx: tx.keep(content, "image/png")) for _ in range(2)]
        assert names[0] == names[1] and len(names[0]) == 64
        assert await store.read(lambda tx: tx.blob(names[0])) == (content, "image/png")
        assert await store.read(lambda tx: tx.blob("0" * 64)) is None
