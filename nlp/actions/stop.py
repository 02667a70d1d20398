"""Orders to stop a machine, apart from the news that it stopped."""

import re

_ORDER_BEFORE = re.compile(
    r"(?:赶紧|赶快|马上|立即|立刻|快|请|先|必须|要求|需要?|建议|应该?|要|得|申请|叫|让|通知|尽快|速|麻烦|务必|不得不|可以|给我|把\S{1,8}|全部先)\s*(?:给我|把\S{1,8}|先)?$"
)


_ORDER_AFTER = re.compile(
    r"^(?:吧|检查|检修|处理|修|排查|确认|查|换|啊|一下|一会|再|更换|维修|,?(?:谢谢|拜托))|^\s*[!!]"
)


_HAS_HAPPENED = re.compile(
    r"(?:已经?|被迫|自动|突然|现在|目前|导致|造成|都|全|又|就|自己|频繁|老|老是|经常|一直|报警|跳|故障|引起|现|昨\S|早上|上午|从|会|因|整线|全线|正|在|就会|只能|只好|而|直接|卡死|卡死了|次|现场|机器|设备|线|多次|偶尔|偶发|随机|间歇性?|无故|不定时)$"
)


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
