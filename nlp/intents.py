"""What the report wants: a defect told, work asked for, a check's result, a question, an answer to a repair."""

# ruff: noqa: E501, PLR2004 - patterns of whole phrases; reaches in characters; signs as people type them

import re
from dataclasses import dataclass

from gateway.core.report import Intent
from nlp.lexicon import Found
from nlp.marks import Mark

SURFACE = {"SCRATCH", "DENT", "BURR", "COLOR", "CONTAMINATION", "COATING", "SPATTER", "UNDERCUT", "SINK", "OTHER"}
INTERNAL = {"POROSITY", "LACK_OF_FUSION", "DELAMINATION", "CRACK"}
_WORK = {
    "replace": "tool_change",
    "repair": "repair",
    "lubricate": "lubrication",
    "calibrate": "calibration",
    "service": "service",
}
_TOOL = re.compile(
    r"刀|钻头|丝锥|砂轮|铣|锯片|锯条|冲头|模具|换模|模(?!块)|电极|导电嘴|焊嘴|铰|tool|insert|drill|tap\b|taps\b|end ?mill|cutter|wheel|reamer|saw blade|blade|punch|\bdie\b|mold|mould|electrode|contact tip|tip\b|tips\b|knife|knives|grinding|dresser|bit\b|bits\b"
)
_BARE_CHANGE = re.compile(r"\s*(?:[,.;!。]|$|by\b|before\b|asap|now|within|it\b|them\b|掉|一下|新的|新)")
_DUE_WORK = re.compile(
    r"该.{0,6}(?:了|换|加|做|保养|校准|润滑)|到期|到时间|周期到|需要|要(?!求)|申请|安排|请|麻烦|\b(?:due|overdue|needs?|need|please|pls|schedule|request|time for|book|arrange|plan)\b"
)
_REPORTING = re.compile(
    r"(?:报告|结果|报表)|(?:首|末|巡|抽|终|点|全|复)检|walk|article|first[- ](?:off|piece)|inspect(?:ion|ed)|fai|audit|patrol|round"
)
_ORDER_TALK = re.compile(
    r"\b(?:wo|po|order|repair|job|ticket|batch|lot|delivery|shipment|finished|done|ready|update|status)\b|工单|订单|进度|修|货|单"
)


@dataclass(frozen=True, slots=True)
class Meant:
    """The intent with how sure the rules are (0..1). `coarse` None means out of scope or not understood."""

    coarse: Intent | None
    fine: str | None
    sure: float
    why: tuple[str, ...] = ()


class Cues:
    """The cue words of a text that bear on its intent."""

    def __init__(self, norm: str, found: list[Found]) -> None:
        self.norm = norm
        self._has: dict[str, list[Found]] = {}
        for one in found:
            self._has.setdefault(f"{one.category}.{one.code}", []).append(one)

    def all(self, name: str) -> list[Found]:
        """The words found of a list such as "inquiry.how_to"."""
        return self._has.get(name, [])

    def any(self, name: str) -> bool:
        """Whether a word of the list was found."""
        return name in self._has


def understand(cues: Cues, marks: list[Mark], *, has_asset: bool, has_machine: bool, has_number: bool) -> Meant:
    """Choose the intent by the contract's readings."""
    norm = cues.norm
    claimed = [
        mark for mark in marks if mark.kind in {"trouble", "defect", "value"} and not mark.status and not mark.cause
    ]
    wants = [mark for mark in marks if mark.kind == "action" and not mark.status]
    if cues.any("outside.words") and not has_asset and not has_machine and not has_number:
        return Meant(None, None, 0.9, ("out_of_scope",))
    asked = _inquiry(cues, claimed, wants, has_number=has_number)
    if asked is not None:
        return asked
    if (
        (cues.any("safety.words") or _HAZARD.search(norm) or _HAZARD_MORE.search(norm))
        and (marks or has_machine)
        and not _is_denied_safety(cues, marks)
    ):
        return Meant("defect_report", "safety_hazard", 0.85)
    answer = _feedback(cues, claimed, wants)
    if answer is not None:
        return answer
    checked = _inspection(cues, claimed, wants)
    if checked is not None:
        return checked
    work = _work(norm, claimed, wants)
    if work is not None:
        return work
    if claimed:
        first = min(claimed, key=lambda one: one.start)
        return Meant("defect_report", _fine_of(first, marks, cues), 0.95 if first.code != "UNK" else 0.7)
    if any(mark.kind == "severity" and mark.code == "down" and not mark.status for mark in marks):
        return Meant("defect_report", "equipment_fault", 0.8)
    if wants:
        return Meant("maintenance_request", "unspecified", 0.9 if has_asset else 0.75)
    if cues.any("inquiry.question") and re.search(r"[?吗呢]|\b(?:what|when|where|who|which|how)\b", norm):
        return Meant("inquiry", "how_to", 0.4, ("low_confidence",))
    if has_asset or has_machine:
        return Meant("maintenance_request", "unspecified", 0.3, ("low_confidence",))
    return Meant(None, None, 0.3, ("out_of_scope",))


