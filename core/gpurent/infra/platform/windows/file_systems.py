"""What Windows' file systems do with names."""

from __future__ import annotations

from pathlib import Path

from gpurent.domain.name_policy import FileSystemRules, get_usual_rules


def read_file_system_rules(folder: Path) -> FileSystemRules:
    """See `gpurent.ports.system.Platform`. Trying out `a:b` would make a hidden stream of `a`, so nothing is tried.

    Case may count in a folder that was set so, which is rare; there, rather too many names are left out.
    """
    return get_usual_rules("win32")
