"""The sandbox's clock, which all its processes read from one file."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from attrs import evolve

from gpurent.infra.clock import ClockScale, ScaledClock
from gpurent.infra.platform.posix.system import write_private_file


class SandboxClock(ScaledClock):
    """The clock in the process that may set it."""

    def __init__(self, path: Path, speed: int) -> None:
        super().__init__(path)
        self._speed = speed

    def start(self) -> None:
        now = datetime.now(UTC)
        write_private_file(
            self.path, ClockScale(wall_start=now, provider_start=now, speed=self._speed).to_json()
        )

    def advance(self, span: timedelta) -> None:
        """Jump ahead by ``span``; never back."""
        if span < timedelta():
            raise ValueError("time does not go back")
        scale = self.read_scale()
        write_private_file(self.path, evolve(scale, provider_start=scale.provider_start + span).to_json())