_DEVICE_ZH = r"光幕|光栅(?!尺)|安全(?:门|锁|开关|光幕|光栅|联锁|装置|继电器|围栏|插销|回路|阀|绳|带)|防护(?:门|罩|栏|网|板)|护罩|护栏|急停(?:按钮|开关)?|联锁|双手(?:按钮|启动)|门开关|拉绳开关|吊钩|钢丝绳|吊带|吊链|吊环|泄压阀"
_BROKEN_ZH = r"失灵|失效|坏|不起作用|短接|屏蔽|拆|掉|缺|没反应|无反应|不灵|旁路|没关|破|断|不动作|不管用|没用|故障|损坏|绑|遮挡|按不下|卡住|关不|打不开|松脱|没装|取消|跳过|不停|没停|锈死|卡死"
_DEVICE_EN = r"light (?:curtain|barrier|screen)s?|e-?\s?stops?|emergency stops?|guards?|guarding|interlocks?|safety (?:\w+)|door switch(?:es)?|gate switch(?:es)?|two[- ]hand \w+|area scanner|laser scanner|pull cord|dead ?man|(?:hook |safety )latch(?:es)?|(?:crane |hoist |lifting )?hooks?|(?:wire|hoist|lifting) ropes?|slings?|lifting chains?|relief valves?|(?:crane|hoist|lift) brakes?"
_BROKEN_EN = r"dead|broken|broke|snapped|cracked|frayed|sheared|slipp\w+|fail(?:ed|s)?|not work\w*|bypass\w*|missing|defeated|jumper\w*|bridged|damaged|loose|open|doesn't|does not|didn't|inop\w*|stuck|taped|removed|disabled|faulty|defective|out of order|no longer|gone|overridden|blocked|muted|off\b|tied|no effect|ignored|stop(?:s|ped) working"
_HAZARD = re.compile(
    rf"(?:{_DEVICE_ZH})[^,。;!?]{{0,6}}(?:{_BROKEN_ZH})|(?:差点|险些|几乎|差一点)[^,。;!?]{{0,14}}(?:夹|压|砸|划|烫|撞|伤|卷|割|电|摔|滑|绊|碰)"
    rf"|\b(?:{_DEVICE_EN})\b(?:(?! and ok| ok\b)[^,.;!?]){{0,28}}?\b(?:{_BROKEN_EN})|\b(?:bypassed|missing|defeated|broken|dead|faulty|jumpered|removed|disabled) (?:the )?(?:{_DEVICE_EN})"
    r"|\b(?:almost|nearly|could have|narrowly) (?:\w+ ){0,2}(?:hit|crush\w*|cut|burn\w*|fell|fall\w*|hurt|injur\w*|trap\w*|pinch\w*|shock\w*|slip\w*|struck|caught|lost|trip\w*|got|grabbed|knocked)"
)
_HAZARD_MORE = re.compile(
    r"被[^,。;!?]{0,3}(?:烫|夹|压|砸|划|割|电|撞|烧|卷|扎)(?:了|伤|到|着)|自己(?:就|会|突然)?(?:往?下[来落滑掉]|掉下|落下|冲|合模|启动|动了|转起来|动起来|滑下)"
    r"|\b(?:c[ao]mes?|moves?d?|start(?:s|ed)?|drop(?:s|ped)|fell|falls|close[sd]?|opens?|cycle[sd]|strokes?d?|ran|runs)\s(?:\w+ )?(?:by itself|by themselves|on its own)\b|\b(?:got|was|were|been) (?:badly )?(?:burned|burnt|cut|crushed|hit|shocked|injured|hurt|pinched|trapped|scalded)\b"
)
_DENIAL = re.compile(
    r"(?:没有|无|不存在|未发现|没发现|没|未见)[^,。]{0,4}$|\b(?:no|not a|without|not|isn't a|any|never)\s+(?:\w+ )?$"
)


