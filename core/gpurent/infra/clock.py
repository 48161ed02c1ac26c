"""The provider's time: the wall's, or a sandbox's faster one."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

from attrs import define, frozen

from gpurent.errors import UsageError
from gpurent.locale import _

SHORTEST = 0.02
GLANCE = 0.5


class WallClock:
    def now(self) -> datetime:
        return datetime.now(UTC)

    async def sleep(self, span: timedelta) -> None:
        import asyncio  # heavy; a listing only wants to know the time

        await asyncio.sleep(max(0.0, span.total_seconds()))

    def from_wall(self, at: datetime) -> datetime:
        return at

    def to_wall(self, at: datetime) -> datetime:
        return at


@frozen(kw_only=True)
class Course:
    """How a scaled clock runs: at the wall's ``wall`` it showed ``shown``, and goes ``speed`` times as fast."""

    wall: datetime
    shown: datetime
    speed: int

    def at(self, wall: datetime) -> datetime:
        return self.shown + (wall - self.wall) * self.speed

    def wall_at(self, shown: datetime) -> datetime:
        return self.wall + (shown - self.shown) / self.speed

    def dump(self) -> bytes:
        return json.dumps(
            {"wall": self.wall.isoformat(), "shown": self.shown.isoformat(), "speed": self.speed}
        ).encode()

    @classmethod
    def load(cls, text: str) -> Course:
        """What `dump` wrote; a `ValueError` if it is anything else."""
        try:
            raw = json.loads(text)
            wall, shown = datetime.fromisoformat(raw["wall"]), datetime.fromisoformat(raw["shown"])
            speed = raw["speed"]
        except (LookupError, TypeError, RecursionError) as error:
            raise ValueError(f"no clock: {type(error).__name__}") from None
        if wall.tzinfo is None or shown.tzinfo is None or type(speed) is not int or speed < 1:
            raise ValueError("a clock needs two times with a zone and a speed of 1 or more")
        return cls(wall=wall.astimezone(UTC), shown=shown.astimezone(UTC), speed=speed)


@define(eq=False)
class ScaledClock:
    """A sandbox's time, as the file at ``path`` says; read anew when the sandbox has rewritten it."""

    path: Path
    _course: Course | None = None
    _stamp: tuple[int, int] = (0, 0)

    def course(self) -> Course:
        try:
            found = self.path.stat()
            stamp = (found.st_mtime_ns, found.st_ino)
            if self._course is None or stamp != self._stamp:
                self._course, self._stamp = Course.load(self.path.read_text("utf-8")), stamp
        except (OSError, ValueError) as error:
            raise UsageError(
                _("the sandbox's clock {path} cannot be read: {error}").format(path=self.path, error=error),
                hint=_("Is the sandbox still up? See: gpurent sandbox status"),
            ) from None
        return self._course

    def now(self) -> datetime:
        return self.course().at(datetime.now(UTC))

    async def sleep(self, span: timedelta) -> None:
        """At least `SHORTEST` real seconds, so that polling does not spin; a jump ahead wakes within `GLANCE`."""
        import asyncio

        end = self.now() + span
        rest = span.total_seconds() / self.course().speed
        while True:
            await asyncio.sleep(min(max(SHORTEST, rest), GLANCE))
            rest = (end - self.now()).total_seconds() / self.course().speed
            if rest <= 0:
                return

    def from_wall(self, at: datetime) -> datetime:
        return self.course().at(at)

    def to_wall(self, at: datetime) -> datetime:
        return self.course().wall_at(at)


def clock_from(text: str) -> WallClock | ScaledClock:
    """The clock that ``GPURENT_CLOCK`` names: empty for the wall's, ``file:PATH`` for a sandbox's."""
    if not text:
        return WallClock()
    kind, _colon, path = text.partition(":")
    if kind != "file" or not path:
        raise UsageError(
            _("GPURENT_CLOCK={setting!r} is no clock").format(setting=text),
            hint=_("Leave it empty, or use: file:PATH"),
        )
    return ScaledClock(Path(path))
