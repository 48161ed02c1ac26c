"""Other processes."""

from __future__ import annotations

import sys

from gpurent.infra.platform.windows import api

assert sys.platform == "win32"  # noqa: S101 - so that mypy reads it for Windows alone


def is_process_running(pid: int) -> bool:
    """Return whether a process with this number runs. `os.kill` with 0 would send it Ctrl-C here."""
    return pid > 0 and api.is_process_running(pid)


def is_own_listener(port: int) -> bool:
    """Return true: what listens here has proven itself, and of its user Windows tells only administrators."""
    return True
