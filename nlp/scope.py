"""What the text claims of a trouble: that it is there, is not, was mended, is feared, or is the cause of another."""

# ruff: noqa: E501 - patterns of whole phrases; reaches in characters; signs as people type them

import re
from collections.abc import Iterator
from dataclasses import dataclass

from nlp.text import clauses, sentences

DENIED, RESOLVED, FEARED, CONDITIONAL, ASKED = "denied", "resolved", "feared", "conditional", "asked"

_TURN = re.compile(
    r"但是|但|不过|只是|然而|可是|却|反而|而是|\bbut\b|\bhowever\b|\balthough\b|\bthough\b|\byet\b(?! to)|\bexcept\b|\band the\b|\bstill\b|而"
)
_NO_LONG = re.compile(
    r"没有?再?(?:发现|看到|见到|听到|出现|发生|感觉到?)(?:任何|什么|明显)?|没有(?:再|任何|什么|明显)?|没再|没见|没听到|未再|未见|未发现|未出现|未发生|并无|无任何|无明显|不存在|排除了?|没啥|不见|不再有?|也无|均无|都无|无(?!法|故|人|缘|论|尘|心|级|线|力|需|须|效|用)|没什么"
)
_NO_NEAR = re.compile(
    r"不是因为|不是|并非|并没|没(?!法|人|办法|多久|想到|过|到|关|电|气|油|力|劲|反应|动静)|不会|不怎么|不(?!停|断|知|光|仅|但|只|得不|行|是|会|良|足|够|稳|准|正常|对|到|均|同)|未(?!熔|焊|拧|紧)"
)
_NO_EN = re.compile(
    r"\b(?:no (?:sign|signs|evidence|trace|traces|indication|indications) of|no more|no longer(?: any)?|no further|no(?!\.?\s?[a-z]{0,4}-?\d)(?! (?:idea|doubt|one|wonder|\d|later|longer than|need|rush|hurry|go\b|matter))|not(?! (?:only|sure|just|ok|okay|good|urgent|until|yet sure|too long|long|enough|to mention|critical))|without|never|zero|free (?:of|from)|none|neither|nor|did(?:n't| not) (?:find|see|notice|hear)|didn't|doesn't|isn't|wasn't|aren't|weren't|hasn't|haven't|ruled out|absence of|stopped(?= \w+ing)|rather than|instead of)\b"
)
_RESOLVED_ZH = re.compile(
    r"(?:都|也|均|全部|目前|现在|现)?(?:已经?|刚|昨天|上周|昨晚|今早|上午|都|自己)(?:自行|由\w{1,3}|紧急|及时|全部|临时)?(?:修|换|更换|处理|解决|修复|恢复|消除|排除|维修|清理|调整|紧固|补加|补充|加满|添加|补|补油|加油|清洗|调|弄|焊|疏通|复位|调好|返工|返修)(?:好|完|掉|过|正常|完成|完毕)?(?:了|过)?|(?:修|换|调|处理|弄|清理|搞|解决|修复|焊|紧|更换|维修|疏通|复位)(?:好|完|掉|过)了|(?:没有了|没了|消失了?|不见了|恢复正常|恢复了|正常了|好了|已正常|已恢复|已解决|解决了|已消除|已排除|消除了|排除了)|修完了?"
)
_RESOLVED_EN = re.compile(
    r"\b(?:(?:is|was|were|are|been|got|has been|have been|had been|now|already|all|since|then|is now|we|i|they|maintenance|and|which was|it was)\s+)?(?:fixed|repaired|solved|resolved|cleared|gone|sorted(?: out)?|cured|eliminated|remedied|rectified|corrected|retightened|tightened|replaced|disappeared|went away|back to normal|cleaned up|taken care of|dealt with|topped up)\b(?! (?:by (?:tomorrow|monday|tuesday|wednesday|thursday|friday|saturday|sunday|end|the end|noon|\d|eod|eob|cob)|asap|before|within|please|today|urgently|immediately))"
)
_NOT_RESOLVED = re.compile(
    r"(?:\bbe|\bto be|\bget|\bgetting|\bneeds?|\bmust|\bshould|\bwant|\bnot|n't|\bnever|\byet|\bplease|\bpls|\bit|\bthis|\bthat|\bunless|\bif|\bwhen|\bnever been|没|没有|未|需要?|请|要|能|怎么|不|得|尽快|马上|赶紧|能不能|帮忙|什么时候|再|等|先|安排|把|必须|务必|应)\s*(?:been |it |be |are |is |was )?$"
)
_FEARED = re.compile(
    r"担心|害怕|生怕|就怕|怕(?!是|的)|恐怕会|以免|避免|防止|免得|预防|小心|当心|谨防|否则|不然|要不然|要不(?!要|是)|再这样|迟早|可能会|有可能会|也许会|恐会|容易(?:导致|造成|引起)?(?=[^,。]{0,6}$|.)|快要|将会|早晚|再不\S{1,6}就|为了不|省得|就要"
    r"|\b(?:afraid|fear(?:ing|s)?|worr(?:y|ied|ies)(?: about| that)?|concerned(?: about| that)?|risk(?:s|ing)?(?: of)?|danger of|to (?:avoid|prevent)|avoid(?:s|ing)?|prevent(?:s|ing)?|otherwise|or else|lest|(?:might|may|could|would|will|'ll|going to|gonna)(?! (?:be|have been|also be|need|not)\b)(?! you\b)|might be going|before it|before the|before something|so (?:that )?(?:it|they|we) (?:doesn't|does not|won't|don't|do not|will not)|don't want|do not want|hope (?:it|that)|sooner or later|eventually|about to|potential(?:ly)?|in danger|or it(?:'ll| will)|or we(?:'ll| will)|guard against|soon to)\b"
)
_FEARED_AFTER = re.compile(r"^[^\s,。;!]{0,2}(?:的?风险|的?可能性?$|的?隐患|的?危险)|^ ?(?:risk|hazard|danger)\b")
_CONDITION = re.compile(
    r"如果(?!可以|方便|有空|可能|有时间|没问题|能|有人|需要)|若(?!干)(?:是|再)?|要是|假如|假设|倘若|万一|一旦|除非|只要|一有"
    r"|\b(?:if|in case(?: of)?|unless|in the event|should (?:it|the \w+|they|this)(?= \w+ (?:again|more|further|worse))|provided|as soon as (?:it|the)|once (?:it|the)|when (?:it|the \w+) (?:happens|occurs|starts again|reaches|exceeds|gets))\b(?! (?:possible|you can|you could|you have|needed|necessary|required|convenient|someone|somebody|time|you get|anyone|available|we can|able|so\b|u can|you guys|you don't mind))"
)
_ASKING = re.compile(
    r"是否有?|有没有|有无|能否|看有没有|看是不是|检查是不是|确认是不是|看看是不是|查查是不是|要不要|需不需要"
    r"|\b(?:check|see|verify|know|sure|confirm|wonder(?:ing)?|find out|look|tell me|tell us|ask|determine|test|inspect|investigate|establish|clarify)(?: \w+){0,4} (?:if|whether)\b|\b(?:(?:check|inspect|look|test|watch)(?:ed)?(?: \w+){0,4} for|whether|check for|inspect for|look for|checked for|inspected for|test for|tested for|watch for|look out for|search for)\b"
)
_CAUSE_STRONG = re.compile(
    r"(?:可能|估计|应该|怀疑|大概|恐怕|好像)?(?:就)?是?(?:因为|由于)|因(?!此|素|子|果|而)|起因是?|归因于|原因(?:可能|估计|大概|初步判断|应该|怀疑)?(?:是|为|在于)?[::]?|根因是?|源于|缘于|主要是"
    r"|\b(?:due to|because of|because|caused by|as a result of|owing to|on account of|resulting from|result of|root cause(?: is|:| seems to be| was| likely| probably| might be| may be)?|cause(?: is|:| was| seems| likely| probably| might be| may be| could be| suspected:?)|reason(?: is|:| was| might be)|attributed to|traced (?:back )?to|stems? from|stemming from|thanks to|on account of|brought on by|triggered by|blamed on|down to)\b:?"
)
_CAUSE_WEAK = re.compile(
    r"怀疑是?|疑似是?|疑是|估计是?|可能(?!会|性)(?:是)?|应该是|应是|大概是?|八成是?|多半是?|感觉是|感觉像是?|像是|好像是?|似乎是?|看着像是?|看样子是?|看来是?|怕是|恐怕是?|或许是?|也许是?|初步判断为?是?|判断是|判断为|初判为?是?|分析是|分析为|是不是|会不会是?|难道是|推测是?|猜测是?|猜是?|查明是|发现是|确认是|确认为|原来是|八九不离十是|有可能是|疑(?=[^问])|觉得是?|感觉(?!到)"
    r"|\b(?:suspect(?:ed|ing|s)?(?: it'?s| it is| that| a| the)?|probably|prob\.?|most likely|likely|possibly|possible|maybe|perhaps|(?:might|may|could|must|should) (?:be|have)|looks? like|seems? (?:like|to be)|appears? to be|(?:i |we )?(?:think|believe|reckon|guess|assume|bet|figure)(?: it'?s| it is| that|s)?|my guess(?: is)?|presumably|found to be|turned out to be|turns out to be|from(?= (?:a |the |an |some )?(?:worn|loose|bad|dirty|old|broken|lack|poor|misalign\w*|overload\w*|wear|operator|moisture|debris|wrong|damaged|leaking|faulty|dull|low|excessive|contaminat\w*|corro\w*|imbalance|unbalance\w*|blocked|clogged|plugged))|suspicion(?: is)?:?|with suspected)\b"
)
_CAUSE_MID = re.compile(
    r"导致了?|造成了?|引起了?|致使|使得|引发了?|以致于?|从而|弄得|搞得|害得|所以|因此|→|->|=>|\b(?:causing|leading to|led to|leads to|resulting in|results in|resulted in|which causes|which caused|causes|caused(?! by)|has caused|therefore|hence|thus|consequently|triggering|made the|so (?:the|it|parts?|we)\b)"
)
_CAUSE_END = re.compile(
    r"(?:所)?(?:引起|造成|导致|所致|引发)的?(?=[,。;!?\s]|$)|所致|的(?:原因|缘故|问题)(?=[,。;!?\s]|$)|\bis (?:the|a) (?:likely |probable |root |suspected )?(?:cause|culprit|reason)\b|\bto blame\b|\b(?:suspected|probably|likely)(?=[,.;!?]|$)|(?:引起|造成)(?:的)?吧|\b(?:i|we) (?:guess|think|suppose|reckon|believe|bet)(?=[,.;!?]|$)|(?:好像|估计|可能|应该|大概)吧?(?=[,。;!?]|$)"
)


