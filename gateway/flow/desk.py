"""The desk: what the words of a person make of the troubles of the plant, and of the orders behind them."""

from dataclasses import dataclass
from datetime import datetime

from msgspec.structs import replace

from gateway.core.asset import Plant
from gateway.core.capsule import Terms
from gateway.core.episode import Decision, Episode
from gateway.core.order import business_key
from gateway.core.ports import StoredReport, Tx
from gateway.core.report import Extraction, QualityReport
from gateway.flow import amend, policy, seal, standing
from gateway.flow.episode import SAME_REPORT, closed, contradicted, ruled_on, same_trouble, told_episode, witness

_MANY = 10_000


@dataclass(frozen=True, slots=True)
class Desk:
    """What turns words into orders. Shared by the live road, the review and replay."""

    plant: Plant
    secret: bytes
    erp: str
    config: str
    software: str = ""
    public_url: str = ""
    reader: str = ""

    @property
    def terms(self) -> Terms:
        """The rules, as they stand in an order's capsule."""
        return Terms(config=self.config, software=self.software, public_url=self.public_url, reader=self.reader)

    def conclude(self, tx: Tx, report: QualityReport, told: Extraction, now: datetime) -> str | None:
        """Write what a report says and what follows from it; give the key of its order, when it has one.

        A report that was read before stays as it is: two processes may read one, and a person may have
        ruled on it meanwhile. One whose order ended before the ERP had its words gets another.
        """
        held = tx.report(report.id)
        if held is not None and not held.waits:
            return held.order_key
        decision = policy.of_report(told)
        ruled = held is not None and held.reviewed
        key = self._order(tx, report, told, now, ruled=ruled) if decision is Decision.ORDER else None
        tx.read_report(told, key)
        tx.note("report.read", report.id, now, f"{told.route} {told.fine_intent or '-'}")
        return key

    def confirmed(self, tx: Tx, stored: StoredReport, told: Extraction, now: datetime) -> str | None:
        """Turn what a person confirmed in review into its order; give the order's key."""
        return self._order(tx, stored.report, told, now, ruled=True)

    def _order(self, tx: Tx, report: QualityReport, told: Extraction, now: datetime, *, ruled: bool = False) -> str:
        mine = business_key(self.secret, self.plant.site.id, "report", report.id)
        while (held := tx.order(mine)) is not None:
            if amend.stands(held):
                return mine
            mine = business_key(self.secret, self.plant.site.id, "report", report.id, mine)  # what ended stays ended
        _, going = standing.kept_if_unbegun(tx, self._ruled(tx, report, told), now, f"report {report.id}")
        same = self._same(tx, report, told, now)
        if same is not None and report.id not in same.reports:
            # A machine's trouble that was not sure enough for an order is confirmed by who reports it: the
            # order takes its key, and when the machine gets surer later there is one already.
            same = replace(witness(same, report), decision=Decision.ORDER)
            tx.put_episode(same)
            tx.note("episode.witness", same.key, now, report.id)
            if (stored := tx.order(same.key)) is not None:
                amend.by_report(
                    tx, stored.order, same, told, report, self.plant, self.terms, now, ruled=ruled
                )  # fmt: skip
        if same is not None and tx.order(same.key) is not None:
            return same.key
        episode = replace(told_episode(same.key if same else mine, told, report), decision=Decision.ORDER)
        order = seal.of_report(tx, episode, told, report, self.plant, self.terms, ruled=ruled)
        if same is None:
            tx.put_episode(episode)
        if tx.put_order(order, self.erp, now, standing.behind(tx, going, order.key)):
            tx.note("order.made", order.key, now, f"report {order.failure_mode} capsule {order.capsule}")
        return order.key

    @staticmethod
    def _ruled(tx: Tx, report: QualityReport, told: Extraction) -> list[Episode]:
        """Give the troubles that somebody ruled on lately and that a report is about, as far as it matters."""
        if not told.asset:  # all that a plant knows of a day is too much to go through for one report
            behind = [tx.episode(key) for key in tx.being_taken_back()]
            return ruled_on((one for one in behind if one is not None), told, report)
        since = report.reported_at - SAME_REPORT if report.reported_at.year > 1 else None
        return ruled_on(tx.episodes(told.asset, since=since, limit=_MANY), told, report)

    def _same(self, tx: Tx, report: QualityReport, told: Extraction, now: datetime) -> Episode | None:
        """Find the open trouble that a report is about, with an order that may still grow; None for a new one.

        A machine's trouble that was ruled out is taken up again while its order stands, and else makes room for a
        new one: the person who tells of it now has seen it.
        """
        live = self._live(tx, report, told)
        for ruled in contradicted(live, told, report):
            live.remove(ruled)
            stored = tx.order(ruled.key)
            if stored is not None and amend.stands(stored):
                live.append(replace(ruled, ruled=""))
            else:
                tx.put_episode(closed(ruled, report.reported_at))
                tx.note("episode.closed", ruled.key, now, f"a person tells of it: {report.id}")
        while (same := same_trouble(live, told, report)) is not None:
            stored = tx.order(same.key)
            if stored is None or amend.stands(stored):
                return same
            live.remove(same)
            tx.put_episode(closed(same, now))
            tx.note("episode.closed", same.key, now, "its order is over")
        return None

    @staticmethod
    def _live(tx: Tx, report: QualityReport, told: Extraction) -> list[Episode]:
        """Give the live episodes that a report may be about: people's stay open until the ERP closes them."""
        if told.asset:
            return tx.episodes(told.asset, live=True, limit=_MANY)
        recent = report.reported_at - SAME_REPORT if report.reported_at.year > 1 else None
        return tx.episodes(live=True, since=recent, limit=_MANY)
