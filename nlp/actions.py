"""Which work is asked for: requests, not work that was done, denied, or a noun that looks like a verb."""

# ruff: noqa: E501 - patterns of whole phrases; reaches in characters; signs as people type them

import re

_DONE_AFTER = re.compile(
    r"^(?:完成|完毕|完|好|掉|过)?(?:了(?!吧|吗)|过|完了|完的|好了|好的|的(?!话|时候))|^(?:完成|完毕|完|过)|^(?:后|之后|以后|前(?!来)|时(?!间)|中|记录|人员|员|工(?!作)|师傅|单|工单|报告|结果|周期|次数|费|标准|期|合格|正常)"
)
_DONE_BEFORE = re.compile(
    r"(?:已经?|刚刚?|才|昨天|昨晚|上次|上周|前天|上个?月|没有?|未|不用|不需要?|无需|无须|别|不必|不要|勿|免|暂不|停止|避免|防止|怎么|如何|谁|被|正在|在|等待?|自行|已由\S{1,3}|上班|夜班|上一班|没人|(?<!重)新|多次|反复|曾|是否)(?:就|都|自己|给|有人|去|来|过来|安排|再)?$"
)
_DONE_BEFORE_EN = re.compile(
    r"\b(?:was|were|been|being|is|are|got|already|just|after|after the|after a|before the|the last|last|previous|this|that|your|my|our|no|no need to|need not|don't|do not|didn't|did not|never|without|not|won't|will not|can't|cannot|unable to|refuses to|fails to|failed to|try to|tried to|trying to|how to|hard to|used to|how do i|how do we|how can i|should i|can i|may i|the|a|an|during|during the|since|since the|since last|of|of the|from|from the|for the|of a|in|in the|with|with the|under|has|have|had|who|we|i|they|he|she|maintenance|mechanic|when you|started to|due to|needs no|requires no|no further|to|doesn't|didn't|need to (?:not)|each|every|next|on|at|by|it|which)\s+(?:to )?$"
)
_ASK_BEFORE_EN = re.compile(
    r"(?:^|[,;.!?\n:\-(/&+>]|。|\b(?:and|then|please|pls|plz|to|must|should|can you|could you|would you|can we|need to|needs to|have to|let's|lets|someone|somebody|anyone|kindly|now|asap|also|just|immediately|or|so|we|you|first|urgent(?:ly)?|today|tomorrow|shift|eod|eob|cob|soon|maintenance|request(?:ing)?|required?|want you|want to|ask you|send someone|come and|come|go|better|we'll|to be|requires?|needs?|wants?|want))\s*$"
)
_NOT_TO = re.compile(
    r"\b(?:unable|refuses?|refused|fails?|failed|trie[sd]|try|trying|how|hard|used|started|starting|starts|due|no need|not|going|went|have had|had|seems?|appears?|able|difficult|impossible|forgot|right|where|want not|don't need|do not need|doesn't need|came|needn't) to\s*$"
)
_NOUNISH = frozenset(
    [
        "clean",
        "clear",
        "zero",
        "flush",
        "level",
        "balance",
        "track",
        "offset",
        "tension",
        "torque",
        "drain",
        "oil",
        "grease",
        "seal",
        "trim",
        "lower",
        "test",
        "set",
        "measure",
        "empty",
        "bin",
        "dump",
        "junk",
        "block",
        "hold",
        "watch",
        "sort",
        "polish",
        "sand",
        "cycle",
        "straighten",
        "raise",
        "reduce",
        "increase",
        "decrease",
        "tune",
        "program",
        "calibration",
        "lubrication",
        "maintenance",
        "replacement",
        "cleaning",
        "adjustment",
        "greasing",
        "servicing",
        "service",
        "lube",
        "cal",
        "pm",
        "changeout",
        "contain",
        "junk",
        "toss",
        "freeze",
        "vacuum",
        "review",
        "audit",
        "attend",
        "bin",
        "address",
    ]
)
_WORK_NOUNS = frozenset(
    [
        "service",
        "repair",
        "calibration",
        "lubrication",
        "maintenance",
        "replacement",
        "cleaning",
        "adjustment",
        "greasing",
        "inspection",
        "overhaul",
        "recalibration",
    ]
)
_OBJECT = re.compile(
    r"^\s+(?:the|it|this|that|these|those|all|both|its|them|up|down|out|on|new|old|more|every|each|a|an|our|my|some|[a-z]+ ?\d|[a-z]+s?\b)"
)
_ALWAYS = re.compile(
    r"^(?:please|pls|plz|needs?|to be|must|should|due|overdue|for |can |could |someone|send|schedule|book|arrange|want|requires?|do not|don't|on hold|put |wants|kindly|service (?:due|overdue|interval|required|needed|is)|(?:re)?calibration (?:due|needed|required|expired|overdue)|(?:lubrication|grease|lube|oil change|cal|repair|maintenance|cleaning|adjustment|replacement|change|rework) (?:due|needed|required|overdue)|no longer)"
)
_ORDER_BEFORE = re.compile(
    r"(?:赶紧|赶快|马上|立即|立刻|快|请|先|必须|要求|需要?|建议|应该?|要|得|申请|叫|让|通知|尽快|速|麻烦|务必|不得不|可以|给我|把\S{1,8}|全部先)\s*(?:给我|把\S{1,8}|先)?$"
)
_ORDER_AFTER = re.compile(
    r"^(?:吧|检查|检修|处理|修|排查|确认|查|换|啊|一下|一会|再|更换|维修|,?(?:谢谢|拜托))|^\s*[!!]"
)
_HAS_HAPPENED = re.compile(
    r"(?:已经?|被迫|自动|突然|现在|目前|导致|造成|都|全|又|就|自己|频繁|老|老是|经常|一直|报警|跳|故障|引起|现|昨\S|早上|上午|从|会|因|整线|全线|正|在|就会|只能|只好|而|直接|卡死|卡死了|次|现场|机器|设备|线|多次|偶尔|偶发|随机|间歇性?|无故|不定时)$"
)
_NO_HELP = re.compile(
    r" (?:it )?(?:doesn't|does not|didn't|did not|won't|has not|hasn't) (?:help|work|fix|solve|change)"
)
_AFTER_WORK = re.compile(r"\bafter (?:the |your |last |this )?(?:[\w']+ ){1,3}$")
_TO_BE_DONE = re.compile(
    r"(?:前|之内|内|请|麻烦|帮忙|赶紧|尽快|马上|明天|明早|下午|今晚|周[一二三四五六日])[^,。;!?]{0,4}把[^,。;!?]{1,16}$"
)


