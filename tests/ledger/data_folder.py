"""A recorded data folder, copied for a test."""

from __future__ import annotations

import shutil
from pathlib import Path


def copy_data_folder(recorded: Path, home: Path) -> Path:
    """Copy the flat folder ``recorded`` to the data folder ``home``, readable only by its owner."""
    (home / "vault").mkdir(parents=True, mode=0o700)
    home.chmod(0o700)
    for source in recorded.iterdir():
        if source.name != "README.md":
            target = home / ("vault" if source.name.startswith("vault.") else ".") / source.name
            shutil.copyfile(source, target)
            target.chmod(0o600)
    return home
