"""Helpers that build and compare file trees for transfer tests."""

from __future__ import annotations

import os
import random
import stat
from pathlib import Path
from typing import Any

from gpurent.domain.transfer import TransferReport
from gpurent.errors import UnavailableError

PARTIALS_FOLDER = ".gpurent-part"
ODD_NAMES = (
    "-rf",
    "new\nline",
    "tab\t",
    "sp ace",
    "qu'o\"te",
    "$HOME",
    "*",
    "über",
    "文件",
    "x" * 255,
    "back\\slash",
    "#",
    "~",
)


def read_tree(folder: Path) -> dict[str, tuple[object, ...]]:
    """Return kind, mode, mtime (whole seconds) and content of everything below ``folder``, without partial files."""
    found: dict[str, tuple[object, ...]] = {}
    for path in sorted(folder.rglob("*")):
        if PARTIALS_FOLDER in path.parts:
            continue
        name, status = str(path.relative_to(folder)), path.lstat()
        if path.is_symlink():
            found[name] = ("link", os.readlink(path))
        elif path.is_dir():
            found[name] = ("folder",)
        else:
            found[name] = ("file", stat.S_IMODE(status.st_mode), int(status.st_mtime), path.read_bytes())
    return found


def make_tree(folder: Path, seed: int = 1, *, large: int = 3_000_000, files: int = 40) -> Path:
    """Make a small project: nested and empty folders, empty files, various modes, old mtimes, one large file."""
    rng = random.Random(seed)
    for number in range(files):
        path = folder / f"part{number % 5}" / f"file{number:03}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(rng.randbytes(rng.choice((0, 1, 100, 5000, 40_000))))
        path.chmod(rng.choice((0o644, 0o600, 0o755)))
        os.utime(path, ns=(10**18, 10**18 + number * 10**9 + 12345))
    (folder / "empty" / "deeper").mkdir(parents=True)
    (folder / "large.bin").write_bytes(rng.randbytes(large // 2) + b"abcd" * (large // 8))
    return folder


async def retry_until_done(attempt: Any, tries: int = 20) -> TransferReport:
    """Call ``attempt``, which starts a new attempt, until the connection is not lost any more, as core does."""
    for _ in range(tries):
        try:
            found: TransferReport = await attempt()
            return found
        except UnavailableError as error:
            assert error.retryable, error
    raise AssertionError("it never came through")
