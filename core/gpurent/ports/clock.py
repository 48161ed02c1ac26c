"""The provider's time."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Protocol


class Clock(Protocol):
    """The provider's time. In the sandbox it runs faster than the wall's."""

    def now(self) -> datetime:
        """The present, aware, UTC."""

    async def sleep(self, span: timedelta) -> None:
        """Let ``span`` of this clock's time pass."""
