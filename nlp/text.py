"""Text with an offset map: reading happens on a normalised copy, spans index the original."""

# ruff: noqa: E501, RUF001 - patterns of whole phrases; reaches in characters; signs as people type them

import re
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass

_PLAIN = {
    "‘": "'", "’": "'", "′": "'", "`": "'", "´": "'", "“": '"', "”": '"', "–": "-", "—": "-", "−": "-", "‐": "-", "‑": "-",
    "～": "~", "∼": "~", "〜": "~", "µ": "μ", "＃": "#", "﹟": "#", "º": "°", "˚": "°", "×": "x", "♯": "#", "。": "。",
}  # fmt: skip
_TRADITIONAL = dict(
    zip(
        "軸異響機線電壓溫氣溼濕滲鬆動斷裝壞檢換潤淨過熱臺號時點鐘後緊馬馬達門裡開關啟轉聲噴塗鑄銲焊縫劃傷變縮陷雜質髒異報張陳劉趙黃鄭許孫徐"
        "處業務單據員師傅請麻煩儘盡調準確認護養產線數個隻條塊見發現問題確實圖樣書寫錯誤顏圓徑長寬厚級類類別東廠庫備刀輪絲桿傳帶齒閥濾閘"
        "蓋殼體軌撐圈環間隙頭頂邊緣燒結燈計錶儀顯示熔應該還沒無須說聽場損毀鏽銹蝕卡滯堵塞鎖螺栓釘彎曲靜衝壓鍛銑鑽磨銼爐烤燙涼極強弱週周",
        "轴异响机线电压温气湿湿渗松动断装坏检换润净过热台号时点钟后紧马马达门里开关启转声喷涂铸焊焊缝划伤变缩陷杂质脏异报张陈刘赵黄郑许孙徐"
        "处业务单据员师傅请麻烦尽尽调准确认护养产线数个只条块见发现问题确实图样书写错误颜圆径长宽厚级类类别东厂库备刀轮丝杆传带齿阀滤闸"
        "盖壳体轨撑圈环间隙头顶边缘烧结灯计表仪显示熔应该还没无须说听场损毁锈锈蚀卡滞堵塞锁螺栓钉弯曲静冲压锻铣钻磨锉炉烤烫凉极强弱周周",
        strict=True,
    )
)
_WORD = re.compile(r"[a-z]+(?:'[a-z]+)?")
_HAN = re.compile(r"[\u3400-\u9fff]")


@dataclass(frozen=True, slots=True)
class Text:
    """`norm` is what is read; `starts[i]` and `ends[i]` say where its character i lies in `raw`."""

    raw: str
    norm: str
    starts: Sequence[int]
    ends: Sequence[int]

    def span(self, start: int, end: int) -> tuple[int, int]:
        """Offsets into `raw` of the span [start, end) of `norm`."""
        if start >= end:
            return (0, 0)
        return self.starts[start], self.ends[end - 1]

    def written(self, start: int, end: int) -> str:
        """The span as the person wrote it."""
        first, last = self.span(start, end)
        return self.raw[first:last]

    def is_upper(self, at: int) -> bool:
        """Whether the character was written as a capital."""
        return self.raw[self.starts[at]].isupper()

    @property
    def is_chinese(self) -> bool:
        """Whether the text is mostly Chinese: a Han character weighs as much as a Latin word."""
        return len(_HAN.findall(self.norm)) > len(_WORD.findall(self.norm))


def normalise(raw: str, mend: Callable[[str], str | None] | None = None) -> Text:
    """Fold width, case, quotes and traditional characters; `mend` may give a better spelling of a Latin word.

    Of a long run of blanks two are kept.
    """
    letters: list[str] = []
    starts: list[int] = []
    for at, char in enumerate(raw):
        folded = _fold(char)
        if folded.isspace() and len(letters) > 1 and letters[-1].isspace() and letters[-2].isspace():
            continue
        letters.append(folded)
        starts.extend([at] * len(folded))
    norm = "".join(letters)
    text = Text(raw, norm, starts, [at + 1 for at in starts])
    return text if mend is None else _mended(text, mend)


def _fold(char: str) -> str:
    if char < "\x80":
        return char.lower()
    plain = _PLAIN.get(char) or _TRADITIONAL.get(char)
    if plain is not None:
        return plain
    folded = unicodedata.normalize("NFKC", char).lower()
    return folded or " "


def _mended(text: Text, mend: Callable[[str], str | None]) -> Text:
    parts: list[str] = []
    starts: list[int] = []
    ends: list[int] = []
    done = 0
    for word in _WORD.finditer(text.norm):
        if _is_name(text, word.start(), word.end()):
            continue
        better = mend(word[0])
        if better is None or better == word[0]:
            continue
        parts += [text.norm[done : word.start()], better]
        starts += text.starts[done : word.start()]
        ends += text.ends[done : word.start()]
        first, last = text.span(word.start(), word.end())
        width = last - first
        starts += [first + min(i, width - 1) for i in range(len(better))]
        ends += [min(first + i + 1, last) for i in range(len(better) - 1)] + [last]
        done = word.end()
    if not parts:
        return text
    parts.append(text.norm[done:])
    starts += text.starts[done:]
    ends += text.ends[done:]
    return Text(text.raw, "".join(parts), starts, ends)


def _is_name(text: Text, start: int, end: int) -> bool:
    """Whether the word has one capital, inside a sentence: then it may be a name and is left as it is."""
    raw = text.written(start, end)
    if not (raw[:1].isupper() and raw[1:].islower()):
        return False
    before = text.norm[:start].rstrip()
    return bool(before) and before[-1] not in ".!?:;\n。"


def clauses(norm: str, split: str = ",;。!?\n") -> list[tuple[int, int]]:
    """Cut into clauses at the marks in `split` and at full stops; a mark between digits does not cut."""
    found: list[tuple[int, int]] = []
    start = 0
    for at, char in enumerate(norm):
        if not (char in split or char == "."):
            continue
        before = norm[at - 1] if at else " "
        after = norm[at + 1] if at + 1 < len(norm) else " "
        if char in ",." and before.isdigit() and after.isdigit():
            continue
        if char == "." and (after.isalnum() or _is_short(norm, at)):
            continue
        found.append((start, at + 1))
        start = at + 1
    if start < len(norm):
        found.append((start, len(norm)))
    return found


def sentences(norm: str) -> list[tuple[int, int]]:
    """Cut at full stops, question and exclamation marks, semicolons and line ends, not at commas."""
    return clauses(norm, ";。!?\n")


_SHORT = re.compile(r"(?:^|[^a-z])(?:no|nr|approx|temp|press|max|min|vib|qty|pcs|mr|mrs|ms|dr|vs|[a-z])$")


def _is_short(norm: str, dot: int) -> bool:
    following = norm[dot + 1 : dot + 3].strip()
    return bool(following) and _SHORT.search(norm[max(0, dot - 8) : dot]) is not None
