"""Lot numbers, order numbers, and how many parts are bad."""

# ruff: noqa: E501 - patterns of whole phrases; reaches in characters; signs as people type them

import re
from dataclasses import dataclass

from nlp import numerals

_ID = r"[a-z]{0,8}(?:[-_/]?[a-z]{0,4}\d[a-z\d]{0,40})(?:[-_/.][a-z\d]{1,40}){0,6}"
_BATCH = re.compile(
    rf"(?:批次号|批次|批号|生产批|炉号|炉次|批(?=号|次|[:\s#]*[a-z]{{0,4}}-?\d)|卷号|料号批)(?:号|是|为|编号)?[\s:#]*(?P<zh>{_ID})"
    rf"|\b(?:lots?|batch(?:es)?|heat|coil|lot/batch|b/n)(?: (?:no|nr|number|num|id|code))?\b\.?[\s:#]*(?P<en>{_ID})"
    rf"|(?<![a-z0-9-])(?P<joined>(?:lot|batch|bat|bt|heat|ht)[-_]?\d[a-z\d]*(?:[-_/][a-z\d]+)*)"
    rf"|(?P<before>(?<![a-z\d-])(?!(?:po|wo|mo|so)[-\d])[a-z]{{0,4}}-?\d[a-z\d]*(?:-[a-z\d]+)*)(?:(?:这|那|该|整)一?批(?!准|量)|一?批(?:次|号|货|料|件|产品|零件))"
    r"|(?<![a-z\d-])(?P<bare>[bl]-?(?:20)?\d{5,8}(?:-[a-z\d]+)*)(?![a-z\d])"
)
_ORDER = re.compile(
    rf"(?:生产订单|生产工单|维修工单|工单号?|订单号?|制令单?|任务单|派工单|生产单|单号|加工单|采购单|报修单|维修单|返工单|返修单|报废单|检验单|流程单|批单|工令)(?:号|是|为|编号)?[\s:#]*(?P<zh>{_ID})"
    rf"|(?<![a-z0-9-])(?P<joined>(?:po|wo|mo|so|jo|wip|job|ord|mfg|prd|prod|pro|gd|sc|pd|wr|wk|pn0|sr|mwo|swo|tkt|rw|ncr|qn|rma)[-_]?\d[a-z\d]*(?:[-_/][a-z\d]+)*)"
    rf"|\b(?:(?:production |work |shop |manufacturing |purchase |sales |customer |job |maintenance |repair )?orders?|w\.?o|p\.?o|m\.?o|s\.?o|job|ticket|w/o|request)(?: (?:no|nr|number|num|id))?\b\.?[\s:#]*(?P<en>{_ID})"
    r"|(?P<after>(?<![a-z\d-])(?:po|wo|mo|so)?-?\d{4,}(?:-\d+)*)(?:号)?(?:工单|订单|单子)"
)
_LEAST = 3
_COUNTER = r"件|个(?!月|小时|钟|半|百分|点|人|班|工位|多|位|螺|孔|轴|阀|泵|开关|传感|电机|电磁|滤|接头|月|星期|礼拜|师傅|模|按钮|加热|灯)|只|片(?!区)|支|根|套|台(?=产品|成品|不良|次品|件|电机壳|车身)|块|条(?!线|皮带)|张|箱|盒|袋|包|瓶|处|卷|粒|枚|颗|pcs|pc|pieces?|ea|parts?|units?|件产品|副|把(?!手)|板|盘|桶|罐|对|双|批件|件货|模(?=产品|次品|不良)"
_QUANTITY_ZH = re.compile(
    rf"(?<![a-z\d.#/-])(?P<n>\d{{1,9}}|[{numerals.ZH}]{{1,8}})\s*(?:多|余|来)?\s*(?P<c>{_COUNTER})(?![a-z])"
)
_EN_NOUN = r"pcs\.?|pc|pieces?|ea|each|parts?|units?|items?|samples?|castings?|forgings?|moldings?|mouldings?|blanks?|panels?|housings?|brackets?|flanges?|covers?|shafts?|gears?|rings?|bushings?|boards?|pcbs?|pcbas?|bottles?|caps?|lids?|cans?|cartons?|boxes|bags?|pouches|sheets?|coils?|tubes?|pipes?|bars?|rods?|welds?|spots?|joints?|rolls?|doors?|hoods?|fenders?|bumpers?|wheels?|rims?|hubs?|rotors?|discs?|disks?|blades?|lenses|lamps?|cells?|packs?|modules?|connectors?|harnesses|assemblies|subassemblies|frames?|knuckles?|arms?|blocks?|heads?|plates?|profiles?|extrusions?|fittings?|valves?|bodies|impellers?|trays?|tiles?|pallets?|workpieces?|products?|rejects?|defects?|defectives?|bad ones?|bad|scrap parts?|springs?|screws?|bolts?|nuts?|pins?|clips?|inserts?|handles?|cabinets?|enclosures?|shells?|cases?|drums?|tanks?|vials?|syringes?|jars?|cups?|billets?|bezels?|trims?|gaskets?|hoses?|axles?|spindles?|crankshafts?|camshafts?|pistons?|liners?|manifolds?|seats?|seals?|of them|off|more|places|locations|defective|ng|nok|labels?|sleeves?|elbows?|couplings?|radiators?|mirrors?|stators?|cores?|hinges?|test pieces?|coupons?|beams?|struts?"
_QUANTITY_EN = re.compile(
    rf"(?<![a-z\d.#/-])(?P<n>\d{{1,3}}(?:,\d{{3}})+|\d{{1,9}}|{numerals.ENGLISH})(?:\s+|-)?(?:(?:bad|defective|rejected|scrapped|affected|faulty|more|cracked|scratched|finished|nok|ng|of the|of these|aluminum|aluminium|steel|plastic|cast|molded|painted|front|rear|left|right|door|side|gear|pump|motor|bearing|battery|body|inner|outer|brake|wheel|control|valve|glass|hub|cylinder|lamp|rejected|suspect|welded|machined|bent|dented|warped|porous|short|wrong|mislabeled|leaking|oversized?|undersized?)\s+){{0,3}}(?P<c>{_EN_NOUN})(?![a-z])"
)
_OUT_OF = re.compile(
    r"(?<![a-z\d.#/-])(?P<n>\d+|one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve)\s*(?:out of|/|of)\s*(?:the |every |these )?(?P<all>\d+)(?![\d:/-])(?:\s*(?P<c>"
    + _EN_NOUN
    + r"|件|个|只|片))?"
)
_QUANTITY_BARE = re.compile(
    rf"(?:(?:about|approx\.?|approximately|around|roughly|at least|some|total(?: of)?|qty\.?:?|quantity:?|count:?|数量[:为是]?|共|共计|合计|大约|约|大概)\s*)(?P<n>\d+|{numerals.ENGLISH}|[{numerals.ZH}]{{2,}})(?=\s*(?:[,.;!。)]|$|left|so far|already bad))"
    r"|(?:(?<=^)|(?<=[,;:.] )|(?<=of which )|(?<=and ))(?P<n2>\d+|one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve) (?:have|has|had|were|was|are|is|with|showed?|show|failed|fail|bad|rejected|nok|ng|defective|cracked|scratched|porous)\b"
)
_SAMPLE_BEFORE = re.compile(
    r"(?:抽检|抽查|抽测|抽样|抽|检查|检验|共检|检|测|全检|送检|投入|生产|总数|共生产|做了|加工了?|每|总共检|首|第|of|out of|from|inspected|checked|sampled|tested|produced|made|ran|every|each|first|sample of|lot of|batch of|lot size|from a lot of|last|next|per|after|ordered|order of|need|with)\s*(?:了|the |a |about |约|共|the last |the first )?$"
)
_SAMPLE_AFTER = re.compile(
    r"^\s*(?:产品|零件|样品|样件)?(?:中|里|里面|当中|的批|抽检|样本|in the sample|in a row|sample|sampled|checked|inspected|were checked|tested|measured|gauged|sampled|run\b|produced|合格|ok\b|good\b|are ok|is ok|passed|备|一箱|an hour|per hour|每)"
)
_DONE_BEFORE = re.compile(
    r"(?:scrapped|reworked|shipped|sorted out|already scrapped|replaced|已报废|已返工|报废了|返工了|已挑出|已隔离|换了|更换了?|装|用了)\s*(?:了|already )?$"
)
_DONE_AFTER = re.compile(
    r"^\s*(?:already|(?:were |have been |are )?(?:already )?(?:scrapped|reworked|shipped)|已报废|已返工|已经报废|已经返工)"
)
_BAD_NEAR = re.compile(
    r"不良|不合格|次品|废品|报废|返工|ng|有|缺陷|受影响|隔离|问题|共|都|全|约|发现|bad|reject|defect|scrap|rework|affected|quarantine|nok|suspect|total|fail|found|all"
)


