"""What Windows' file systems do with names."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from gpurent.domain.name_policy import FileSystemRules, get_usual_rules

USUAL_RULES = get_usual_rules("win32")


def read_file_system_rules(folder: Path) -> FileSystemRules:
    """See `gpurent.ports.system.Platform`. Whether case counts may be set for each folder; the rest is Windows' own."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    try:
        with TemporaryDirectory(prefix=".gpurent-names-", dir=folder) as made:
            (Path(made) / "A").touch()
            ignores_case = (Path(made) / "a").exists()
    except OSError:
        return USUAL_RULES
    return FileSystemRules(ignores_case=ignores_case, windows_names=True)
