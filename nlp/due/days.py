"""Clock and calendar arithmetic in the zone of a moment: wall clocks, weekdays, days of a month."""

# ruff: noqa: PLR2004 - hours and days as figures

from datetime import UTC, date, datetime, time, timedelta


def later(now: datetime, hours: float) -> datetime:
    """The moment so many hours of real time after `now`, in the zone of `now`."""
    return (now.astimezone(UTC) + timedelta(hours=hours)).astimezone(now.tzinfo)


def plain(clock: time) -> time:
    """The clock in hours and minutes, without seconds and zone."""
    return time(clock.hour, clock.minute)


def wall_clock(day: date, clock: time, now: datetime) -> datetime:
    """The wall clock on that day; a clock that spring skips is moved on."""
    wall = datetime.combine(day, clock, tzinfo=now.tzinfo)
    return wall.astimezone(UTC).astimezone(now.tzinfo)


def next_clock(now: datetime, hour: int, minute: int) -> datetime:
    """The next time that the wall clock shows this hour and minute: today if still ahead, else tomorrow."""
    today = wall_clock(now.date(), time(hour, minute), now)
    return today if today > now else wall_clock(now.date() + timedelta(days=1), time(hour, minute), now)


def at_hour(day: date | None, hour: int, minute: int, now: datetime, part: str | None) -> datetime:
    """The moment of an hour (0-24), on `day` or the next time; a bare 1-6 o'clock said by day is the afternoon's."""
    extra, hour = divmod(hour, 24)
    if day is not None:
        return wall_clock(day + timedelta(days=extra), time(hour, minute), now)
    if part is None and 1 <= hour <= 6 and minute == 0 and 6 <= now.hour < 18:
        afternoon = wall_clock(now.date(), time(hour + 12, minute), now)
        if afternoon > now:
            return afternoon
    return next_clock(now, hour, minute)


def next_weekday(now: datetime, number: int, clock: time) -> date:
    """The coming weekday (Monday is 0): today counts until `clock` has passed."""
    ahead = (number - now.weekday()) % 7
    if ahead == 0 and now.timetz().replace(tzinfo=None) >= clock:
        ahead = 7
    return now.date() + timedelta(days=ahead)


def month_day(month: int | None, day: int | None, today: date) -> date | None:
    """The date of a month and day: next year's where this year's lies over 180 days back; None if there is none."""
    if month is None or day is None:
        return None
    this_year = date_of(today.year, month, day)
    if this_year is not None and this_year < today and (today - this_year).days > 180:
        return date_of(today.year + 1, month, day)
    return this_year


def day_of_month(day: int | None, today: date, *, following: bool) -> date | None:
    """The date of a bare day of the month: this month's unless passed or `following`, then next month's."""
    if day is None:
        return None
    here = date_of(today.year, today.month, day)
    if not following and here is not None and here >= today:
        return here
    first = (today.replace(day=1) + timedelta(days=32)).replace(day=1)
    return date_of(first.year, first.month, day)


def date_of(year: int, month: int, day: int) -> date | None:
    """The date, or None where the calendar has no such day."""
    try:
        return date(year, month, day)
    except ValueError:
        return None