def _is_denied_safety(cues: Cues, marks: list[Mark]) -> bool:
    hazard = _HAZARD.search(cues.norm) or _HAZARD_MORE.search(cues.norm)
    if hazard is not None and not _DENIAL.search(cues.norm[max(0, hazard.start() - 14) : hazard.start()]):
        return False
    calmed = cues.all("feedback.false_alarm")
    for one in cues.all("safety.words"):
        if any(other.start <= one.start and one.end <= other.end for other in calmed):
            continue
        before = cues.norm[max(0, one.start - 14) : one.start]
        if not re.search(
            r"(?:没有|无|不存在|未发现|没|不)$|\b(?:no|not a|without|not|isn't a|any)\s*$|\b(?:false|test(?:ed)?|check(?:ed)?|the)\s+$",
            before,
        ):
            overlapping = [mark for mark in marks if mark.start < one.end and one.start < mark.end and mark.status]
            if not overlapping:
                return False
    return True


def _inquiry(cues: Cues, claimed: list[Mark], wants: list[Mark], *, has_number: bool) -> Meant | None:
    norm = cues.norm
    asks = bool(
        re.search(
            r"[?]|吗|呢|么(?![样办])|几时|[出发交做完走货]不(?=$|[?,。])|(?:备件|备用|现货|库存|存货|配件|货|了)没有?(?=$|[,。!])|什么|怎么|如何|多久|哪|多少|有没有|\b(?:what|when|where|who|which|how|any|is|are|do|does|can|has|have|could|status|eta|did|need to know|update|still|in stock|part number|lead time|wondering)\b",
            norm,
        )
    )
    if not asks:
        return None
    if (
        re.search(
            r"\bis (?:my|the|our) (?:\S+ ){1,7}(?:done|finished|ready|complete|fixed|closed|back|repaired)\b.*\?", norm
        )
        and not claimed
    ):
        return Meant("inquiry", "order_status", 0.85)
    if (
        re.search(r"还有\S{1,8}吗|有没有\S{1,8}(?:备件|库存|现货)|(?:are|is) there (?:any|a) (?:spare|\w+ left)", norm)
        and not claimed
        and "进度" not in norm
    ):
        return Meant("inquiry", "spare_part", 0.85)
    if re.search(r"\bneed (?:a |the )?(?:[\w-]+ ){0,4}(?:part )?number for\b", norm):
        return Meant("inquiry", "spare_part", 0.8)
    if _HOW.search(norm) and not claimed and not wants:
        return Meant("inquiry", "how_to", 0.8)
    how, spare, order = cues.all("inquiry.how_to"), cues.all("inquiry.spare_part"), cues.all("inquiry.order_status")
    if not (how or spare or order):
        return None
    first = min(one.start for one in (*how, *spare, *order))
    told = [mark for mark in claimed if mark.code != "UNK" and not _in_question(norm, mark, (*how, *spare, *order))]
    strong_question = bool(re.search(r"[?吗呢]", norm))
    if told and not (how and strong_question and first < min(mark.start for mark in told)):
        return None
    if (
        wants
        and not strong_question
        and not how
        and not has_number
        and not re.search(r"什么时候|进度|status|when|eta|库存|in stock|spare", norm)
    ):
        return None
    if (
        spare
        and (
            not how
            or spare[0].start <= how[0].start
            or re.search(r"库存|备件|仓库|in stock|spare|part number|stores?", norm)
        )
        and not (order and re.search(r"进度|什么时候|when will|status|修好|完成了", norm))
    ):
        return Meant("inquiry", "spare_part", 0.9)
    if how and not (order and order[0].start < how[0].start and _ORDER_TALK.search(norm)):
        return Meant("inquiry", "how_to", 0.9)
    if order:
        return Meant("inquiry", "order_status", 0.9)
    return Meant("inquiry", "spare_part", 0.8)


_HOW = re.compile(
    r"(?:怎么|咋)(?!回事|样|又|还|老|总|这么|那么|一直|不|没|了|搞的|会|说|都|就|那|这|来)[^,。!]{1,8}[?]?$"
)


def _in_question(norm: str, mark: Mark, cues: tuple[Found, ...]) -> bool:
    """Whether the trouble is only what the question is about."""
    clause_start = max((norm.rfind(sign, 0, mark.start) for sign in "。;!\n?,"), default=-1) + 1
    ends = [at for sign in "。;!\n?," if (at := norm.find(sign, mark.end)) >= 0]
    clause_end = min(ends, default=len(norm))
    return any(clause_start <= cue.start <= clause_end for cue in cues)