def is_wanted(norm: str, start: int, end: int, code: str) -> bool:
    """Whether the action word at [start, end) asks for work."""
    word, before, after = norm[start:end], norm[max(0, start - 24) : start], norm[end : end + 24]
    if not word[0].isascii() or not word[0].isalpha():
        return _wanted_zh(word, before, after, code)
    if _NO_HELP.match(after) or _AFTER_WORK.search(norm[max(0, start - 48) : start]):
        return False
    if word == "hold" and re.match(r" (?:pressure|temp|vacuum|speed|position|water|load|torque|down|up)", after):
        return False
    if _ALWAYS.match(word):
        return not re.search(r"\b(?:no|not|doesn't|don't|does not|do not|never)\s*$", before) or word.startswith(
            ("do not", "don't")
        )
    if word in {"on hold", "quarantine", "segregate"}:
        return re.search(r"\b(?:not|no need to|don't)\s*$", before) is None
    if _NOT_TO.search(before):
        return False
    if word in _WORK_NOUNS and re.match(
        r"\s+(?:within|by|before|asap|due|needed|required|please|pls|this|next|tomorrow|today|end of)\b", after
    ):
        return re.search(r"\b(?:no|without|after|since|last|the last|during)\s*$", before) is None
    asked = _ASK_BEFORE_EN.search(before) is not None
    if word in _NOUNISH or word.split()[0] in _NOUNISH:
        return (
            asked
            and (
                _OBJECT.match(after) is not None
                or " " in word
                or re.match(
                    r"\s*(?:$|[.!,;]|asap|now|by|before|within|please|today|tomorrow|due|needed|required)", after
                )
                is not None
            )
            and not re.match(
                r"\s+(?:is|was|has|are|too|very|low|high|off|bad|failed|ok|valve|switch|fault|alarm|pressure|good|gone|leaking|leak|dropp|drops|still|temp|held|seems|at \d)",
                after,
            )
        )
    if asked:
        return not re.match(
            r"\s+(?:valve|button|fault|light|is |was |failed|did|didn't|again$|held|ok\b|valves|point|time|came|successful)",
            after,
        )
    if re.search(r"\b(?:a|an|the|this|that|last|our|your|my|[a-z]+ness) [a-z]+ $", before) or (
        word in {"check", "test", "change", "repair", "service", "measure"}
        and re.match(r"\s+(?:failed|fails|result|ok\b|not\b|show|report|was|takes?\b|done|passed|is\b|nok|ng\b)", after)
    ):
        return False
    return _DONE_BEFORE_EN.search(before) is None and not re.match(r"(?:e?d|ing)\b", after)