_FINE_AFTER = re.compile(
    r"\s*(?:is |are |was |were |:|,? all |都|均|也|值|检查|检测)?(?:正常|合格|良好|normal|ok\b|okay|fine\b|within (?:spec|limits|range)|in range)(?!\w)"
)
_BACK = re.compile(r"又(?!是谁)\S{0,3}$|\b(?:again|still|keeps)\b[\w ]{0,8}$")
_BACK_AFTER = re.compile(r"\s*(?:\w+ ){0,2}(?:again|once more)\b")
_SHORT_QUESTION = 40
_ASKS = re.compile(
    r"吗|怎么|如何|什么|哪|谁|多少|多久|\b(?:what|when|where|who|which|how|any|can|do|does|is|are|did|could|have|has)\b"
)


@dataclass(frozen=True, slots=True)
class Region:
    """Characters [start, end) that a cue rules."""

    start: int
    end: int
    strong: bool = True


class Scopes:
    """All cues of one text. `content` are spans of words of content: a cue inside one is none; `troubles` those of troubles."""

    def __init__(self, norm: str, content: list[tuple[int, int]], troubles: list[tuple[int, int]]) -> None:
        self.norm = norm
        self.content_troubles = troubles
        self.content = content
        self.clauses = list(cut(norm))
        self.sentences = sentences(norm)
        self.conditional = [
            Region(hit.start(), self._sentence(hit.start())[1])
            for hit in self._cues(_CONDITION)
            if not self._is_asking(hit.start())
        ]
        self.conditional += [
            Region(self._clause(hit.start())[0], self._sentence(hit.start())[1])
            for hit in re.finditer("的话", norm)
            if not re.search(r"(?:可以|方便|有空|可能|有时间|行)$", norm[: hit.start()])
        ]
        self.asked = [Region(hit.end(), self._clause(hit.end() - 1)[1]) for hit in self._cues(_ASKING)]
        self.feared = [Region(hit.end(), self._clause(hit.end() - 1)[1]) for hit in self._cues(_FEARED)]
        self.denied = list(self._denials())
        self.causes = list(self._cause_regions())

    def _cues(self, pattern: re.Pattern[str]) -> Iterator[re.Match[str]]:
        for hit in pattern.finditer(self.norm):
            if hit.end() > hit.start() and not any(
                start <= hit.start() and hit.end() <= end and end - start > hit.end() - hit.start()
                for start, end in self.content
            ):
                yield hit

    def _clause(self, at: int) -> tuple[int, int]:
        return next(((start, end) for start, end in self.clauses if start <= at < end), (at, len(self.norm)))

    def clause_number(self, at: int) -> int:
        """Index of the clause that holds the character."""
        return next(
            (number for number, (start, end) in enumerate(self.clauses) if start <= at < end), len(self.clauses) - 1
        )

    def _sentence(self, at: int) -> tuple[int, int]:
        return next(((start, end) for start, end in self.sentences if start <= at < end), (at, len(self.norm)))

    def _is_asking(self, at: int) -> bool:
        return any(hit.start() <= at < hit.end() for hit in _ASKING.finditer(self.norm))

    def _denials(self) -> Iterator[Region]:
        for hit in self._cues(_NO_LONG):
            yield Region(hit.end(), self._clause(hit.start())[1])
        for hit in self._cues(_NO_NEAR):
            yield Region(hit.end(), min(hit.end() + 4, self._clause(hit.start())[1]))
        for hit in self._cues(_NO_EN):
            end = self._clause(hit.start())[1]
            words = (
                3
                if hit[0]
                in {"not", "didn't", "doesn't", "isn't", "wasn't", "aren't", "weren't", "hasn't", "haven't", "never"}
                else 7
            )
            reach = re.compile(rf"(?:\s*[^\s]+){{0,{words}}}").match(self.norm, hit.end(), end)
            stop = reach.end() if reach else end
            also = re.match(r"(?:[^.;!?]*?, ?(?:or|nor|and no) \w+)|(?:, ?\w+)*,? or \w+", self.norm[stop:end])
            yield Region(hit.end(), stop + (also.end() if also else 0))

    def _cause_regions(self) -> Iterator[Region]:
        for start, end in self.clauses:
            if self.norm[end - 1] == "?" and end - start <= _SHORT_QUESTION and not _ASKS.search(self.norm[start:end]):
                yield Region(start, end, strong=False)
        for hit in _CAUSE_END.finditer(self.norm):
            yield Region(self._clause(hit.start())[0], hit.start())
        for pattern, strong in ((_CAUSE_STRONG, True), (_CAUSE_WEAK, False)):
            for hit in self._cues(pattern):
                start, end = self._clause(hit.end() - 1 if hit.end() > hit.start() else hit.start())
                mid = _CAUSE_MID.search(self.norm, hit.end(), end)
                yield Region(hit.end(), mid.start() if mid else end, strong)
        for hit in self._cues(_CAUSE_MID):
            start, _ = self._clause(hit.start())
            if not self.norm[start : hit.start()].strip(" ,"):
                number = self.clause_number(hit.start())
                start = self.clauses[number - 1][0] if number else start
            yield Region(start, hit.start())

    def status(self, start: int, end: int) -> str:
        """What the text says of the trouble at [start, end); "" when it claims it."""
        if any(region.start <= start < region.end for region in self.conditional):
            return CONDITIONAL
        if any(region.start <= start < region.end for region in self.asked):
            return ASKED
        if any(region.start <= start < region.end for region in self.denied):
            return DENIED
        if any(region.start <= start < region.end for region in self.feared) or _FEARED_AFTER.match(
            self.norm[end : end + 10]
        ):
            return FEARED
        if _FINE_AFTER.match(self.norm[end : end + 16]):
            return DENIED
        if self._resolved(start, end):
            return RESOLVED
        return ""

    def _resolved(self, start: int, end: int) -> bool:
        number = self.clause_number(start)
        clause = self.clauses[number]
        if self._cleared(end, clause[1]):
            return True
        if _BACK.search(self.norm[clause[0] : start]) or _BACK_AFTER.match(self.norm[end : clause[1]]):
            return False
        following = self.clauses[number + 1] if number + 1 < len(self.clauses) else None
        if (
            following is None
            or _TURN.match(self.norm[following[0] : following[1]].strip())
            or self.norm[clause[1] - 1] == "?"
        ):
            return False
        if any(following[0] <= one < following[1] for one, _ in self.content_troubles):
            return False
        return self._cleared(following[0], following[1])

    def _cleared(self, start: int, end: int) -> bool:
        for pattern in (_RESOLVED_ZH, _RESOLVED_EN):
            for hit in pattern.finditer(self.norm, start, end):
                if _NOT_RESOLVED.search(self.norm[max(0, hit.start() - 14) : hit.start()]):
                    continue
                if re.match(r"\s*(?:又|还|仍|之后又|后又|again|but)", self.norm[hit.end() : hit.end() + 8]):
                    continue
                return True
        return False

    def cause_region(self, start: int) -> Region | None:
        """The strongest cause region that holds the character."""
        holding = [region for region in self.causes if region.start <= start < region.end]
        return next((region for region in holding if region.strong), holding[0] if holding else None)


def cut(norm: str) -> Iterator[tuple[int, int]]:
    """Clauses of the text, cut at marks and at words of turning (但, but)."""
    for start, end in clauses(norm):
        at = start
        for hit in _TURN.finditer(norm, start, end):
            if hit.start() > at and norm[at : hit.start()].strip():
                yield at, hit.start()
                at = hit.start()
        if end > at:
            yield at, end
