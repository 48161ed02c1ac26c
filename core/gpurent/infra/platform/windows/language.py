"""The language of Windows' own windows."""

from __future__ import annotations

import sys

from gpurent.infra.platform.windows import api

assert sys.platform == "win32"  # noqa: S101 - so that mypy reads it for Windows alone

_PRIMARY_LANGUAGE, _CHINESE = 0x3FF, 0x04


def find_system_language() -> str:
    """Return ``zh`` or ``en``."""
    return "zh" if api.get_language_number() & _PRIMARY_LANGUAGE == _CHINESE else "en"
