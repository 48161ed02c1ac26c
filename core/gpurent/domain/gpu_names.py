"""GPU names as people and services spell them: ``RTX 4090``, ``4090``, ``NVIDIA GeForce RTX_4090``. Pure."""

from __future__ import annotations

import re
import unicodedata
from typing import NamedTuple

_MAKERS = frozenset({"nvidia", "geforce", "amd", "radeon", "instinct", "intel", "gpu", "graphics"})
_SERIES = frozenset({"rtx", "gtx", "quadro", "tesla", "rx", "arc"})
# They belong to the number before them: a 2080 Ti is no 2080.
_SUFFIXES = frozenset({"ti", "super", "d", "xt", "xtx", "m", "mobile", "laptop", "maxq"})
_WORD_PATTERN = re.compile(r"[^\W_]+")
_SERIES_PATTERN = re.compile(rf"({'|'.join(sorted(_MAKERS | _SERIES, key=len, reverse=True))})(?=\d|rtx|gtx)")


class GpuName(NamedTuple):
    """``series``: RTX, Tesla …; ``words``: the model with its suffixes as one word, and what else is said of it."""

    series: frozenset[str]
    words: frozenset[str]


def parse_gpu_name(name: str) -> GpuName:
    """Return the parts of a name. Makers say nothing that the model does not, and are left out."""
    text = unicodedata.normalize("NFKC", name).casefold().replace("max-q", "maxq")
    found = _WORD_PATTERN.findall(_SERIES_PATTERN.sub(r"\1 ", text))
    words: list[str] = []
    for word in found:
        if word in _SUFFIXES and words and words[-1][:1].isdigit():
            words[-1] += word
        elif word not in _MAKERS:
            words.append(word)
    return GpuName(frozenset(words) & _SERIES, frozenset(words) - _SERIES)


def matches_gpu(wanted: str, has: str) -> bool:
    """Return whether a machine whose GPU is called ``has`` is meant by ``wanted``; an empty wish means any.

    Every word of the wish must be there. The series (RTX, GTX, Tesla) only counts if both name one, or if the wish
    names nothing else.
    """
    wish, offered = parse_gpu_name(wanted), parse_gpu_name(has)
    if not wish.words <= offered.words:
        return False
    if not wish.words:
        return wish.series <= offered.series
    return not wish.series or not offered.series or bool(wish.series & offered.series)
