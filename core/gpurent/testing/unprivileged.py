"""Runs tests again as an unprivileged user, on a disk that can be full; root is stopped by neither."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

UID = "1000"
SMALL_DISK_BYTES = 8_000_000


def run_as_unprivileged_user(folder: Path, *tests: str) -> str:
    """Run ``tests`` with pytest in bubblewrap around the whole file system and return their summary.

    All must pass and none be skipped. ``GPURENT_SMALL_DISK`` names a folder that holds `SMALL_DISK_BYTES`.
    """
    small = folder / "small"
    small.mkdir()
    bwrap = ["bwrap", "--unshare-user", "--uid", UID, "--gid", UID, "--die-with-parent"]
    bwrap += ["--dev-bind", "/", "/", "--size", str(SMALL_DISK_BYTES), "--tmpfs", str(small), "--"]
    pytest = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "--basetemp",
        str(folder / "tests"),
    ]
    ran = subprocess.run(
        [*bwrap, *pytest, *tests],
        env={**os.environ, "GPURENT_SMALL_DISK": str(small), "HOME": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    summary = ran.stdout.strip().splitlines()[-1]
    assert "passed" in summary, ran.stdout
    assert "skipped" not in summary, ran.stdout
    return summary
