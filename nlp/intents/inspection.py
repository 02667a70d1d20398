"""The result of a check that a report tells: passed or failed."""

# ruff: noqa: E501, PLR2004 - patterns of whole phrases; reaches in characters

import re

from nlp.intents.meant import Cues, Meant
from nlp.lexicon import Found
from nlp.marks import Mark

_REPORTING = re.compile(
    r"(?:报告|结果|报表)|(?:首|末|巡|抽|终|点|全|复)检|walk|article|first[- ](?:off|piece)|inspect(?:ion|ed)|fai|audit|patrol|round"
)


def inspection_of(cues: Cues, claimed: list[Mark], wants: list[Mark]) -> Meant | None:
    """A check that was passed or failed, or None."""
    norm = cues.norm
    event = [
        one
        for one in cues.all("inspection.words")
        if not any(mark.start < one.end and one.start < mark.end for mark in wants)
    ]
    passed, failed = cues.all("pass.words"), _real_fails(cues)
    if _CHECK_FAILED.search(norm) and not wants_repair(wants):
        return Meant("inspection_result", "fail", 0.85)
    if event and not claimed and not failed and passed and not wants:
        return Meant("inspection_result", "pass", 0.92)
    if event and (claimed or failed):
        first = event[0]
        lead = first.start <= 12 or _REPORTING.search(norm[first.start : first.end]) is not None
        explicit = bool(failed) or norm[first.start : first.end].startswith(
            (
                "首",
                "末",
                "first",
                "fai",
                "last",
                "抽",
                "终",
                "final",
                "巡",
                "点",
                "全",
                "patrol",
                "walk",
                "incoming",
                "来料",
                "出货",
                "iqc",
                "oqc",
                "ipqc",
                "audit",
                "receiving",
                "复",
                "qc",
                "检验",
                "inspection",
                "spot",
                "random",
                "sampl",
                "visual",
                "quality",
                "dimensional",
                "checked #",
                "daily",
                "routine",
                "round",
            )
        )
        if lead and explicit and not _is_work_first(wants, claimed):
            return Meant("inspection_result", "fail", 0.88)
    if (
        failed
        and any(mark.kind == "defect" for mark in claimed)
        and re.search(r"不合格|ng\b|not ok|nok|fail|reject(?:ed)?\b|检验|测试|check|test|inspect", norm)
        and not wants_repair(wants)
    ) and re.search(r"(?:检|测|test|check|inspect|gauge|gage|cmm|三坐标|判)", norm):
        return Meant("inspection_result", "fail", 0.75)
    if (
        passed
        and not claimed
        and not failed
        and not wants
        and re.search(
            r"检|测|查|巡|check|inspect|test|walk|round|all ok|running|runs\b|运行|一切正常|all good|normal|正常|合格|passed|within",
            norm,
        )
    ):
        return Meant("inspection_result", "pass", 0.8)
    if event and failed and not claimed:
        return Meant("inspection_result", "fail", 0.8)
    return None


_CHECK_FAILED = re.compile(
    r"\b\w+ (?:check|test|inspection|audit) (?:has |was |is )?(?:failed|not ok|nok|ng\b|rejected|not passed)|\bfailed (?:the |its |our )?(?:\w+ ){0,2}(?:check|test|inspection|audit|fai)\b"
    r"|(?:检验|检查|检测|测试|试验|首检|巡检|抽检|终检|探伤|验收)[^,。;!?]{0,6}(?:不合格|不通过|未通过|没通过|没过|不过关|ng\b|不良)"
)


def wants_repair(wants: list[Mark]) -> bool:
    """Whether machine work is asked for."""
    return any(mark.code in {"repair", "adjust", "lubricate", "service"} for mark in wants)


def _is_work_first(wants: list[Mark], claimed: list[Mark]) -> bool:
    return (
        bool(wants and claimed)
        and min(one.start for one in wants) < min(one.start for one in claimed)
        and wants_repair(wants)
    )


def _real_fails(cues: Cues) -> list[Found]:
    return [
        one
        for one in cues.all("pass.fail")
        if not re.search(
            r"(?:没有|无|未见|未发现|没发现)[^,。;]{0,6}$|\bno\s*$", cues.norm[max(0, one.start - 10) : one.start]
        )
    ]