def _feedback(cues: Cues, claimed: list[Mark], wants: list[Mark]) -> Meant | None:
    real = [mark for mark in claimed if mark.code != "UNK"]
    calls = [one for one in cues.all("feedback.false_alarm") if not _NO_CALL.search(cues.norm[: one.start])]
    if calls and (not real or _is_taken_back(cues)) and not _is_wanted_anyway(wants):
        return Meant("feedback", "false_alarm", 0.9)
    repaired = cues.all("feedback.repaired")
    still = [
        one
        for one in cues.all("feedback.still")
        if not re.search(
            r"(?:没|不|未)$|\b(?:not|n't|never|running|runs|works?|working|up|ok|fine|back|good|online|quiet|once)\s*$",
            cues.norm[max(0, one.start - 9) : one.start],
        )
    ]
    mended_first = any(repair.start < mark.end for repair in repaired for mark in claimed) or any(
        repair.start < one.start for repair in repaired for one in still
    )
    if claimed and repaired and still and mended_first:
        return Meant("feedback", "repair_failed", 0.85)
    if claimed and _AGAIN.search(cues.norm):
        return Meant("feedback", "repair_failed", 0.8)
    if claimed and repaired and not wants and re.search(r"还是|仍|又|依然|照样|again|still", cues.norm):
        return Meant("feedback", "repair_failed", 0.7)
    if (
        not claimed
        and repaired
        and still
        and re.search(
            r"没(?:有)?(?:修好|好|解决|用|效果)|not (?:fixed|solved|better)|didn't|did not|no (?:better|improvement)|白修|老毛病|问题依旧|same (?:problem|issue|fault)|came back|is back",
            cues.norm,
        )
    ):
        return Meant("feedback", "repair_failed", 0.8)
    if not real and not wants and repaired and cues.any("pass.words") and not cues.any("pass.fail"):
        return Meant("feedback", "repair_confirmed", 0.8)
    if not real and cues.any("feedback.confirmed") and not wants:
        thanks = bool(
            re.search(
                r"谢|辛苦|thank|thx|cheers|great job|good job|well done|nice work|关单|关闭|可以关|close (?:the|this|my)|closed",
                cues.norm,
            )
        )
        inspected = any(cues.any(name) for name in ("inspection.words",))
        if (
            repaired
            or thanks
            or (
                not inspected
                and re.search(
                    r"修|换|处理|恢复|解决|repair|fix|replac|again|now|solved|gone|since|after|new|no more|did the|held",
                    cues.norm,
                )
            )
        ):
            return Meant("feedback", "repair_confirmed", 0.85)
    return None


_NO_CALL = re.compile(r"(?:不是|并非|不算|又|老|总是?|频繁|一直)$|\b(?:not a|no|isn't a|another|constant|repeated) $")
_TAKEN_BACK = re.compile(
    r"误报(?!了?[几多]次)|虚惊|搞错|看错|弄错|报错了|取消报修|撤销报修|不用派人|不用来|false alarm|ignore (?:my|that|the|previous|last)|disregard|cancel (?:my|the|that)|my mistake|nothing (?:is )?wrong|never ?mind|no need to (?:send|come)"
)
_OFTEN = re.compile(
    r"老是|频繁|一直|总是?|经常|不停|每天|反复|多次|又误报|keeps|constantly|repeated|every|again and again|all the time|often|continuous|frequent|several|multiple"
)


def _is_taken_back(cues: Cues) -> bool:
    """Whether the report takes an earlier one back; an instrument that lies again and again is a trouble."""
    return _TAKEN_BACK.search(cues.norm) is not None and _OFTEN.search(cues.norm) is None


_AGAIN = re.compile(
    r"(?:修|换|校验|校准|标定|调|保养|返修|排查|维修|处理|弄|检修|紧固|清洗|焊|清理|更换)\S{0,2}(?:过|后|完|了|好)以?后?[,，]?\s?(?:没\S{1,3}[,，]?)?(?:还是|照样|又|仍|依然|还在|还|照旧)(?!有(?:库存|备件))|没修好|白修|修了等于没修|返修后"
    r"|\b(?:repaired|replaced|fixed|changed|serviced|rebuilt|swapped|tightened|adjusted|cleaned)\b[^.;!?]{0,32}\b(?:yesterday|last \w+|this (?:morning|week)|on \w+day|\d+ \w+ ago|already|twice|recently)\b[^.;!?]{0,48}\b(?:again|still|back)\b"
    r"|\b(?:again|back)\b[^.;!?]{0,30}\b(?:was|were|been|just|only|already|had|you|we) (?:\w+ )?(?:repaired|replaced|fixed|changed|serviced|rebuilt|swapped|tightened|adjusted|cleaned)\b[^.;!?]{0,24}\b(?:yesterday|last \w+|this (?:morning|week)|(?:on )?\w+day|ago|already|twice|recently)\b"
    r"|\b(?:still|same|again)\b[^.;!?]{0,40}\bafter (?:the |your |last )?(?:[\w']+ ){0,4}(?:change|repair|fix|replacement|service|overhaul|swap|adjustment|rebuild)\b"
    r"|又[^,。;!?]{1,10},(?:明明)?(?:昨天|前天|上周|刚刚?|才|上次|早上|上午)\S{0,3}(?:修|换|调|处理|校|紧)"
    r"|\b(?:came back from repair|after (?:the |your |last )?(?:repair|fix|service|replacement|rebuild|overhaul) (?:it |still|the)|not fixed|wasn't fixed|repair (?:did not|didn't) (?:hold|help|last|work)|(?:repaired|fixed|replaced|changed|serviced) (?:\w+ ){0,4}(?:but|and|yet) (?:\w+ ){0,3}(?:still|again))\b"
)


