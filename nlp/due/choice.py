"""The choice among time phrases: the one moment by which work is wanted."""

from collections.abc import Iterator
from datetime import datetime, timedelta

from gateway.core.asset import Site
from nlp.due.ahead import now_hits, relative_hits
from nlp.due.en import en_hits
from nlp.due.hit import Due, Hit
from nlp.due.periods import period_hits
from nlp.due.shifts import shift_hits
from nlp.due.told import told
from nlp.due.zh import zh_hits


def find_due(
    norm: str, reported_at: datetime, site: Site, taken: list[tuple[int, int]], wants: "list[tuple[int, int]]"
) -> tuple[Due | None, list[tuple[int, int]]]:
    """Choose the wanted moment; also give the spans of all time phrases (they are no measurements).

    `taken` are spans that belong to others (assets, lots); `wants` are the spans of asked-for work.
    """
    now = reported_at.astimezone(site.zone)
    hits = [
        hit for hit in _hits(norm, now, site) if not any(hit.start < end and start < hit.end for start, end in taken)
    ]
    hits = _outermost(hits)
    spans = [(hit.start, hit.end) for hit in hits if hit.rule != "now"]
    good = [hit for hit in hits if hit.at is not None and not hit.past and not told(norm, hit, wants)]
    good = [hit for hit in good if hit.rule == "now" or hit.at is None or hit.at >= now - timedelta(minutes=1)]
    if not good:
        return None, spans
    timed = [hit for hit in good if hit.rule != "now"]
    strong = [hit for hit in timed if hit.strong]
    best = (strong or timed or good)[0]
    if best.at is None:
        return None, spans
    vague = len({hit.at for hit in (strong or timed)}) > 1
    return Due(best.start, best.end, best.at, best.rule, vague), spans


def _outermost(hits: list[Hit]) -> list[Hit]:
    kept: list[Hit] = []
    for hit in sorted(hits, key=lambda one: (one.start - one.end, one.start)):
        if not any(hit.start < other.end and other.start < hit.end for other in kept):
            kept.append(hit)
    return sorted(kept, key=lambda one: one.start)


def _hits(norm: str, now: datetime, site: Site) -> Iterator[Hit]:
    yield from now_hits(norm, now)
    yield from relative_hits(norm, now)
    yield from shift_hits(norm, now, site)
    yield from period_hits(norm, now, site)
    yield from zh_hits(norm, now, site)
    yield from en_hits(norm, now, site)
