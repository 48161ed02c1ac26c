"""The folders above the data folder."""

from __future__ import annotations

from pathlib import Path


def check_parent_folders(path: Path) -> None:
    """Nothing: below a user's profile only administrators can rename what lies on the way, and they may do all."""