def _wanted_zh(word: str, before: str, after: str, code: str) -> bool:
    if code == "stop":
        return is_order_to_stop_words(word, before, after)
    if _DONE_BEFORE.search(before) and not word.startswith(("别", "不", "禁", "停", "勿", "暂")):
        return False
    due = re.search(r"(?:该|要|得|需|应|到|必须|务必|前|内|帮忙)[^,。;!?]{0,5}$", before) is not None
    due = due or _TO_BE_DONE.search(before) is not None
    if not due and (_DONE_AFTER.match(after) or (word.endswith("了") and not _FALLEN_DUE.search(word))):
        return False
    if word in {
        "检",
        "测",
        "查",
        "检验",
        "巡检",
        "巡查",
        "复检",
        "全检",
        "点检",
        "检测",
        "探伤",
        "验证",
        "把关",
        "检查",
        "复测",
    } and not re.search(
        r"(?:请|麻烦|安排|需要?|要|来|去|帮忙?|再|尽快|马上|赶紧|派人|,|。|;|^|停机|先|快|做|前|内|给|一起|建议|联系\S{0,4}|申请|立即|立刻|进行)$",
        before,
    ):
        return False
    if word in {"检", "测", "查", "检验", "巡检", "检测", "点检", "检查", "复检", "全检", "探伤"} and re.match(
        r"^(?:到|出|发现|时|中|结果|ok|合格|不合格|正常|员|\d|没|了|异常|:|后|报告|,?一切|了|显示|,?均|\S{0,12}(?:正常|合格|ok|不合格|发现))",
        after,
    ):
        return False
    if code in {"replace", "adjust", "clean"} and re.match(
        r"^(?:不(?!然|行)|失败|超时|卡|慢|异常|故障|报警|臂)", after
    ):
        return False
    if word in {"设定", "拧紧", "调", "紧固", "锁紧", "调节"} and re.match(
        r"^(?:\d|值|为|是|温|压|转|速|范围|枪|轴|机|力|阀|器|扭|螺栓松|一二三)", after
    ):
        return False
    if word in {"换", "修", "调", "扣", "紧", "急修"} and re.match(
        r"^(?:班|挡|向|气|热|速器|理|补|温|速|频|节阀|压阀|整|直|件|除|留)", after
    ):
        return False
    return not (word == "处理" and re.match(r"^(?:品|结果|意见|单)", after))


