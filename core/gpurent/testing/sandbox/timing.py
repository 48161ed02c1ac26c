"""The sandbox's clock: everybody in it reads the same file."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from attrs import evolve

from gpurent.infra.clock import Course, ScaledClock
from gpurent.infra.platform.posix.system import write_private


class SandboxClock(ScaledClock):
    """The side that may set it."""

    def __init__(self, path: Path, speed: int) -> None:
        super().__init__(path)
        self._speed = speed

    def start(self) -> None:
        now = datetime.now(UTC)
        write_private(self.path, Course(wall=now, shown=now, speed=self._speed).dump())

    def advance(self, span: timedelta) -> None:
        """Jump ahead; never back."""
        if span < timedelta():
            raise ValueError("time does not go back")
        course = self.course()
        write_private(self.path, evolve(course, shown=course.shown + span).dump())
