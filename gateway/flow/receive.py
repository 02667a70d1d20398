"""What comes in from people and the ERP: each thing applied once, in one transaction, with an audit line."""

import re
from collections.abc import Callable, Collection
from datetime import datetime
from typing import Literal

import msgspec

from gateway.core.delivery import StatusUpdate
from gateway.core.errors import Conflict, Missing, Refused
from gateway.core.ports import Clock, Store, StoredReport, Tx
from gateway.core.reading import Moment
from gateway.core.report import Extraction, QualityReport
from gateway.core.status import state_of
from gateway.flow.feedback import apply

Confirm = Callable[[Tx, StoredReport, Extraction, datetime], str | None]
"""Turns a confirmed extraction into an order inside the transaction; gives the order's key, or None."""

_KEY = re.compile(r"\bAN[0-9A-HJKMNP-TV-Z]{18}\b")
"""Our key in a text (`gateway.core.order.business_key`)."""
_MOST_KEYS = 10


class Photo(msgspec.Struct, frozen=True):
    """A picture that was looked at and re-encoded: no metadata, a known media type."""

    content: bytes
    media_type: str


class Taken(msgspec.Struct, frozen=True):
    """A report that is on disk. `repeated`: it already was, and this is the first answer again."""

    id: str
    received_at: datetime
    repeated: bool


async def take_report(store: Store, report: QualityReport, photo: Photo | None, now: Clock) -> Taken:
    """Store a report; when this returns it is on disk.

    The same id with the same words is the same report. Raises `Conflict` when the id stands for other
    words, `Refused` when the named photo is not there, `Full` and `Unreachable` as the store does.
    """
    at = now()

    def step(tx: Tx) -> Taken:
        name = tx.keep(photo.content, photo.media_type) if photo is not None else report.photo
        if photo is None and name is not None and tx.blob(name) is None:
            raise Refused(f"no photo {name} is stored")
        given = msgspec.structs.replace(report, photo=name)
        if tx.take_report(given, at):
            tx.note("report.taken", given.id, at, given.channel)
            return Taken(given.id, at, repeated=False)
        held = tx.report(given.id)
        if held is None or _words(held.report) != _words(given):
            raise Conflict(f"report {given.id} already says something else")
        return Taken(given.id, held.received_at, repeated=True)

    return await store.write(step)


def _words(report: QualityReport) -> tuple[str, str | None, str | None]:
    return report.text, report.asset_hint, report.photo


