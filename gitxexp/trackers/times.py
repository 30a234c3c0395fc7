"""Make the timestamps that trackers write comparable."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any, NamedTuple

from gitxexp.common.values import is_number


class Moment(NamedTuple):
    """A point in time that sorts: a missing time first, then unreadable text, then real times.

    ``seconds`` since 1970; a time without a zone is local, as trackers write it (``datetime.now()``).
    ``text`` is what the tracker wrote, or ISO 8601 for numbers and native timestamps.
    """

    rank: int
    seconds: float
    text: str | None


NEVER = Moment(0, 0.0, None)
#: Largest plausible value (year 5138) in seconds; each step up is a thousand times finer.
EPOCH_LIMIT = 1e11


def moment(value: Any) -> Moment:
    """``value`` of a timestamp column as a :class:`Moment`: ISO text, epoch seconds, milli-, micro-
    or nanoseconds, a date or datetime; anything else sorts first."""
    if value is None:
        return NEVER
    if isinstance(value, str):
        return _from_text(value)
    if isinstance(value, datetime):
        return Moment(2, _seconds(value), value.isoformat(" "))
    if isinstance(value, date):
        return Moment(2, _seconds(datetime(value.year, value.month, value.day)), str(value))
    if is_number(value):
        return _from_number(float(value), str(value))
    return Moment(1, 0.0, str(value))


def is_instant(value: Any) -> bool:
    """Whether ``value`` is a date with a time of day, native or as ISO text (``2026-01-31 10:00``)."""
    if isinstance(value, datetime):
        return True
    if not isinstance(value, str) or len(value) < 16 or not value[:4].isdigit():
        return False
    try:
        return bool(datetime.fromisoformat(value.strip()))
    except ValueError:
        return False


def _from_text(text: str) -> Moment:
    try:
        return Moment(2, _seconds(datetime.fromisoformat(text.strip())), text)
    except (ValueError, OverflowError):
        pass
    try:
        return _from_number(float(text), text)
    except ValueError:
        return Moment(1, 0.0, text) if text.strip() else NEVER


def _from_number(number: float, text: str) -> Moment:
    while abs(number) >= EPOCH_LIMIT and number != float("inf"):
        number /= 1000
    try:
        return Moment(2, number, datetime.fromtimestamp(number, UTC).isoformat(" "))
    except (ValueError, OverflowError, OSError):
        return Moment(1, 0.0, text)


def _seconds(value: datetime) -> float:
    try:
        return value.timestamp()
    except (OverflowError, OSError, ValueError):  # years 1 and 9999 have no local time
        return value.replace(tzinfo=value.tzinfo or UTC).timestamp()
