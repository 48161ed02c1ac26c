"""Amounts of bytes as people read them."""

from __future__ import annotations


def format_size(count: int) -> str:
    """``512 B``, ``1.5 MB``: decimal units, as disks and networks count."""
    size = float(count)
    for unit in ("B", "kB", "MB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} GB"
