"""Durations as people write and read them, in English and Chinese."""

from __future__ import annotations

import re
from datetime import timedelta

from gpurent.locale import _

UNIT_SECONDS = {
    "s": 1,
    "秒": 1,
    "m": 60,
    "min": 60,
    "分": 60,
    "分钟": 60,
    "h": 3600,
    "小时": 3600,
    "时": 3600,
    "d": 86400,
    "天": 86400,
    "日": 86400,
    "w": 604800,
    "周": 604800,
}
_DURATION_PART = re.compile(r"(\d{1,6})\s*(" + "|".join(sorted(UNIT_SECONDS, key=len, reverse=True)) + ")")
MAX_DURATION = timedelta(days=3660)


def parse_duration(text: str) -> timedelta:
    """Parse ``1d``, ``2h30m``, ``1天``, ``36小时``. Raises `ValueError` for anything else, and for zero."""
    text = text.strip().lower()
    found = list(_DURATION_PART.finditer(text))
    if not found or _DURATION_PART.sub("", text).strip():
        raise ValueError(f"not a valid duration: {text!r}")
    span = timedelta(seconds=sum(int(match[1]) * UNIT_SECONDS[match[2]] for match in found))
    if not timedelta() < span <= MAX_DURATION:
        raise ValueError(f"a duration must be positive and at most {MAX_DURATION.days} days: {text!r}")
    return span


def parse_durations(text: str) -> tuple[timedelta, ...]:
    """Parse ``60m, 15m, 5m`` into unique durations, longest first; an empty text gives none.

    Raises `ValueError` for anything else.
    """
    parts = [part for part in re.split("[,，、;；]", text) if part.strip()]
    return tuple(sorted({parse_duration(part) for part in parts}, reverse=True))


def format_duration(value: timedelta) -> str:
    """Format with the two largest units: ``1 d 3 h``, ``12 min``; negative durations are shown as zero."""
    seconds = max(0, value // timedelta(seconds=1))
    units = ((86400, _("d")), (3600, _("h")), (60, _("min")), (1, _("s")))
    parts = []
    for size, name in units:
        count, seconds = divmod(seconds, size)
        if count:
            parts.append(f"{count} {name}")
    return " ".join(parts[:2]) or f"0 {_('s')}"


def format_compact_duration(value: timedelta) -> str:
    """Format as options and files are written: ``1d2h``, exact to the second; ``0s`` for zero."""
    seconds = value // timedelta(seconds=1)
    text = ""
    for size, name in ((86400, "d"), (3600, "h"), (60, "m"), (1, "s")):
        count, seconds = divmod(seconds, size)
        text += f"{count}{name}" if count else ""
    return text or "0s"
