"""How much memory a data center's GPU is sold with: what an offer says of one can be checked against it.

Cards for gamers are left out: they are rebuilt with more. Source: the makers' data sheets.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from gpurent.domain.gpu_names import parse_gpu_name

SIZES: Mapping[str, Sequence[int]] = {
    "t4": (16,),
    "p100": (12, 16),
    "v100": (16, 32),
    "a10": (24,),
    "a30": (24,),
    "a40": (48,),
    "a100": (40, 80),
    "l4": (24,),
    "l40": (48,),
    "l40s": (48,),
    "h100": (80, 94, 96),
    "h200": (141,),
    "b200": (180, 192),
    "a4000": (16,),
    "a5000": (24,),
    "a6000": (48,),
}
"""In GiB, by the model as `parse_gpu_name` has it."""
_FORMS = frozenset({"pcie", "pcle", "sxm", "sxm2", "sxm3", "sxm4", "sxm5", "sxm6", "nvl"})
_LEAST_PART = 0.9
"""Of the size on the data sheet; the rest is what a driver or a rounding down takes."""


def find_sizes(gpu: str) -> Sequence[int]:
    """Return the sizes in GiB that this model has; empty for one that is not known, or only a part of a card."""
    words = parse_gpu_name(gpu).words - _FORMS
    plain = {word for word in words if not word.removesuffix("gb").isdecimal()}
    return SIZES.get(next(iter(plain)), ()) if len(plain) == 1 else ()


def is_plausible(gpu: str, size: int) -> bool:
    """Return whether a GPU of that name can have so many GiB; 0 says nothing."""
    sizes = find_sizes(gpu)
    return not sizes or not size or any(_LEAST_PART * one <= size <= one for one in sizes)
