"""People's names: found, reported as present, and masked before anything is kept or logged."""

# ruff: noqa: E501, PLR2004 - patterns of whole phrases; reaches in characters; signs as people type them

import re

from nlp.lexicon import common, lexicon, names
from nlp.text import Text

MASK = "[name]"
_ROLE_ZH = r"报告人|报修人|上报人|联系人|反馈人|提报人|填报人|记录人|汇报人|申请人|发现人|检验员|质检员|操作工|操作员|当班人|值班人|班长|组长|车间主任|维修工|机修工|电工|巡检员|点检员|负责人|主管|工程师|技术员|报告者|上报|报修|报告|署名|经手人|落款|来自|签名|班组长|领班|线长|责任人|调机员|保全员|质检|检验"
_TITLE_ZH = r"师傅|班长|组长|主管|经理|工程师|主任|老师|师父|工头|线长|技师|厂长|课长|科长|部长|总|工(?=说|报|反映|发现|来|去|看|反馈|在|,|。|$|!|:|讲|确认|负责)|哥|姐|先生|女士|小姐|同志"
_NAME_EN = r"[a-z][a-z'\-]+"
_LEAD_EN = r"(?:reported by|rep(?:orted)? by|report(?:er)?:|from:|name:|signed:?|signed by|contact:?|contact person:?|call|ask(?: for)?|tell|hi|hello|hey|dear|thanks|thank you|thx|tnx|cheers|regards,?|best regards,?|kind regards,?|br,?|rgds,?|operator|technician|tech|fitter|supervisor|foreman|inspector|team lead(?:er)?|shift lead(?:er)?|engineer|manager|mechanic|electrician|attn:?|cc:?|by|per|told by|said|noticed by|found by|seen by|spotted by|observed by|this is|my name is|i am|i'm|it's me,?|here is|sincerely,?|@|signed off by|raised by|logged by|submitted by|entered by|according to|informed by|talk to|speak to|see|contact is|caller:?|requester:?|requested by|maintainer|sgd\.?|greetings,?|mfg,?|yours,?|owner:?)"
_FOUND_ZH = re.compile(rf"(?:{_ROLE_ZH})(?:是|为|人)?[\s::]*$")


