"""The data of the benchmark, the same on every machine."""

from __future__ import annotations

import os
import random
import shutil
from pathlib import Path

MIB = 1 << 20
WORDS = [
    "model",
    "data",
    "batch",
    "tensor",
    "epoch",
    "loss",
    "train",
    "layer",
    "config",
    "path",
    "value",
    "index",
    "result",
    "self",
    "return",
    "import",
    "def",
    "class",
]


def make_incompressible(folder: Path, size: int) -> Path:
    if not folder.exists():
        folder.mkdir(parents=True)
        rng = random.Random(1)
        with (folder / "a.bin").open("wb") as file:
            for _ in range(0, size, MIB):
                file.write(rng.randbytes(MIB))
    return folder


def make_compressible(folder: Path, size: int) -> Path:
    """Write rows of numbers and words, which zstd compresses about 4:1."""
    if not folder.exists():
        folder.mkdir(parents=True)
        rng, first = random.Random(2), 0
        with (folder / "b.csv").open("w") as file:
            while file.tell() < size:
                lines = []
                for row in range(first, first + 20_000):
                    value = rng.gauss(20, 5)
                    place, kind, count = rng.choice(WORDS), rng.choice(WORDS), rng.randint(0, 500)
                    lines.append(
                        f"2026-11-24T{row // 60 % 24:02}:{row % 60:02},{row},{value:.2f},{place},{kind},{count}\n"
                    )
                file.write("".join(lines))
                first += 20_000
    return folder


def make_small_files(folder: Path, count: int) -> Path:
    if not folder.exists():
        rng = random.Random(3)
        for number in range(count):
            path = folder / f"d{number // 100:03}" / f"f{number:05}.bin"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(rng.randbytes(rng.randint(1024, 16384)))
    return folder


def copy_source_files(folder: Path, count: int = 2000) -> Path:
    """Copy real source files of this Python and its packages, none larger than 32 KiB."""
    if not folder.exists():
        found: list[Path] = []
        for root in (
            Path(os.__file__).parent,
            Path(os.__file__).parent / "site-packages",
            Path(shutil.__file__).parent,
        ):
            found += sorted(path for path in root.rglob("*.py") if 0 < path.stat().st_size < 32_768)
        for number, path in enumerate(found[:count]):
            copy = folder / f"p{number // 40:02}" / f"{number:04}_{path.name}"
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(path.read_bytes())
    return folder


def make_changed_copy(source: Path, folder: Path) -> Path:
    """Copy the tree with one file in a hundred changed."""
    if not folder.exists():
        shutil.copytree(source, folder)
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        for path in files[::100]:
            path.write_bytes(path.read_bytes() + b"# changed\n")
    return folder