def is_order_to_stop_words(word: str, before: str, after: str) -> bool:
    """Whether words such as 停机 are an order and not news."""
    if re.search(r"(?:不用|不需|无需|不必|别|不要|没有?|未|不)$", before):
        return False
    if re.match(
        r"(?:立即|马上|赶紧|赶快|立刻|必须|要求|请|尽快|建议|申请|应该?|需要?|要|得|快|先|别|不要|禁止|不能)", word
    ):
        return not re.match(r"(?:了|过)", after)
    if _HAS_HAPPENED.search(before):
        return _ORDER_BEFORE.search(before) is not None
    if after.startswith("了") or (word.endswith("了") and not word.startswith(("别", "不"))):
        return False
    if _ORDER_BEFORE.search(before) or _ORDER_AFTER.match(after):
        return True
    return (
        word
        in {
            "停一下",
            "停一停",
            "叫停",
            "关停",
            "关掉",
            "停下来",
            "断电",
            "切断电源",
            "停止使用",
            "暂停使用",
            "暂停生产",
            "停用",
            "关机",
            "停止运行",
            "停止作业",
        }
        and "了" not in after[:1]
    )


def is_order_to_stop(norm: str, start: int, end: int) -> bool:
    """Whether a machine-down word at [start, end) is meant as an order to stop."""
    word, before, after = norm[start:end], norm[max(0, start - 24) : start], norm[end : end + 24]
    if word[0].isascii():
        return False
    if not re.fullmatch(r"(?:先|快)?(?:停机|停线|停产|停|停车|停止|停下来|停工)", word):
        return False
    return is_order_to_stop_words(word, before, after)


_LEAD_ZH = re.compile(
    r"^(?:立即|马上|赶紧|赶快|立刻|必须|要求|请|尽快|建议|申请|应该?|需要?|要|得|快|先)+(?=停|关|断|叫|拉|别)"
)
_ORDINARY_ZH = re.compile(
    r"^(?:先|再|定期|月度|季度|年度|例行|日常|计划|半年|预防性|一级|二级|做个?|来|去|过来|进行)+(?=.{2})"
)
_ORDINARY_EN = re.compile(
    r"^(?:quarterly|monthly|weekly|yearly|annual|periodic|regular|routine|full|scheduled|planned|half-yearly|take(?= a | another )|another|have|preventive(?= service)) (?:a |another )?"
)
_FALLEN_DUE = re.compile(r"(?:周期|时间)?(?:到期|到时间|到)了?$")
_TAIL_ZH = re.compile(r"(?<=.)(?:(?:周期|时间)?(?:到期|到时间)了?|一下子?|下来|下(?!来)|好|掉|完)$")
_LEAD_EN = re.compile(
    r"^(?:(?:please|pls|plz|kindly|immediately|must be|must|should be|should|needs? to be|needs? an?|needs? some|needs?|need|to be|to|wants?|requires?|due for an?|due for its|due for|is due for|overdue for|for|can you|could you|could someone|can someone|someone to|someone|schedule an? |schedule|book an? |book|arrange an? |arrange|plan|perform|carry out|do(?! not)|put|place|want it|it|its|a|an|the|some|want|send a|send|has to|must)\s+)+"
)
_TAIL_EN = re.compile(r"(?:\s+(?:needed|required|due|overdue|is due|is overdue|expired|interval|reached))+$")


def core(norm: str, start: int, end: int) -> tuple[int, int]:
    """The word that names the work, without "please", "needs to be", 一下, 好."""
    word = norm[start:end]
    if word[0].isascii() and word[0].isalpha():
        lead = _LEAD_EN.match(word)
        if lead and lead.end() < len(word):
            start += lead.end()
        plain = _ORDINARY_EN.match(norm[start:end])
        start += plain.end() if plain and start + plain.end() < end else 0
        tail = _TAIL_EN.search(norm[start:end]) or re.search(
            r"(?<=fix) it$|(?<=repair) it$|(?<=check) it$|(?<=replace) it$|(?<=clean) it$|(?<=sort) it out$|(?<=fix) up$",
            norm[start:end],
        )
        return start, end - (len(tail[0]) if tail else 0)
    lead = _LEAD_ZH.match(word)
    start += lead.end() if lead else 0
    plain = _ORDINARY_ZH.match(norm[start:end])
    start += plain.end() if plain else 0
    tail = _TAIL_ZH.search(norm[start:end])
    return start, end - (len(tail[0]) if tail else 0)
