"""Runs commands that are meant for a rented machine in a shell of this computer, in a home folder of their own."""

from __future__ import annotations

import subprocess
from pathlib import Path


def run_here(command: str, home: Path, path: str = "/usr/bin:/bin") -> str:
    """Return what ``command`` prints. Raises `subprocess.CalledProcessError` if it fails."""
    done = subprocess.run(
        ["sh", "-c", command],
        cwd=home,
        env={"HOME": str(home), "PATH": path},
        stdout=subprocess.PIPE,
        check=True,
        timeout=60,
    )
    return done.stdout.decode("utf-8", "surrogateescape")
