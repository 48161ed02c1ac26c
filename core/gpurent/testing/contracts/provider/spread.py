"""Which of many calls a test takes: each kind once, then evenly spread."""

from __future__ import annotations

import re
from collections.abc import Sequence

_NAME = re.compile(r"(?<=/)[^/]*[0-9][^/]*")


def choose_calls(calls: Sequence[str], most: int) -> list[int]:
    """Return the numbers (from 1) of at most ``most`` of the calls: the first of each kind, then others between."""
    kinds: dict[str, int] = {}
    for number, call in enumerate(calls, 1):
        kinds.setdefault(_NAME.sub("*", call), number)
    chosen = _thin_out(list(kinds.values()), most)
    rest = [number for number in range(1, len(calls) + 1) if number not in chosen]
    return sorted({*chosen, *_thin_out(rest, most - len(chosen))})


def _thin_out(numbers: Sequence[int], most: int) -> list[int]:
    if most <= 0:
        return []
    if len(numbers) <= most:
        return list(numbers)
    return [numbers[index * len(numbers) // most] for index in range(most)]