@dataclass(frozen=True, slots=True)
class Number:
    """A lot, an order or a count at [start, end) of the normalised text."""

    start: int
    end: int
    value: int = 0
    score: float = 0.0


def find_batch(norm: str) -> list[Number]:
    """Lot numbers, best first in order of the text; labels and trailing 批 are not part of it."""
    return _ids(_BATCH, norm)


def find_order(norm: str) -> list[Number]:
    """Production, work and purchase order numbers; labels before a space, a colon or `#` are not part of it."""
    return _ids(_ORDER, norm)


def _ids(pattern: re.Pattern[str], norm: str) -> list[Number]:
    found: list[Number] = []
    for hit in pattern.finditer(norm):
        name, text = next((name, text) for name, text in hit.groupdict().items() if text)
        end = hit.start(name) + len(text.rstrip("-_/."))
        text = norm[hit.start(name) : end]
        labelled = name in {"zh", "en", "before", "after"}
        if sum(char.isdigit() for char in text) < (1 if labelled and name != "before" else _LEAST) or len(text) < (
            2 if labelled else _LEAST + 1
        ):
            continue
        if re.fullmatch(r"\d{1,2}(?:st|nd|rd|th|pcs?|mm|h|am|pm|%)?", text) and not (
            labelled and norm[hit.start(name) - 1 : hit.start(name)] == "#"
        ):
            continue
        if labelled and re.match(r"\s*(?:件|个|只|片|pcs|pieces|parts|units|hours?|days?|%)", norm[end:]):
            continue
        found.append(Number(hit.start(name), end))
    return found


