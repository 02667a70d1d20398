"""Whether a time belongs to the story, such as when it broke, and not to what is wanted."""

# ruff: noqa: E501, PLR2004 - patterns of whole phrases; hours, days and lengths as figures

import re

from nlp.due.hit import Hit

_TOLD_AFTER = re.compile(
    r"^[\s,]*(?:左右|前后)?[\s,]*(?:就|开始|起|时?发现|出现|发生|已经?|刚|才|又|还|曾|突然|巡检|点检|检查时|开机时|报的?警|停的?机|坏|漏|响|报修|的报修|的时候|换的|修的|修过|修好|换过|换了|修了|装的|以来|到现在|至今|那次|生产的|做的|出的|跳|卡|做了|加了|打了|[^,。;!?]{0,4}(?:发现|出现|坏了|漏了|停了|响了|跳了|跳闸))"
    r"|^[\s,]*(?:it |we |the \w+ |they |operator |i |there )?(?:started|noticed|found|saw|heard|stopped|tripped|failed|broke|began|alarmed|went|jammed|reported|happened|was|were|had|leaked|shut|seen|first|discovered|came|blew|died|the \w+ (?:started|stopped|tripped|failed|broke|went|jammed|was|leaked))\b"
)


_TOLD_BEFORE = re.compile(
    r"(?:自从?|从|昨天|昨晚|前天|上周|上次|刚才|已于|曾于|发生在|出现在|生产日期|日期|是|发现于|今早|有|自)\s*$"
    r"|\b(?:since|at around|started|began|noticed|found|happened|stopped|tripped|failed|reported|until|from|repaired|replaced|changed|fixed|done|serviced|last|was|every|each|shipped|made|produced|dated|were|calibrated|broke|alarm|alarmed|again|down|leaking|inspected|checked|came in|went out)(?: (?:down|out|off|it|again|up|dead))?(?: (?:at|on|around|about))?\s*$"
)


_FUTURE_TALK = re.compile(
    r"^[\s,]*(?:的?(?:要用|有客户|要交|要赶|要出|要发|就要|客户|急用|订单|生产|交货|客户|发货|审核|计划|会议|出货|就要|要开|要生产|有批|的货|班|排产)|'?s? (?:shipment|order|delivery|production|run|audit|shift|batch|meeting|customer|truck))"
)


_TODAY = re.compile(r"今天|今日|今儿|当天|当日|today|this (?:morning|week|month)|本周|这周|这个?星期")


_BREAK = re.compile(r"[,;。!?\n]|\. ")


def told(norm: str, hit: Hit, wants: list[tuple[int, int]]) -> bool:
    """Whether the time is part of what happened, not of what is wanted."""
    if hit.rule == "now":
        return False
    after, before = norm[hit.end : hit.end + 40], norm[max(0, hit.start - 30) : hit.start]
    if _TODAY.fullmatch(norm[hit.start : hit.end]) and not hit.strong:
        return not any(_close(norm, hit, want) for want in wants)
    if _TOLD_AFTER.search(after) and not hit.strong:
        return True
    if _TOLD_BEFORE.search(before) and not hit.strong:
        return True
    if not hit.strong and _FUTURE_TALK.search(after):
        return True
    if hit.strong or hit.rule not in {"point", "relative", "shift"}:
        return False
    return not _asked_with(norm, hit, wants)


def _close(norm: str, hit: Hit, want: tuple[int, int]) -> bool:
    """Whether the work is asked for in the same breath."""
    between = norm[min(hit.end, want[1]) : max(hit.start, want[0])]
    return len(between) <= 25 and not _BREAK.search(between)


def _asked_with(norm: str, hit: Hit, wants: list[tuple[int, int]]) -> bool:
    """Whether a time without a limit word goes with asked-for work: in its clause, or the clause is the time alone."""
    if not wants:
        return False
    start, end = hit.start, hit.end
    while start > 0 and not _BREAK.match(norm, start - 1):
        start -= 1
    while end < len(norm) and not _BREAK.match(norm, end):
        end += 1
    if any(start <= first < end for first, _ in wants):
        return True
    return len((norm[start : hit.start] + norm[hit.end : end]).strip()) <= 8