def _is_wanted_anyway(wants: list[Mark]) -> bool:
    return any(mark.code != "inspect" for mark in wants)


def _inspection(cues: Cues, claimed: list[Mark], wants: list[Mark]) -> Meant | None:
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


def _work(norm: str, claimed: list[Mark], wants: list[Mark]) -> Meant | None:
    """Work that is the point of the message: a tool change, a repair, grease, calibration, service."""
    if not wants:
        return None
    first = wants[0]
    fine = _fine_work(norm, wants)
    if not claimed:
        return Meant("maintenance_request", fine or "unspecified", 0.92 if fine else 0.85)
    trouble = min(claimed, key=lambda one: one.start)
    if fine == "tool_change" and any(mark.code in {"WEAR", "BRD", "OVERSIZE", "UNDERSIZE", "BURR"} for mark in claimed):
        return Meant("maintenance_request", "tool_change", 0.85)
    if fine is None or first.code not in _WORK:
        return None
    if first.start < trouble.start:
        gap = norm[first.end : trouble.start]
        same_breath = not re.search(r"[,;。!?\n]|\. ", gap)
        if fine in {"lubrication", "calibration", "service", "tool_change"}:
            return Meant("maintenance_request", fine, 0.75)
        if fine == "repair" and same_breath and norm[first.start].isascii() and len(gap) < 40:
            return Meant("maintenance_request", "repair", 0.7)
    elif (
        fine in {"lubrication", "calibration", "tool_change"}
        and trouble.code in {"UNK", "SER"}
        and _DUE_WORK.search(norm)
    ):
        return Meant("maintenance_request", fine, 0.65)
    return None


def _fine_work(norm: str, wants: list[Mark]) -> str | None:
    for mark in wants:
        if mark.code == "replace":
            around = norm[max(0, mark.start - 16) : mark.end + 24]
            if _BARE_CHANGE.match(norm[mark.end :]):
                around = norm[max(0, mark.start - 60) : mark.end]
            if _TOOL.search(around):
                return "tool_change"
            return "repair"
        if mark.code in _WORK:
            return _WORK[mark.code]
        if mark.code in {"stop", "hold", "inspect"}:
            continue
        return None
    return None


_OUT_OF_SIZE = re.compile(
    r"超差|超公差|公差|尺寸|位置度|偏位|孔位|out of (?:tol|dim)|tolerance|mislocated|position|oot"
)


def _of_size(mark: Mark, marks: list[Mark]) -> bool:
    return any(one.kind == "characteristic" and one.code == "size" and 0 <= mark.start - one.end <= 3 for one in marks)


def _of_reading(mark: Mark, marks: list[Mark]) -> bool:
    """Whether a reading wanders (a pressure), not a machine that stops and starts."""
    return any(one.kind == "characteristic" and 0 <= mark.start - one.end <= 12 for one in marks)


def _fine_of(first: Mark, marks: list[Mark], cues: Cues) -> str:
    if first.kind == "defect":
        word = cues.norm[first.start : first.end]
        sized = first.code == "OTHER" and (_OUT_OF_SIZE.search(word) is not None or _of_size(first, marks))
        return "product_dimension_defect" if sized else product_class(first.code, cues)
    if first.kind == "trouble" and (first.code == "PDE" or (first.code == "ERO" and _of_reading(first, marks))):
        return "process_deviation"
    return "equipment_fault"


def product_class(code: str, cues: Cues) -> str:
    """Surface, internal or dimension; what was found by X-ray, ultrasound or a cut is internal."""
    if code in INTERNAL or (cues.any("inspection.internal") and code in {"OTHER", "CONTAMINATION", "SINK", "UNDERCUT"}):
        return "product_internal_defect"
    if code in SURFACE:
        return "product_surface_defect"
    return "product_dimension_defect"