def find_quantity(
    norm: str, taken: list[tuple[int, int]], bad_words: list[tuple[int, int]], broken: list[tuple[int, int]]
) -> list[Number]:
    """Counts of parts, best first: bad ones before totals; sample sizes and finished work are left out.

    `broken` are the spans of troubles: what follows one counts parts of the machine.
    """
    found: list[Number] = []
    for pattern in (_OUT_OF, _QUANTITY_ZH, _QUANTITY_EN, _QUANTITY_BARE):
        for hit in pattern.finditer(norm):
            if any(hit.start() < end and start < hit.end() for start, end in taken):
                continue
            if any(hit.start() < one.end and one.start < hit.end() for one in found):
                continue
            written = "n" if hit["n"] else "n2"
            count = numerals.whole(hit[written])
            if count is None or count <= 0:
                continue
            end = hit.end(written) if pattern in {_OUT_OF, _QUANTITY_BARE} else hit.end()
            before, after = norm[max(0, hit.start() - 18) : hit.start()], norm[hit.end() : hit.end() + 24]
            if pattern is not _OUT_OF and (_SAMPLE_BEFORE.search(before) or _SAMPLE_AFTER.match(after)):
                continue
            if pattern is _QUANTITY_ZH and any(0 <= hit.start() - last <= 1 for _, last in broken):
                continue
            if _DONE_BEFORE.search(before) or _DONE_AFTER.match(after):
                continue
            score = 1.0 if pattern is _OUT_OF else 0.0
            if _BAD_NEAR.search(norm[max(0, hit.start() - 8) : hit.start()] + "|" + after[:12]):
                score += 0.5
            gap = min((max(start - hit.end(), hit.start() - end_, 0) for start, end_ in bad_words), default=99)
            score += max(0.0, 1 - gap / 40)
            found.append(Number(hit.start(written), end, count, score))
    return sorted(found, key=lambda one: -one.score)
