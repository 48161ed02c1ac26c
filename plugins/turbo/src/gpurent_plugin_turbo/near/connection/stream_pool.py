"""Several connections and their threads: opening, adding more while that helps, ending, failing."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from threading import Condition, Lock, RLock, Thread
from time import monotonic

from gpurent import api
from gpurent_plugin_turbo.near.connection.command_connection import CommandConnection
from gpurent_plugin_turbo.near.connection.rate_control import MIB, AckRate
from gpurent_plugin_turbo.near.connection.tcp_tuning import LONG_RTT
from gpurent_plugin_turbo.shared.annotations import Any

SECOND_STREAM_BYTES = 12 * MIB  # above this size a second stream is worth its login
SAMPLE_SECONDS = 2.0  # how long the total rate is measured
MIN_GAIN = 1.15  # a new stream must have raised the rate by this factor
HIGH_LATENCY_RTT = 0.015  # seconds; above this RTT one stream may be slower than the path
SLOW_START_STREAMS = 2  # opened at once on a high-latency path
MIN_SECONDS_LEFT = 8.0  # with less time left, another stream is not worth its login
MIN_BYTES_WAITING = MIB  # with less to send, slow start does not matter
LOW_LATENCY_RTT = 0.002  # seconds; below this RTT the path is hardly the bottleneck
MAX_SILENCE = 300.0  # seconds without a byte, so that nothing hangs forever
SLOW_DISK_RATE = 20e6  # bytes per second that a slow disk can be read at
MAX_DISK_SECONDS = 7200.0  # the most that one large file may add
Frame = tuple[int, bytes, bytes]  # kind, head, body


class IdleTimeout:
    """Counts seconds without a byte. Not thread-safe."""

    def __init__(self) -> None:
        self._received = -1
        self._silent = 0.0
        self._checked_at = monotonic()

    def allow_disk_read(self, size: int) -> None:
        """Allow extra silence while either side reads ``size`` bytes from disk."""
        self._silent -= min(size / SLOW_DISK_RATE, MAX_DISK_SECONDS)

    def has_expired(self, received: int) -> bool:
        """Return whether the silence was too long; call about once a second. ``received``: bytes received in total."""
        now = monotonic()
        # A long gap between two calls means that this process was busy, not that the remote side was silent.
        self._silent += min(now - self._checked_at, 2.0)
        self._checked_at = now
        if received != self._received:
            self._received, self._silent = received, min(self._silent, 0.0)
        return self._silent > MAX_SILENCE


class TransferStream:
    """One connection and what is in flight on it, by number."""

    def __init__(self, connection: CommandConnection, first: bool) -> None:
        self.connection, self.frames, self.is_first = connection, connection.frames, first
        self.unacked: dict[int, Any] = {}
        self.in_flight = 0
        self.rate = AckRate()
        self.opened_at = monotonic()
        self.send_lock = Lock()  # for streams on which several threads send
        self.handshaken = self.is_lost = False
        self.finish_sent = self.finished = False  # told that no more will come; has acknowledged that

    @property
    def credit(self) -> int:
        return self.rate.compute_credit(self.connection.tuned_socket.rtt, self.is_first)


class StreamPool(ABC):
    """Streams and their threads. `stop` may be called from any thread; ``_condition`` guards all shared state.

    Whoever waits only for the end uses ``_end_condition``: a wake-up for each unit costs more than the unit.
    """

    def __init__(self, open_connection: Callable[[bool], CommandConnection], max_streams: int) -> None:
        self._open_connection, self._max_streams = open_connection, max_streams
        lock = RLock()
        self._condition, self._end_condition = Condition(lock), Condition(lock)
        self._error: BaseException | None = None
        self._stopped = self._finished = self._tuning_started = False
        self._streams: list[TransferStream] = []
        self._threads: list[Thread] = []

    @abstractmethod
    def _start_stream(self, stream: TransferStream) -> None:
        """Start the threads of a new stream."""

    @abstractmethod
    def _is_saturated(self) -> bool:
        """Return whether the streams are the bottleneck."""

    @abstractmethod
    def _count_transferred_bytes(self) -> int:
        """Return the bytes that the streams have carried."""

    def stop(self) -> None:
        with self._condition:
            self._stopped = True
            self._wake_all()
        for stream in list(self._streams):
            stream.connection.abort()

    @property
    def _is_over(self) -> bool:
        return self._stopped or self._finished or self._error is not None

    def _mark_finished(self) -> None:
        """Mark the transfer as finished. The condition must be held."""
        self._finished = True
        self._wake_all()

    def _wake_all(self) -> None:
        self._condition.notify_all()
        self._end_condition.notify_all()

    def _wait_for_end(self) -> None:
        with self._condition:
            while not self._is_over:
                self._end_condition.wait(1.0)
                self._check_silence()

    def _check_silence(self) -> None:
        """Give up streams whose remote side never answers; nothing may hang forever. The condition must be held."""
        for stream in list(self._streams):
            silent = monotonic() - stream.opened_at
            if (
                stream.handshaken
                or stream.is_lost
                or self._is_over
                or silent < stream.connection.handshake_timeout
            ):
                continue
            if stream.is_first:
                self._error = api.idle_timeout_error()
            else:
                stream.connection.abort()

    def _shut_down(self) -> None:
        self.stop()
        for thread in self._threads:
            thread.join(20)
        for stream in self._streams:
            stream.connection.close()

    def _start_thread(self, work: Callable[..., None], *given: object) -> None:
        def guarded() -> None:
            try:
                work(*given)
            except BaseException as error:  # noqa: BLE001 - carried over to the thread that waits
                with self._condition:
                    if not self._is_over:
                        self._error = error
                    self._wake_all()

        thread = Thread(target=guarded, daemon=True)
        self._threads.append(thread)
        thread.start()

    # streams

    def _add_stream(self) -> None:
        stream = TransferStream(self._open_connection(not self._streams), not self._streams)
        self._streams.append(stream)
        self._start_stream(stream)

    def _add_streams_for_size(self, size: int) -> None:
        """Open a second stream if there is much to send, and start adding more while they help."""
        if not self._tuning_started and self._max_streams > 1 and size > SECOND_STREAM_BYTES:
            self._tuning_started = True
            if len(self._streams) < 2 and not self._is_long_path():
                self._add_stream()
            self._start_thread(self._tune_stream_count)

    def _is_high_latency(self) -> bool:
        times = [stream.rate.rtt for stream in self._streams if stream.rate.rtt]
        return min(times, default=0.0) > HIGH_LATENCY_RTT

    def _path_rtt(self) -> float:
        """Return the RTT in seconds as the kernel measured it, available before any answer; 0.0 if unknown."""
        return self._streams[0].connection.tuned_socket.rtt if self._streams else 0.0

    def _is_long_path(self) -> bool:
        """Return whether `_open_slow_start_streams` opens the second stream."""
        return self._path_rtt() >= LONG_RTT and self._streams[0].connection.needs_login

    def _open_slow_start_streams(self) -> None:
        """Open several streams at once on a high-latency path, where slow start takes long; they log in in parallel."""
        with self._condition:
            self._condition.wait_for(lambda: self._has_started() or self._path_rtt() > 0, 1.0)
            if not self._is_long_path():
                return
            self._condition.wait_for(
                lambda: self._has_started() or self._count_waiting_bytes() > MIN_BYTES_WAITING, 1.0
            )
            if self._has_started():
                return
        while len(self._streams) < min(SLOW_START_STREAMS, self._max_streams):
            self._add_stream()

    def _has_started(self) -> bool:
        return self._is_over or self._streams[0].handshaken

    @abstractmethod
    def _count_waiting_bytes(self) -> int:
        """Return the bytes known to be needed that no stream carries yet."""

    def _tune_stream_count(self) -> None:
        """Add streams while they raise the rate: on a lossy path several streams lose less than one does."""
        before = 0.0
        self._measure_rate(1.0)  # the rate during slow start means nothing
        while len(self._streams) < self._max_streams:
            rate = self._measure_rate(SAMPLE_SECONDS)
            with self._condition:
                if self._is_over:
                    return
                alive = [stream.connection.tuned_socket for stream in self._streams if not stream.is_lost]
                worth = (
                    self._is_saturated()
                    and self._is_high_latency()
                    and any(tuned_socket.is_lossy() for tuned_socket in alive)
                    and self._count_waiting_bytes() > MIN_SECONDS_LEFT * rate
                )
            if not worth:
                continue
            if rate < before * MIN_GAIN:
                return
            before = rate
            self._add_stream()

    def _measure_rate(self, seconds: float) -> float:
        """Measure for some seconds; return the bytes per second of all streams together."""
        start, at = self._count_transferred_bytes(), monotonic()
        with self._condition:
            self._end_condition.wait_for(lambda: self._is_over, seconds)
        return (self._count_transferred_bytes() - start) / (monotonic() - at)
