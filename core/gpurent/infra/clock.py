"""Clocks that show provider time: the wall clock, or in the sandbox a scaled one."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

from attrs import define, frozen

from gpurent.errors import UsageError
from gpurent.locale import _
from gpurent.locale.foreign_text import describe_error

MIN_SLEEP = 0.02
MAX_SLEEP = 0.5


class WallClock:
    def now(self) -> datetime:
        return datetime.now(UTC)

    async def sleep(self, span: timedelta) -> None:
        import asyncio  # heavy; a listing needs only the time

        await asyncio.sleep(max(0.0, span.total_seconds()))

    def from_wall_time(self, at: datetime) -> datetime:
        return at

    def to_wall_time(self, at: datetime) -> datetime:
        return at


@frozen(kw_only=True)
class ClockScale:
    """The scale of a clock that showed ``provider_start`` at ``wall_start`` and runs ``speed`` times as fast."""

    wall_start: datetime
    provider_start: datetime
    speed: int

    def from_wall_time(self, wall: datetime) -> datetime:
        return self.provider_start + (wall - self.wall_start) * self.speed

    def to_wall_time(self, provider_time: datetime) -> datetime:
        return self.wall_start + (provider_time - self.provider_start) / self.speed

    def to_json(self) -> bytes:
        return json.dumps(
            {
                "wall": self.wall_start.isoformat(),
                "shown": self.provider_start.isoformat(),
                "speed": self.speed,
            }
        ).encode()

    @classmethod
    def from_json(cls, text: str) -> ClockScale:
        """Parse what `to_json` wrote; raises `ValueError` for anything else."""
        try:
            raw = json.loads(text)
            wall, provider_time = datetime.fromisoformat(raw["wall"]), datetime.fromisoformat(raw["shown"])
            speed = raw["speed"]
        except (LookupError, TypeError, RecursionError) as error:
            raise ValueError(f"not a valid clock file: {type(error).__name__}") from None
        if wall.tzinfo is None or provider_time.tzinfo is None or type(speed) is not int or speed < 1:
            raise ValueError("a clock needs two times with a zone and a speed of 1 or more")
        return cls(wall_start=wall.astimezone(UTC), provider_start=provider_time.astimezone(UTC), speed=speed)


@define(eq=False)
class ScaledClock:
    """The sandbox's clock, as defined by the file at ``path``, which is re-read whenever the sandbox rewrites it."""

    path: Path
    _scale: ClockScale | None = None
    _file_stamp: tuple[int, int] = (0, 0)

    def read_scale(self) -> ClockScale:
        try:
            found = self.path.stat()
            stamp = (found.st_mtime_ns, found.st_ino)
            if self._scale is None or stamp != self._file_stamp:
                self._scale, self._file_stamp = ClockScale.from_json(self.path.read_text("utf-8")), stamp
        except (OSError, ValueError) as error:
            raise UsageError(
                _("the sandbox clock {path} cannot be read: {error}").format(
                    path=self.path, error=describe_error(error)
                ),
                hint=_("Is the sandbox still running? See: gpurent sandbox status"),
            ) from None
        return self._scale

    def now(self) -> datetime:
        return self.read_scale().from_wall_time(datetime.now(UTC))

    async def sleep(self, span: timedelta) -> None:
        """Sleep for ``span`` of this clock's time.

        Each wait takes at least `MIN_SLEEP` real seconds, so that polling does not spin, and at most `MAX_SLEEP`, so
        that a jump of the clock is noticed.
        """
        import asyncio

        end = self.now() + span
        rest = span.total_seconds() / self.read_scale().speed
        while True:
            await asyncio.sleep(min(max(MIN_SLEEP, rest), MAX_SLEEP))
            rest = (end - self.now()).total_seconds() / self.read_scale().speed
            if rest <= 0:
                return

    def from_wall_time(self, at: datetime) -> datetime:
        return self.read_scale().from_wall_time(at)

    def to_wall_time(self, at: datetime) -> datetime:
        return self.read_scale().to_wall_time(at)


def make_clock(text: str) -> WallClock | ScaledClock:
    """Return the clock that ``GPURENT_CLOCK`` names: empty for the wall clock, ``file:PATH`` for the sandbox's."""
    if not text:
        return WallClock()
    kind, _colon, path = text.partition(":")
    if kind != "file" or not path:
        raise UsageError(
            _("invalid GPURENT_CLOCK: {setting!r}").format(setting=text),
            hint=_("Leave it empty, or use: file:PATH"),
        )
    return ScaledClock(Path(path))
