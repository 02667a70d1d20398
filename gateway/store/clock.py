"""Stored times and a clock that may be set: what was due in an hour must not be due in a year."""

from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, or_

LONGEST_WAIT = timedelta(hours=1)
"""No back-off and no lease is longer; a stored time further ahead was written by a clock that has since gone back."""

_SKEW = timedelta(minutes=1)
Moment = datetime | ColumnElement[datetime]
"""A time, or the place of one in a statement that is made once."""


def times(now: datetime, longest: timedelta = LONGEST_WAIT) -> dict[str, datetime]:
    """Give the times that a stored one is compared with: `now`, the furthest that is planned, the newest writing."""
    return {"now": now, "far": now + longest, "ahead": now + _SKEW}


def passed(
    time: ColumnElement[datetime], written: ColumnElement[datetime], *, now: Moment, far: Moment, ahead: Moment
) -> ColumnElement[bool]:
    """Say in SQL whether a stored time is over: by `now`, or by a clock that was ahead of it.

    It lies further ahead than any that is planned, or its row was `written` after now: waiting for the clock to catch
    up would be a stall.
    """
    return or_(time <= now, time > far, written > ahead)


def has_passed(time: datetime | None, written: datetime | None, now: datetime) -> bool:
    """Say the same of a row that was read; without a time there is nothing to wait for."""
    if time is None or time <= now or time > now + LONGEST_WAIT:
        return True
    return written is not None and written > now + _SKEW
