"""Choice of the compression level and of the bytes in flight, from the measured throughput of the streams."""

from __future__ import annotations

import os
from threading import Lock
from time import monotonic

MIB = 1 << 20
# zstd levels: uncompressed bytes per second on one core, and the compressed size relative to level 3. These are
# initial estimates that measurements replace. Levels that others beat in both figures are left out.
ASSUMED_SPEEDS = {
    1: (350e6, 1.05),
    3: (250e6, 1.0),
    6: (100e6, 0.9),
    7: (75e6, 0.88),
    9: (55e6, 0.86),
    11: (25e6, 0.84),
}
MAX_UNRATED_LEVEL = 6  # the highest level while the throughput is unknown
CPU_COUNT = os.cpu_count() or 1
MIN_COMPRESSED_BYTES = 24 * MIB  # compressed in any case: slow start limits even the fastest path
PROBE_SECONDS = 0.5  # time until a change shows in the rates
UNLIMITED_RATE = 1e12  # in effect no waiting: send uncompressed and measure
FAST_RATE = 100e6  # bytes per second at which the streams need the processors themselves


class CompressionLevel:
    """The level that delivers a byte soonest; compressing and sending overlap, so the slower of the two counts.

    Level 0 sends uncompressed. The throughput is unknown at first, so ``current`` starts low; ``idle_level`` is used
    while nothing can be sent anyway.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._speed = {level: speed for level, (speed, _) in ASSUMED_SPEEDS.items()}
        self._relative_size = {level: shape for level, (_, shape) in ASSUMED_SPEEDS.items()}
        self._measured_ratio: dict[int, float] = {}
        self._rate = self._rated_at = 0.0
        self._probe_at, self._probe_interval = 0.0, 1.0
        self._compressed_bytes = 0
        self.idle_level, self.current = 9, 1
        self._first_rated = 0.0

    def record_compression(self, level: int, raw: int, compressed: int, seconds: float) -> None:
        """Record the result of one compression and the processor time that it took, in seconds."""
        if not level or raw < 65536 or not seconds:
            return
        with self._lock:
            self._compressed_bytes += raw
            self._speed[level] = (self._speed[level] * 3 + raw / seconds) / 4
            ratio = compressed / raw
            self._measured_ratio[level] = (self._measured_ratio.get(level, ratio) * 3 + ratio) / 4

    def raise_for_slow_start(self, rtt: float, has_time: bool) -> None:
        """Raise the initial level where slow start takes long, so that the first bytes are few.

        ``has_time``: other work covers the compression time (a login, or enough data in flight); otherwise the stream
        would have nothing to send until the next bytes are ready.
        """
        with self._lock:
            if not self._rate:
                self.current = max(self.current, MAX_UNRATED_LEVEL if has_time or rtt > 0.03 else 3)

    def _estimate_ratio(self, level: int) -> float:
        """Return compressed size over original size: measured, or derived from the nearest measured level."""
        if level in self._measured_ratio or not self._measured_ratio:
            return self._measured_ratio.get(level, 0.3 * self._relative_size[level])
        known = min(self._measured_ratio, key=lambda other: abs(other - level))
        return self._measured_ratio[known] * self._relative_size[level] / self._relative_size[known]

    def record_rate(self, rate: float, *, is_queue_backed_up: bool, is_low_latency: bool) -> None:
        """Record that the streams carry ``rate`` bytes per second and choose the level again.

        ``is_queue_backed_up``: finished units are waiting, so this rate is all that the streams can carry. Otherwise
        the streams are waiting for data and could carry more; the estimate then rises until units have to wait.
        ``is_low_latency``: on such a path the streams and the compression compete for processors, so the streams show
        their full rate only while they carry uncompressed data.
        """
        now = monotonic()
        if now - self._rated_at < 0.1 or not (rate or is_low_latency):
            return
        with self._lock:
            self._rated_at = now
            if is_low_latency and self.current:
                if now < self._probe_at or self._compressed_bytes < MIN_COMPRESSED_BYTES:
                    return
                self._rate, self._probe_at = UNLIMITED_RATE, now + PROBE_SECONDS
            elif is_low_latency and (now < self._probe_at or not rate):
                return
            elif is_queue_backed_up:
                self._rate = rate if self._rate in (0.0, UNLIMITED_RATE) else (self._rate + rate) / 2
            else:
                self._rate = max(self._rate * 1.5, rate)
            self._first_rated = self._first_rated or now
            slow_start = now - self._first_rated < 1.0
            self.current = min(
                (level for level in (0, *self._speed) if not slow_start or level <= MAX_UNRATED_LEVEL),
                key=self._seconds_per_byte,
            )
            if is_low_latency and self.current:
                self._probe_interval = min(self._probe_interval * 2, 30.0)
                self._probe_at = now + self._probe_interval

    def _seconds_per_byte(self, level: int) -> float:
        if not level:
            return 1 / self._rate
        share = CPU_COUNT * (0.35 if self._rate > FAST_RATE else 0.7)
        return max(1 / (self._speed[level] * min(share, 2)), self._estimate_ratio(level) / self._rate)


class AckRate:
    """Acknowledged bytes per second while anything was in flight, and how much may be in flight at that rate."""

    def __init__(self) -> None:
        self._started = 0.0
        self._bytes, self._span = 0, 0.0
        self.value = self.rtt = 0.0  # bytes per second; seconds of the fastest acknowledgement

    def mark_sent(self) -> None:
        if not self._started:
            self._started = monotonic()

    def record_ack(self, size: int, sent_at: float, idle: bool) -> None:
        """Record an acknowledgement; ``idle``: nothing is in flight now."""
        now = monotonic()
        self.rtt = min(self.rtt or 60.0, now - sent_at)
        self._bytes += size
        self._span += now - self._started
        self._started = 0.0 if idle else now
        if self._span > 0.2:
            rate = self._bytes / self._span
            self.value = rate if not self.value else (self.value + rate) / 2
            self._bytes, self._span = 0, 0.0

    def compute_max_in_flight(self, rtt: float, first: bool) -> int:
        """Return how many bytes may be unacknowledged.

        It is 0.3 s of this stream's rate, so that no stream finishes long after the others; more if ``rtt`` (seconds)
        is high.
        """
        if not self.value:
            return (4 if first or rtt < 0.01 else 2) * MIB
        return int(min(max(self.value * max(0.3, 4 * rtt), MIB), 32 * MIB))


class BandwidthLimit:
    """The user's bandwidth limit in bytes per second, shared by all streams; 0 means none."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._free_at = 0.0
        self._lock = Lock()

    def reserve(self, size: int) -> float:
        """Reserve ``size`` bytes; return the seconds to wait before sending them."""
        if not self._limit:
            return 0.0
        with self._lock:
            now = monotonic()
            start = max(now, self._free_at)
            self._free_at = start + size / self._limit
            return start - now
