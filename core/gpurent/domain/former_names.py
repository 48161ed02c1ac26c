"""Names that stored values and settings had before version 0.1; only their migrations read these."""

from __future__ import annotations

NEW_EVENT_NAMES = {
    "line-lost": "connection-lost",
    "line-back": "connection-restored",
    "saved": "results-saved",
    "by-hand": "manual-task",
}
