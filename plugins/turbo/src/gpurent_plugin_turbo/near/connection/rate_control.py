"""How hard to compress, how large a unit is, how much may be under way: all from what the line shows."""

from __future__ import annotations

import os
from threading import Lock
from time import monotonic

MIB = 1 << 20
# zstd's levels: raw bytes a second of one core, and the size of what comes out against level 3. First guesses;
# what is measured takes their place. Left out are levels that others beat in both.
GUESSES = {
    1: (350e6, 1.05),
    3: (250e6, 1.0),
    6: (100e6, 0.9),
    7: (75e6, 0.88),
    9: (55e6, 0.86),
    11: (25e6, 0.84),
}
CAREFUL = 6  # no higher while nobody knows how quick the line will be
CORES = os.cpu_count() or 1
FEW = 24 * MIB  # so little is pressed in any case: a young connection is slow even on the quickest path
PROBE = 0.5  # seconds until a change shows in the rates
PROBING = 1e12  # as good as nothing to wait for: raw, to see what comes of it
QUICK = 100e6  # bytes a second from which a line needs the processors for itself


class Level:
    """The level that brings a byte across soonest: compressing and carrying go on side by side, the slower one counts.

    0 is raw. Unknown is at first how quick the line is: ``now`` begins low, and `patient` is for the time in which
    nothing can be sent anyway.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._speed = {level: speed for level, (speed, _) in GUESSES.items()}
        self._shape = {level: shape for level, (_, shape) in GUESSES.items()}
        self._ratio: dict[int, float] = {}  # as measured
        self._rate = self._looked = 0.0
        self._probe_at, self._patience = 0.0, 1.0
        self._total = 0
        self.patient = 9
        self.now = 1
        self._born = 0.0

    def pressed(self, level: int, raw: int, tight: int, seconds: float) -> None:
        """What one compression gave, and the seconds of a processor that it took."""
        if not level or raw < 65536 or not seconds:
            return
        with self._lock:
            self._total += raw
            self._speed[level] = (self._speed[level] * 3 + raw / seconds) / 4
            fresh = tight / raw
            self._ratio[level] = (self._ratio.get(level, fresh) * 3 + fresh) / 4

    def far(self, trip: float, waits: bool) -> None:
        """The path is a long one: what goes first is worth more than the least of pressing.

        ``waits``: something goes on meanwhile, a login or enough that is under way; else the next bytes are awaited.
        """
        with self._lock:
            if not self._rate:
                self.now = max(self.now, CAREFUL if waits or trip > 0.03 else 3)

    def _shrunk(self, level: int) -> float:
        """What is left of a byte: as measured, else as the nearest level that was measured has it."""
        if level in self._ratio or not self._ratio:
            return self._ratio.get(level, 0.3 * self._shape[level])
        known = min(self._ratio, key=lambda other: abs(other - level))
        return self._ratio[known] * self._shape[level] / self._shape[known]

    def carried(self, rate: float, *, full: bool, near: bool) -> None:
        """The lines carry ``rate`` bytes a second. ``full``: finished units wait for them, so that is all they can.

        Else the lines wait for us: they can do more, nobody knows how much, and the guess goes up until units wait.
        On a ``near`` path lines and compressing share processors, so a line shows what it can only while it is raw.
        """
        now = monotonic()
        if now - self._looked < 0.1 or not (rate or near):
            return
        with self._lock:
            self._looked = now
            if near and self.now:
                if now < self._probe_at or self._total < FEW:
                    return
                self._rate, self._probe_at = PROBING, now + PROBE
            elif near and (now < self._probe_at or not rate):
                return
            elif full:
                self._rate = rate if self._rate in (0.0, PROBING) else (self._rate + rate) / 2
            else:
                self._rate = max(self._rate * 1.5, rate)
            self._born = self._born or now
            young = now - self._born < 1.0
            self.now = min(
                (level for level in (0, *self._speed) if not young or level <= CAREFUL), key=self._cost
            )
            if near and self.now:
                self._patience = min(self._patience * 2, 30.0)
                self._probe_at = now + self._patience

    def _cost(self, level: int) -> float:
        """Seconds a raw byte."""
        if not level:
            return 1 / self._rate
        share = CORES * (0.35 if self._rate > QUICK else 0.7)
        return max(1 / (self._speed[level] * min(share, 2)), self._shrunk(level) / self._rate)


class Rate:
    """Bytes a second as acknowledged, over the time in which something was under way; and the credit from it."""

    def __init__(self) -> None:
        self._begun = 0.0
        self._bytes, self._span = 0, 0.0
        self.value = 0.0
        self.trip = 0.0  # seconds of the quickest acknowledgement

    def sent(self) -> None:
        """Something is under way from now on."""
        if not self._begun:
            self._begun = monotonic()

    def acked(self, size: int, sent_at: float, idle: bool) -> None:
        """``idle``: now nothing is under way."""
        now = monotonic()
        self.trip = min(self.trip or 60.0, now - sent_at)
        self._bytes += size
        self._span += now - self._begun
        self._begun = 0.0 if idle else now
        if self._span > 0.2:
            fresh = self._bytes / self._span
            self.value = fresh if not self.value else (self.value + fresh) / 2
            self._bytes, self._span = 0, 0.0

    def credit(self, trip: float, first: bool) -> int:
        """Bytes that may be unacknowledged: three tenths of a second of this line, so that no line makes a long tail.

        More where the path's round trip takes long; its ``trip`` is in seconds.
        """
        if not self.value:
            return (4 if first or trip < 0.01 else 2) * MIB
        return int(min(max(self.value * max(0.3, 4 * trip), MIB), 32 * MIB))


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