class Ruling(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a person decided about a report in review.

    `confirm` takes the extraction as it is, `correct` with the fields given here put over it, and
    `dismiss` says that there is nothing to order. A field that is left out stays as it was read.
    """

    decision: Literal["confirm", "correct", "dismiss"]
    asset: str | msgspec.UnsetType | None = msgspec.UNSET
    components: tuple[str, ...] | msgspec.UnsetType = msgspec.UNSET
    failure_modes: tuple[str, ...] | msgspec.UnsetType = msgspec.UNSET
    defects: tuple[str, ...] | msgspec.UnsetType = msgspec.UNSET
    causes: tuple[str, ...] | msgspec.UnsetType = msgspec.UNSET
    quantity: int | msgspec.UnsetType | None = msgspec.UNSET
    batch: str | msgspec.UnsetType | None = msgspec.UNSET
    order: str | msgspec.UnsetType | None = msgspec.UNSET
    due: Moment | msgspec.UnsetType | None = msgspec.UNSET
    machine_down: bool | msgspec.UnsetType = msgspec.UNSET
    priority: Literal[1, 2, 3, 4] | msgspec.UnsetType | None = msgspec.UNSET
    action: str | msgspec.UnsetType | None = msgspec.UNSET

    def corrections(self) -> dict[str, object]:
        """Give the fields that the person set."""
        held = msgspec.structs.asdict(self)
        return {name: value for name, value in held.items() if name != "decision" and value is not msgspec.UNSET}


class Reviewed(msgspec.Struct, frozen=True):
    """What a review led to."""

    id: str
    decision: str
    order_key: str | None


async def review(store: Store, name: str, ruling: Ruling, confirm: Confirm, now: Clock) -> Reviewed:
    """Apply a person's decision about a report in review, once; the same decision again gives the same answer.

    Raises `Missing` without such a report, `Refused` when it was not read yet or needs no review,
    `Conflict` when it was decided otherwise, and whatever refusal `confirm` raises.
    """
    at = now()
    if ruling.decision != "correct" and ruling.corrections():
        raise Refused("corrections need the decision 'correct'")

    def step(tx: Tx) -> Reviewed:
        stored = tx.report(name)
        if stored is None:
            raise Missing(f"no report {name}")
        fingerprint = msgspec.json.encode(ruling, order="deterministic").decode()
        if not tx.first_time("review", name, fingerprint, at):
            held = tx.answer_of("review", name)
            if held is None or held[0] != fingerprint or held[1] is None:
                raise Conflict(f"report {name} was decided otherwise")
            return msgspec.json.decode(held[1], type=Reviewed)
        if stored.extraction is None or stored.extraction.route != "review" or stored.reviewed:
            raise Refused(f"report {name} is not in review")
        answer = _rule(tx, stored, stored.extraction, ruling, confirm, at)
        tx.put_answer("review", name, msgspec.json.encode(answer))
        tx.note("report.reviewed", name, at, ruling.decision)
        return answer

    return await store.write(step)


def _rule(tx: Tx, stored: StoredReport, read: Extraction, ruling: Ruling, confirm: Confirm, at: datetime) -> Reviewed:
    name = stored.report.id
    if ruling.decision == "dismiss":
        tx.read_report(msgspec.structs.replace(read, route="record"), None)
        tx.review_done(name)
        return Reviewed(name, ruling.decision, None)
    corrected = msgspec.structs.replace(read, **ruling.corrections(), route="order", confidence=1.0, why=())
    key = confirm(tx, stored, corrected, at)
    tx.read_report(corrected, key)
    tx.review_done(name)
    return Reviewed(name, ruling.decision, key)


async def take_status(
    store: Store,
    update: StatusUpdate,
    event: str,
    fingerprint: str,
    now: Clock,
    *,
    trusted: bool = True,
    false_codes: Collection[str] = (),
) -> bool:
    """Apply what the ERP says about an order, once per event; False when this event was applied before.

    `event` is the sender's id of the message and `fingerprint` the hash of its bytes. What is not `trusted` is only a
    reason to ask the ERP; so is word that is older than what is known and something else, for the clock that dated
    it may be slow, and a status that means nothing by itself: the ERP's adapter knows its words. `false_codes` are the
    closing codes that mean a false alarm. Raises `Conflict` when the id came with other bytes, `Missing` when the order
    is none of ours (nothing is stored).
    """
    at = now()

    def step(tx: Tx) -> bool:
        if not tx.first_time("webhook.erp", event, fingerprint, at):
            return False
        known = tx.order(update.key)
        if known is None:
            raise Missing(f"no order {update.key}")
        news = trusted and apply(tx, update, at, false_codes)
        strange = bool(update.status) and state_of(update) == "unknown"
        if not trusted or strange or (not news and update.status != known.erp_status):
            tx.asked(update.key, None)
        return True

    return await store.write(step)


class Hint(msgspec.Struct, frozen=True):
    """What an unproven message says: look at this one. `number` is the ERP's, or our key; `texts` may hold our key.

    `facts` tell this message from others of its source; without them each counts as new.
    """

    source: str
    number: str
    facts: tuple[str, ...] = ()
    texts: tuple[str, ...] = ()


async def take_hint(store: Store, hint: Hint, now: Clock) -> bool:
    """Have the ERP asked about the orders that a hint means; False when it means none of ours, or came before."""
    at = now()
    said = {key for text in (hint.number, *hint.texts) for key in _KEY.findall(text)}

    def step(tx: Tx) -> bool:
        found = {*tx.numbered(hint.number), *(key for key in sorted(said)[:_MOST_KEYS] if tx.order(key) is not None)}
        name = msgspec.json.encode(hint.facts).decode()
        if not found or (hint.facts and not tx.first_time(f"webhook.{hint.source}", name, "", at)):
            return False
        for key in sorted(found):
            tx.asked(key, None)
        return True

    return await store.write(step)