def find_names(text: Text, taken: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Spans of people's names in the normalised text; `taken` belongs to machines and words of the lexicon."""
    norm = text.norm
    found = [*_chinese(norm), *_english(text)]
    clear = [span for span in found if not any(span[0] < end and start < span[1] for start, end in taken)]
    kept: list[tuple[int, int]] = []
    for span in sorted(clear, key=lambda one: (one[0] - one[1], one[0])):
        if not any(span[0] < end and start < span[1] for start, end in kept):
            kept.append(span)
    return sorted(kept)


def masked(text: Text, spans: list[tuple[int, int]]) -> str:
    """The raw text without the names, wherever they stand in it."""
    written = sorted({text.written(start, end) for start, end in spans if end > start}, key=len, reverse=True)
    result = text.raw
    for name in written:
        if not name.strip():
            continue
        if name.isascii() and name.replace(" ", "").isalpha() and len(name) <= 3:
            result = re.sub(rf"(?<![A-Za-z]){re.escape(name)}(?![A-Za-z])", MASK, result, flags=re.IGNORECASE)
        else:
            result = re.sub(re.escape(name), MASK, result, flags=re.IGNORECASE)
    return result


_SURNAME = "|".join(sorted(names("surnames"), key=len, reverse=True))
_COMMON_SURNAME = "张王李赵刘陈杨黄周吴徐孙马朱胡林郭何高罗郑梁谢宋唐许韩冯邓曹彭曾肖田董袁潘于蒋蔡余杜叶程苏魏吕丁任沈姚卢姜崔钟谭陆汪范金石廖贾夏韦傅方白邹孟熊秦邱江尹薛闫段雷侯龙史陶黎贺顾毛郝龚邵万钱严覃武戴莫孔汤常温康施文牛樊葛邢安齐易乔伍庞颜倪庄聂章鲁岳翟殷詹申欧耿关兰焦俞左柳甘祝包尚舒阮柯纪梅童凌毕单季裴霍涂成苗谷盛曲翁冉骆蓝路游辛靳管柴蒙鲍华喻祁"
_AFTER_ROLE = re.compile(
    rf"(?:{_ROLE_ZH})(?:人|是|为|名)?\s*[::,]?\s*(?P<name>(?:{_SURNAME})[\u4e00-\u9fff]{{1,2}}|[老小大阿](?:[{_COMMON_SURNAME}]))(?=[,。;!?\s)、\d]|$|报|说|反馈|电话|工号|于|在|发现|上报|\()"
)
_TITLED = re.compile(rf"(?P<name>(?:[{_COMMON_SURNAME}])(?:[\u4e00-\u9fff]{{1,2}})?)(?P<title>{_TITLE_ZH})")
_NICK = re.compile(
    rf"(?<![\u4e00-\u9fff])(?P<name>[老小阿大](?:[{_COMMON_SURNAME}]))(?=[,。;!?\s)、:]|$|说|报|反映|发现|看|来|修|换|在|去|你|帮|师傅|他|反馈|,|负责|昨|今|上次|已|过来|给|和|跟|那边|带|安排|处理|检查|确认|巡检|点检|提)|(?<=[,。;!?\s、:由请叫让问找给])(?P<name2>[老小阿大](?:[{_COMMON_SURNAME}]))|(?:请|叫|让|找|问|谢谢|感谢|多谢|谢了|辛苦了?|麻烦|由|是|联系|通知|跟)(?P<name3>[老小阿](?:[{_COMMON_SURNAME}]))"
)
_SIGNED_ZH = re.compile(
    rf"(?:^|[,。;!?\s(\-:—])(?P<name>(?:[{_COMMON_SURNAME}]|欧阳|上官|司马|诸葛)[\u4e00-\u9fff]{{1,2}})\s*[)。.!]?\s*$"
)
_THANKED = re.compile(
    rf"(?:谢谢|感谢|多谢|辛苦了?|请|让|叫|找|由|问|通知|联系|,|。|^)(?P<name>(?:[{_COMMON_SURNAME}])[\u4e00-\u9fff]{{1,2}})(?=报告|上报|反馈|反映|发现|报修|说|报的|汇报|来修|提报|巡检|检验|点检|[,。!]?$|$)"
)
_LEADING = re.compile(rf"^(?P<name>(?:[{_COMMON_SURNAME}])[\u4e00-\u9fff]{{1,2}})\s*[::]")
_WORDS_LIKE_NAMES = re.compile(
    r"高温|高压|马上|马达|方向|白点|金属|石墨|毛刺|毛边|毛坯|温度|单向|安全|成品|成型|万向|华为|管道|管路|包装|黄油|黄色|蓝色|白色|石头|江|常温|康|周期|周五|周一|周二|周三|周四|周六|周日|周内|周末|周围|周边|高速|高频|齿|左右|左侧|左边|关机|关闭|关掉|关不|路|毕竟|单位|单边|单件|曲轴|谷|章|严重|任何|任务|余|于是|易|温升|温控|文件|水|凌晨|成|常|安排|安装|钟|卡|梅|陆续|施工|武|章|涂|盛|童|包|焦|焦味|龙门|雷|毛|石|孔|孔径|江|金|方|何时|何|余量|程序|范围|贺|管|柴油|蒙皮|游隙|游|牛油|段|段差|夏天|夏|兰|尚|万|安|冷|麻烦|车|门|平|项|都|时|和|来|位|向|由|元|信|智|印|修|但|况|是|全|支|应|应该|权|强|解决|解|满|危|危险|丁|申请|申|史|庄|白班|早班|晚班|明天|今天|计|计划|相|相关|初|容易|苗|苗头|冉|古|沙|阴|阳|同|鲜|干|干净|热|银|玉|母|牙|皮|皮带|楼|盘|漆|豆|盖|练|边|巩|席|查|查看|查一|宁|舒|童|莫名|单|成批|成堆|温|谢谢|谢了|郑重|常见|常常|经常|高了|高度|高低|向上|关于|方便|左上|左下|黄|白|金相"
)


def _chinese(norm: str) -> list[tuple[int, int]]:
    spans: list[tuple[int, int]] = []
    for pattern in (_AFTER_ROLE, _TITLED, _NICK, _SIGNED_ZH, _THANKED, _LEADING):
        for hit in pattern.finditer(norm):
            group = next(name for name, text in hit.groupdict().items() if text and name != "title")
            start, end = hit.span(group)
            name = norm[start:end]
            if pattern is not _AFTER_ROLE and pattern is not _NICK and _WORDS_LIKE_NAMES.match(name):
                continue
            if pattern in {_SIGNED_ZH, _THANKED, _LEADING} and _is_word(name):
                continue
            if pattern is _TITLED:
                end = hit.end("title") if len(name) == 1 else end
                if hit["title"] == "总" and len(name) > 1:
                    continue
            spans.append((start, end))
    return spans


def _is_word(name: str) -> bool:
    """Whether the lexicon reads these characters as shop words."""
    return (
        any(one.end - one.start > 1 for one in lexicon().find(name))
        or name[1:] in {"了", "的", "吗", "啊"}
        or name[-1] in "了的吗吧呢啊机泵炉线号件个"
    )


_AFTER_LEAD = re.compile(
    rf"(?<![a-z]){_LEAD_EN}[\s,:]*(?P<name>(?:(?:mr|mrs|ms|dr)\.? )?(?:[a-z]\.? ?)?{_NAME_EN}(?: [a-z]\.)?(?: {_NAME_EN})?)"
)
_SIGNED_EN = re.compile(
    rf"(?:[.!?\-–,;/(\n]|-{{1,2}}|—)\s*(?P<name>(?:[a-z]\.\s?){{0,2}}{_NAME_EN}(?: (?:[a-z]\.? ?)?{_NAME_EN})?(?: [a-z]\.?)?)\s*[.)]?\s*$"
)
_HONORIFIC = re.compile(rf"(?<![a-z])(?:mr|mrs|ms|dr)\.? (?P<name>{_NAME_EN}(?: {_NAME_EN})?)")
_TELLS = re.compile(
    rf"(?<![a-z])(?P<name>{_NAME_EN}(?: [a-z]\.?| {_NAME_EN})?)(?: from (?:maintenance|production|quality|qc|the \w+|shift \w+|line \w+|\w+ shift))?(?:'s)? (?:says|said|reports|reported|noticed|saw|heard|found|told|thinks|here|speaking|called|fixed|repaired|replaced|asks|asked|wants|did|mentioned|confirmed|checked|smelled|felt|claims|swears|reckons|changed|is reporting|observed)\b"
)
_INITIAL = re.compile(rf"(?<![a-z.])(?P<name>[a-z]\. ?{_NAME_EN})(?![a-z])")


def _english(text: Text) -> list[tuple[int, int]]:
    norm = text.norm
    spans: list[tuple[int, int]] = []
    for pattern in (_AFTER_LEAD, _SIGNED_EN, _HONORIFIC, _TELLS, _INITIAL):
        sure = pattern is _HONORIFIC
        spans += [span for hit in pattern.finditer(norm) for span in _trimmed(text, *hit.span("name"), sure=sure)]
    for hit in re.finditer(r"(?<![a-z'-])[a-z]{3,}(?![a-z'-])", norm):
        if (
            hit[0] in names("first_names")
            and hit[0] not in _ALSO_WORDS
            and text.is_upper(hit.start())
            and not _shouted(text)
        ):
            spans.append(hit.span())
    return spans


_ALSO_WORDS = names("also_words")


def _trimmed(text: Text, start: int, end: int, *, sure: bool) -> list[tuple[int, int]]:
    """Keep the leading words of a candidate that look like a name."""
    kept_end = start
    seen = False
    for word in re.finditer(r"[a-z'\-]+\.?", text.norm[start:end]):
        at, plain = start + word.start(), word[0].rstrip(".").removesuffix("'s")
        initial = len(plain) == 1
        capital = text.is_upper(at) and not _shouted(text)
        known = plain in names("first_names") and plain not in _ALSO_WORDS
        if initial and (capital or known):
            kept_end = start + word.end()
            continue
        wordy = plain in lexicon().vocabulary or plain in common() or plain in _STOP
        if plain in {"mr", "mrs", "ms", "dr"}:
            kept_end = start + word.end()
            continue
        good = (
            known
            or sure
            or (capital and (not wordy or plain in names("first_names")))
            or (capital and seen and plain not in _STOP and not wordy)
        )
        if not good:
            break
        seen = True
        kept_end = start + word.start() + len(word[0]) - (2 if word[0].endswith("'s") else 0)
    if not seen:
        return []
    return [(start, kept_end)]


def _shouted(text: Text) -> bool:
    letters = [char for char in text.raw if char.isalpha() and char.isascii()]
    return len(letters) > 8 and sum(char.isupper() for char in letters) > 0.7 * len(letters)


_STOP = names("never_names")
