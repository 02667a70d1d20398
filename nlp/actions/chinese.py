"""Whether a Chinese action word asks for work: 请检查 does, 已检查 and 检查时 do not."""

import re

from nlp.actions.stop import is_order_to_stop_words

_DONE_AFTER = re.compile(
    r"^(?:完成|完毕|完|好|掉|过)?(?:了(?!吧|吗)|过|完了|完的|好了|好的|的(?!话|时候))|^(?:完成|完毕|完|过)|^(?:后|之后|以后|前(?!来)|时(?!间)|中|记录|人员|员|工(?!作)|师傅|单|工单|报告|结果|周期|次数|费|标准|期|合格|正常)"
)


_DONE_BEFORE = re.compile(
    r"(?:已经?|刚刚?|才|昨天|昨晚|上次|上周|前天|上个?月|没有?|未|不用|不需要?|无需|无须|别|不必|不要|勿|免|暂不|停止|避免|防止|怎么|如何|谁|被|正在|在|等待?|自行|已由\S{1,3}|上班|夜班|上一班|没人|(?<!重)新|多次|反复|曾|是否)(?:就|都|自己|给|有人|去|来|过来|安排|再)?$"
)


_TO_BE_DONE = re.compile(
    r"(?:前|之内|内|请|麻烦|帮忙|赶紧|尽快|马上|明天|明早|下午|今晚|周[一二三四五六日])[^,。;!?]{0,4}把[^,。;!?]{1,16}$"
)


def wanted_zh(word: str, before: str, after: str, code: str) -> bool:
    """Whether a Chinese action word between `before` and `after` asks for work."""
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


_FALLEN_DUE = re.compile(r"(?:周期|时间)?(?:到期|到时间|到)了?$")
