"""Dangers to people: a safety device that does not work, an injury or a near miss."""

# ruff: noqa: E501 - patterns of whole phrases

import re

from nlp.intents.meant import Cues
from nlp.marks import Mark

_DEVICE_ZH = r"光幕|光栅(?!尺)|安全(?:门|锁|开关|光幕|光栅|联锁|装置|继电器|围栏|插销|回路|阀|绳|带)|防护(?:门|罩|栏|网|板)|护罩|护栏|急停(?:按钮|开关)?|联锁|双手(?:按钮|启动)|门开关|拉绳开关|吊钩|钢丝绳|吊带|吊链|吊环|泄压阀"


_BROKEN_ZH = r"失灵|失效|坏|不起作用|短接|屏蔽|拆|掉|缺|没反应|无反应|不灵|旁路|没关|破|断|不动作|不管用|没用|故障|损坏|绑|遮挡|按不下|卡住|关不|打不开|松脱|没装|取消|跳过|不停|没停|锈死|卡死"


_DEVICE_EN = r"light (?:curtain|barrier|screen)s?|e-?\s?stops?|emergency stops?|guards?|guarding|interlocks?|safety (?:\w+)|door switch(?:es)?|gate switch(?:es)?|two[- ]hand \w+|area scanner|laser scanner|pull cord|dead ?man|(?:hook |safety )latch(?:es)?|(?:crane |hoist |lifting )?hooks?|(?:wire|hoist|lifting) ropes?|slings?|lifting chains?|relief valves?|(?:crane|hoist|lift) brakes?"


_BROKEN_EN = r"dead|broken|broke|snapped|cracked|frayed|sheared|slipp\w+|fail(?:ed|s)?|not work\w*|bypass\w*|missing|defeated|jumper\w*|bridged|damaged|loose|open|doesn't|does not|didn't|inop\w*|stuck|taped|removed|disabled|faulty|defective|out of order|no longer|gone|overridden|blocked|muted|off\b|tied|no effect|ignored|stop(?:s|ped) working"


HAZARD = re.compile(
    rf"(?:{_DEVICE_ZH})[^,。;!?]{{0,6}}(?:{_BROKEN_ZH})|(?:差点|险些|几乎|差一点)[^,。;!?]{{0,14}}(?:夹|压|砸|划|烫|撞|伤|卷|割|电|摔|滑|绊|碰)"
    rf"|\b(?:{_DEVICE_EN})\b(?:(?! and ok| ok\b)[^,.;!?]){{0,28}}?\b(?:{_BROKEN_EN})|\b(?:bypassed|missing|defeated|broken|dead|faulty|jumpered|removed|disabled) (?:the )?(?:{_DEVICE_EN})"
    r"|\b(?:almost|nearly|could have|narrowly) (?:\w+ ){0,2}(?:hit|crush\w*|cut|burn\w*|fell|fall\w*|hurt|injur\w*|trap\w*|pinch\w*|shock\w*|slip\w*|struck|caught|lost|trip\w*|got|grabbed|knocked)"
)


HAZARD_MORE = re.compile(
    r"被[^,。;!?]{0,3}(?:烫|夹|压|砸|划|割|电|撞|烧|卷|扎)(?:了|伤|到|着)|自己(?:就|会|突然)?(?:往?下[来落滑掉]|掉下|落下|冲|合模|启动|动了|转起来|动起来|滑下)"
    r"|\b(?:c[ao]mes?|moves?d?|start(?:s|ed)?|drop(?:s|ped)|fell|falls|close[sd]?|opens?|cycle[sd]|strokes?d?|ran|runs)\s(?:\w+ )?(?:by itself|by themselves|on its own)\b|\b(?:got|was|were|been) (?:badly )?(?:burned|burnt|cut|crushed|hit|shocked|injured|hurt|pinched|trapped|scalded)\b"
)


_DENIAL = re.compile(
    r"(?:没有|无|不存在|未发现|没发现|没|未见)[^,。]{0,4}$|\b(?:no|not a|without|not|isn't a|any|never)\s+(?:\w+ )?$"
)


def is_denied_safety(cues: Cues, marks: list[Mark]) -> bool:
    """Whether every danger named is denied or was a false alarm."""
    hazard = HAZARD.search(cues.norm) or HAZARD_MORE.search(cues.norm)
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
