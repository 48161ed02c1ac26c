"""Cells that fail today, with the reason; a cell that starts to pass is reported, and its line is removed."""

from __future__ import annotations

from collections.abc import Mapping

KNOWN_FAILURES: Mapping[tuple[str, str], str] = {}
