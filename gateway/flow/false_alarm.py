"""False alarms: a machine's trouble that was over by itself before anybody else saw it."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from msgspec.structs import replace

from gateway.core.diagnosis import Diagnosis, Fault
from gateway.core.episode import Decision, Episode
from gateway.core.ports import Tx
from gateway.core.window import Window
from gateway.flow import policy

_SPEED = "speed"
_VELOCITY = "vibration.velocity"
"""The shaft speed (rpm), and the logarithm of the vibration velocity among a diagnosis's features."""
_SLOW, _STILL = 0.5, 2.3
"""Below this share of its speed, or with vibration weaker by this (a tenth), a machine does not show its trouble."""

_COMES_BACK = timedelta(hours=24)
_MOST = 200
_MANY = 1000
_WHY = {
    "en": "False alarm: over by itself after {minutes:.0f} min, not severe, and nobody else told of it.",
    "zh": "误报：{minutes:.0f} 分钟后自行消失，不严重，且无人报告。",
}


def lapsed(tx: Tx, over: Episode, window: Window, within: timedelta, now: datetime) -> Episode:
    """Take back the order of a machine's trouble that has just come to its end, when it was a false alarm.

    `window` is the one that ended it. Gives the episode, marked as false where that is so.
    """
    if not looks_false(over, within):
        return over
    stored = tx.order(over.key)
    since = over.started_at - _COMES_BACK
    if stored is None or stored.order.diagnosis is None or stored.order.source.kind != "machine":
        return over
    before = tx.episodes(over.asset, since=since, limit=_MANY)
    clean = [one for one in tx.diagnoses(over.asset, limit=_MOST) if one.start >= over.last_at]
    if comes_back(before, over) or not was_watched(stored.order.diagnosis, clean, window):
        return over
    why = _WHY[stored.order.language].format(minutes=_lasted(over) / timedelta(minutes=1))
    if not tx.withdraw_order(over.key, why, now):
        return over
    tx.note("order.taken_back", over.key, now, why)
    return replace(over, ruled="false")


def looks_false(over: Episode, within: timedelta) -> bool:
    """Tell by the episode alone whether it may have been a false alarm: ordered, short, never severe, unwitnessed.

    One whose order stood against that once is none: it would be asked for again with every clean window.
    """
    alone = over.source == "machine" and over.decision is Decision.ORDER and not over.reports
    alone = alone and not over.ruled and not over.upheld
    return alone and over.peak_severity < policy.SEVERE and _lasted(over) <= within and within > timedelta(0)


def comes_back(known: Sequence[Episode], over: Episode) -> bool:
    """Tell whether the same trouble was a false alarm lately: one that comes and goes is none."""
    return any(other.ruled == "false" and other.family == over.family and other.key != over.key for other in known)


def was_watched(sick: Diagnosis, clean: Sequence[Diagnosis], window: Window) -> bool:
    """Tell whether the clean windows prove anything: judged by as much as the sick one, on a machine that runs.

    Who hears a bearing break stops the machine, and one that stands still shows no trouble.
    """
    speed = window.scalar(_SPEED)
    if speed is not None and sick.speed_rpm and speed.mean < _SLOW * sick.speed_rpm:
        return False
    level = sick.features.get(_VELOCITY)
    for one in clean:
        now = one.features.get(_VELOCITY)
        if one.fault is not Fault.HEALTHY:
            continue
        if not set(sick.present) <= set(one.present):
            return False
        if level is not None and now is not None and now < level - _STILL:
            return False
    return True


def _lasted(over: Episode) -> timedelta:
    return (over.closed_at or over.last_at) - over.started_at
