"""What the makers state of their GPUs: memory bandwidth, power, PCIe. Pure.

From the makers' public data sheets. Of a name that several variants share (an H100 may be SXM or PCIe), the lowest
figure counts, so that a machine is never blamed for being the smaller one.
"""

from __future__ import annotations

from attrs import frozen

from gpurent.domain.gpu_names import parse_gpu_name


@frozen
class GpuFigures:
    """``bandwidth`` of the memory in GB/s, ``power`` in W, the generation and number of lanes of PCIe."""

    bandwidth: int
    power: int
    pcie_gen: int
    pcie_lanes: int = 16


# By the words of a name; of several that fit, the one with the most words counts.
_FIGURES = {
    "1070": GpuFigures(256, 150, 3),
    "1080": GpuFigures(320, 180, 3),
    "1080ti": GpuFigures(484, 250, 3),
    "titan xp": GpuFigures(547, 250, 3),
    "titan v": GpuFigures(652, 250, 3),
    "titan rtx": GpuFigures(672, 280, 3),
    "2060": GpuFigures(336, 160, 3),
    "2070": GpuFigures(448, 175, 3),
    "2080": GpuFigures(448, 215, 3),
    "2080ti": GpuFigures(616, 250, 3),
    "3060": GpuFigures(240, 170, 4),
    "3070": GpuFigures(448, 220, 4),
    "3080": GpuFigures(760, 320, 4),
    "3080ti": GpuFigures(912, 350, 4),
    "3090": GpuFigures(936, 350, 4),
    "3090ti": GpuFigures(1008, 450, 4),
    "4060ti": GpuFigures(288, 160, 4, 8),
    "4070": GpuFigures(504, 200, 4),
    "4070ti": GpuFigures(504, 285, 4),
    "4080": GpuFigures(716, 320, 4),
    "4090": GpuFigures(1008, 450, 4),
    "4090d": GpuFigures(1008, 425, 4),
    "5070ti": GpuFigures(896, 300, 5),
    "5080": GpuFigures(960, 360, 5),
    "5090": GpuFigures(1792, 575, 5),
    "p40": GpuFigures(346, 250, 3),
    "p100": GpuFigures(549, 250, 3),
    "v100": GpuFigures(900, 250, 3),
    "t4": GpuFigures(320, 70, 3),
    "a10": GpuFigures(600, 150, 4),
    "a10g": GpuFigures(600, 150, 4),
    "a30": GpuFigures(933, 165, 4),
    "a40": GpuFigures(696, 300, 4),
    "a100": GpuFigures(1555, 250, 4),
    "a100 80gb": GpuFigures(1935, 300, 4),
    "a800": GpuFigures(1935, 300, 4),
    "a4000": GpuFigures(448, 140, 4),
    "a5000": GpuFigures(768, 230, 4),
    "a6000": GpuFigures(768, 300, 4),
    "6000 ada": GpuFigures(960, 300, 4),
    "l4": GpuFigures(300, 72, 4),
    "l20": GpuFigures(864, 275, 4),
    "l40": GpuFigures(864, 300, 4),
    "l40s": GpuFigures(864, 350, 4),
    "h20": GpuFigures(4000, 400, 5),
    "h100": GpuFigures(2000, 350, 5),
    "h100 hbm3": GpuFigures(3350, 700, 5),
    "h800": GpuFigures(2000, 350, 5),
    "h200": GpuFigures(4800, 600, 5),
    "b200": GpuFigures(7700, 1000, 5),
    "pro 6000 blackwell": GpuFigures(1792, 300, 5),
}
_BY_WORDS = {
    parse_gpu_name(name).words | parse_gpu_name(name).series: found for name, found in _FIGURES.items()
}


def find_gpu_figures(name: str) -> GpuFigures | None:
    """Return what the maker states of the GPU with that name, as a provider or a driver spells it; None if unknown."""
    parsed = parse_gpu_name(name)
    words = parsed.words | parsed.series | {part for word in parsed.words for part in _split_memory(word)}
    fitting = [known for known in _BY_WORDS if known <= words]
    return _BY_WORDS[max(fitting, key=len)] if fitting else None


def _split_memory(word: str) -> tuple[str, ...]:
    """Return ``80gb`` for ``80g`` and ``80gib``: services leave letters out."""
    number = word.rstrip("gib")
    return (f"{number}gb",) if number.isdecimal() and word != number else ()
