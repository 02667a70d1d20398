"""What the plant calls a trouble: faults and report codes in ISO 14224 terms, and in people's words."""

from collections.abc import Iterable

import msgspec

from gateway.core.diagnosis import Fault


class Trouble(msgspec.Struct, frozen=True):
    """One kind of trouble.

    `iso` is the ISO 14224 failure mode, `mechanism` its failure mechanism (own wording), `family` what
    a planner would send one person for. `felt` are the report codes by which people tell of it.
    """

    family: str
    iso: str
    mechanism: str
    component: str
    en: str
    zh: str
    action: str
    felt: frozenset[str]


_BEARING = frozenset({"NOI", "VIB", "OHE", "WEAR", "BRD"})
_SHAKES = frozenset({"NOI", "VIB", "LOOSE", "MISALIGN"})

OF_FAULT: dict[Fault, Trouble] = {
    Fault.BEARING_OUTER: Trouble(
        "bearing", "VIB", "2.4 wear", "bearing", "bearing outer race defect", "轴承外圈故障", "replace", _BEARING
    ),
    Fault.BEARING_INNER: Trouble(
        "bearing", "VIB", "2.4 wear", "bearing", "bearing inner race defect", "轴承内圈故障", "replace", _BEARING
    ),
    Fault.BEARING_BALL: Trouble(
        "bearing", "VIB", "2.4 wear", "bearing", "rolling element defect", "轴承滚动体故障", "replace", _BEARING
    ),
    Fault.IMBALANCE: Trouble(
        "imbalance", "VIB", "1.2 vibration", "rotor", "imbalance", "转子不平衡", "service", _SHAKES
    ),
    Fault.MISALIGNMENT: Trouble(
        "misalignment",
        "VIB",
        "1.3 clearance or alignment",
        "coupling",
        "shaft misalignment",
        "轴不对中",
        "adjust",
        _SHAKES,
    ),
    Fault.LOOSENESS: Trouble(
        "looseness", "VIB", "1.5 looseness", "foundation", "mechanical looseness", "机械松动", "repair", _SHAKES
    ),
    Fault.OVERHEATING: Trouble(
        "overheating",
        "OHE",
        "2.7 overheating",
        "bearing",
        "overheating or lack of lubrication",
        "过热或润滑不良",
        "lubricate",
        frozenset({"OHE", "NOI"}),
    ),
    Fault.SENSOR: Trouble(
        "sensor", "AIR", "3 instrument", "sensor", "sensor fault", "传感器故障", "inspect", frozenset({"AIR", "ERO"})
    ),
}

_ISO = {
    "NOI": ("noise", "异响"),
    "VIB": ("vibration", "振动"),
    "OHE": ("overheating", "过热"),
    "LEAK": ("leakage", "泄漏"),
    "FTS": ("fails to start", "无法启动"),
    "STP": ("fails to stop", "无法停机"),
    "BRD": ("breakdown", "损坏"),
    "PDE": ("parameter deviation", "参数偏差"),
    "PLU": ("plugged or jammed", "堵塞卡死"),
    "AIR": ("abnormal instrument reading", "仪表读数异常"),
    "ERO": ("erratic output", "输出不稳"),
    "STD": ("structural damage", "结构损伤"),
    "WEAR": ("worn", "磨损"),
    "LOOSE": ("loose", "松动"),
    "MISALIGN": ("off track or misaligned", "跑偏或不对中"),
    "ELEC": ("electrical fault", "电气故障"),
    "SER": ("minor trouble", "轻微问题"),
    "UNK": ("unknown trouble", "未知问题"),
}


def named(code: str, language: str) -> str:
    """Give a code in words ("leakage", "泄漏"); a code without words is its own name."""
    for fault, trouble in OF_FAULT.items():
        if fault == code:
            return trouble.zh if language == "zh" else trouble.en
    if code in _ISO:
        return _ISO[code][1 if language == "zh" else 0]
    return code.replace("_", " ").lower()


def iso_of(code: str) -> str:
    """Give the ISO 14224 mode of a report's code; codes of the goods are OTH."""
    renamed = {"LEAK": "EXL", "WEAR": "BRD", "LOOSE": "VIB", "MISALIGN": "VIB", "ELEC": "ELF"}
    return renamed.get(code, code if code in _ISO else "OTH")


def felt_as(family: str, codes: Iterable[str]) -> bool:
    """Tell whether people who report these codes may mean a machine's trouble of this family."""
    told = set(codes)
    return any(trouble.family == family and told and told <= trouble.felt for trouble in OF_FAULT.values())
