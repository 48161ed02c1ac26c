"""How hard to compress, how large a unit is, how much may be under way: all from what the line shows."""

from __future__ import annotations

from threading import Lock
from time import monotonic

LEVELS = (0, 1, 3, 5, 6, 7, 9, 12)
START = 2
MIB = 1 << 20


class Level:
    """Up while finished units pile up before the line, down while the line waits for them; 0 is raw."""

    def __init__(self, codecs: int) -> None:
        self._at = START
        self._lock = Lock()
        self._pressure = 0
        self.top = len(LEVELS) - 1
        self.codecs = codecs

    @property
    def now(self) -> int:
        return LEVELS[self._at]

    def piled_up(self) -> None:
        self._push(1)

    def waited(self) -> None:
        self._push(-1)

    def _push(self, way: int) -> None:
        with self._lock:
            self._pressure = self._pressure + way if self._pressure * way >= 0 else way
            if abs(self._pressure) >= 2:
                self._at = min(max(self._at + way, 0), self.top)
                self._pressure = 0


class Rate:
    """Bytes a second as acknowledged, and the credit that comes of it."""

    def __init__(self) -> None:
        self._begun = 0.0
        self._bytes = 0
        self.value = 0.0
        self.trip = 0.0  # seconds of the quickest acknowledgement

    def sent(self) -> None:
        """Something is under way from now on."""
        if not self._begun:
            self._begun = monotonic()

    def acked(self, size: int, sent_at: float, idle: bool) -> None:
        now = monotonic()
        self.trip = min(self.trip or 60.0, now - sent_at)
        self._bytes += size
        span = now - self._begun
        if span > 0.2:
            fresh = self._bytes / span
            self.value = fresh if not self.value else (self.value + fresh) / 2
            self._begun, self._bytes = now, 0
        if idle:
            self._begun, self._bytes = 0.0, 0

    @property
    def credit(self) -> int:
        """Bytes that may be unacknowledged: two fifths of a second of this line, so that no line makes a long tail."""
        if not self.value:
            return 4 * MIB
        return int(min(max(self.value * 0.4, MIB // 2), 32 * MIB))


class Throttle:
    """The user's limit in bytes a second, over all lines; 0 is none."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._free_at = 0.0
        self._lock = Lock()

    def wait(self, size: int) -> float:
        """Seconds to wait before ``size`` bytes may go."""
        if not self._limit:
            return 0.0
        with self._lock:
            now = monotonic()
            start = max(now, self._free_at)
            self._free_at = start + size / self._limit
            return start - now
