"""Which characters stdout can show."""

from __future__ import annotations

import sys


def is_utf8_output() -> bool:
    encoding = (getattr(sys.stdout, "encoding", "") or "").lower().replace("-", "").replace("_", "")
    return encoding == "utf8"
