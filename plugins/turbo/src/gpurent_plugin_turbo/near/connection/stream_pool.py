"""Several connections and their threads: opening, adding more while that helps, ending, failing."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from threading import Condition, Lock, RLock, Thread
from time import monotonic

from gpurent import api
from gpurent_plugin_turbo.near.connection.command_connection import CommandConnection
from gpurent_plugin_turbo.near.connection.rate_control import MIB, AckRate
from gpurent_plugin_turbo.near.connection.tcp_tuning import SLOW_START_RTT
from gpurent_plugin_turbo.shared.annotations import Any

SECOND_STREAM_BYTES = 12 * MIB  # above this size a second stream is worth its login
SAMPLE_SECONDS = 2.0  # how long the total rate is measured
MIN_GAIN = 1.15  # a new stream must have raised the rate by this factor
MULTI_STREAM_RTT = 0.015  # seconds; above this RTT one stream may be slower than the path
SLOW_START_STREAMS = 2  # opened at once where slow start takes long
MIN_SECONDS_LEFT = 8.0  # with less time left, another stream is not worth its login
MIN_BYTES_WAITING = MIB  # with less to send, slow start does not matter
LOW_LATENCY_RTT = 0.002  # seconds; below this RTT the path is hardly the bottleneck
MAX_SILENCE = 300.0  # seconds without a byte after which the connection is given up
SLOW_DISK_RATE = 20e6  # assumed read rate of a slow disk, bytes per second
MAX_DISK_SECONDS = 7200.0  # the longest extra silence that one `allow_disk_read` grants
Frame = tuple[int, bytes, bytes]  # kind, head, body


class SilenceTimeout:
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
    """One connection, and its unacknowledged units or requests by number."""

    def __init__(self, connection: CommandConnection, first: bool) -> None:
        self.connection, self.frames, self.is_first = connection, connection.frames, first
        self.unacked: dict[int, Any] = {}
        self.in_flight = 0
        self.rate = AckRate()
        self.opened_at = monotonic()
        self.send_lock = Lock()  # for streams on which several threads send
        self.is_handshaken = self.is_lost = False
        self.is_finish_sent = False  # we have told the remote side that no more will come
        self.is_finished = False  # the remote side has answered that it has done everything

    @property
    def max_in_flight(self) -> int:
        return self.rate.compute_max_in_flight(self.connection.tuned_socket.rtt, self.is_first)


class StreamPool(ABC):
    """Streams and their threads. `stop` may be called from any thread; ``_condition`` guards all shared state.

    Threads that wait only for the end wait on ``_end_condition``; waking them for every unit would be expensive.
    """

    def __init__(self, open_connection: Callable[[bool], CommandConnection], max_streams: int) -> None:
        self._open_connection, self._max_streams = open_connection, max_streams
        lock = RLock()
        self._condition, self._end_condition = Condition(lock), Condition(lock)
        self._error: BaseException | None = None
        self._is_stopped = self._is_finished = self._is_adjusting = False
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
            self._is_stopped = True
            self._wake_all()
        for stream in list(self._streams):
            stream.connection.abort()

    @property
    def _is_over(self) -> bool:
        return self._is_stopped or self._is_finished or self._error is not None

    def _mark_finished(self) -> None:
        """Mark the transfer as finished. The condition must be held."""
        self._is_finished = True
        self._wake_all()

    def _wake_all(self) -> None:
        self._condition.notify_all()
        self._end_condition.notify_all()

    def _wait_for_end(self) -> None:
        with self._condition:
            while not self._is_over:
                self._end_condition.wait(1.0)
                self._check_timeouts()

    def _check_timeouts(self) -> None:
        """Give up what has been waited for too long. The condition must be held."""
        self._check_handshakes()

    def _check_handshakes(self) -> None:
        """Give up streams whose remote side has not sent its first frame in time. The condition must be held."""
        for stream in list(self._streams):
            waited = monotonic() - stream.opened_at
            if (
                stream.is_handshaken
                or stream.is_lost
                or self._is_over
                or waited < stream.connection.handshake_timeout
            ):
                continue
            if stream.is_first:
                self._error = api.silence_timeout_error()
            else:
                stream.connection.abort()

    def _shut_down(self) -> None:
        self.stop()
        for thread in self._threads:
            thread.join(20)
        for stream in self._streams:
            stream.connection.close()

    def _start_thread(self, work: Callable[..., None], *args: object) -> None:
        def run_and_catch() -> None:
            try:
                work(*args)
            except BaseException as error:  # noqa: BLE001 - re-raised by the thread that waits for the end
                with self._condition:
                    if not self._is_over:
                        self._error = error
                    self._wake_all()

        thread = Thread(target=run_and_catch, daemon=True)
        self._threads.append(thread)
        thread.start()

    # streams

    def _add_stream(self) -> None:
        stream = TransferStream(self._open_connection(not self._streams), not self._streams)
        self._streams.append(stream)
        self._start_stream(stream)

    def _add_streams_for_size(self, size: int) -> None:
        """Open a second stream if there is much to send, and start adding more while they help."""
        if not self._is_adjusting and self._max_streams > 1 and size > SECOND_STREAM_BYTES:
            self._is_adjusting = True
            if len(self._streams) < 2 and not self._needs_parallel_logins():
                self._add_stream()
            self._start_thread(self._adjust_stream_count)

    def _is_one_stream_too_slow(self) -> bool:
        """Return whether the RTT is so high that one stream may be slower than the path."""
        times = [stream.rate.rtt for stream in self._streams if stream.rate.rtt]
        return min(times, default=0.0) > MULTI_STREAM_RTT

    def _path_rtt(self) -> float:
        """Return the RTT in seconds as the kernel measured it, available before any answer; 0.0 if unknown."""
        return self._streams[0].connection.tuned_socket.rtt if self._streams else 0.0

    def _is_low_latency(self) -> bool:
        """Return whether the path is known to be a low-latency one."""
        return 0 < self._path_rtt() < LOW_LATENCY_RTT

    def _needs_parallel_logins(self) -> bool:
        """Return whether slow start takes long and streams log in, so that `_open_slow_start_streams` opens several."""
        return self._path_rtt() >= SLOW_START_RTT and self._streams[0].connection.needs_login

    def _open_slow_start_streams(self) -> None:
        """Open several streams at once where slow start takes long; they log in in parallel."""
        with self._condition:
            self._condition.wait_for(lambda: self._is_started_or_over() or self._path_rtt() > 0, 1.0)
            if not self._needs_parallel_logins():
                return
            self._condition.wait_for(
                lambda: self._is_started_or_over() or self._count_waiting_bytes() > MIN_BYTES_WAITING, 1.0
            )
            if self._is_started_or_over():
                return
        while len(self._streams) < min(SLOW_START_STREAMS, self._max_streams):
            self._add_stream()

    def _is_started_or_over(self) -> bool:
        return self._is_over or self._streams[0].is_handshaken

    @abstractmethod
    def _count_waiting_bytes(self) -> int:
        """Return the bytes known to be needed that no stream carries yet."""

    def _adjust_stream_count(self) -> None:
        """Add streams while they raise the rate: on a lossy path a loss slows only one of several streams."""
        rate_before = 0.0
        self._measure_rate(1.0)  # the rate during slow start means nothing
        while len(self._streams) < self._max_streams:
            rate = self._measure_rate(SAMPLE_SECONDS)
            with self._condition:
                if self._is_over:
                    return
                alive = [stream.connection.tuned_socket for stream in self._streams if not stream.is_lost]
                is_worthwhile = (
                    self._is_saturated()
                    and self._is_one_stream_too_slow()
                    and any(tuned_socket.is_lossy() for tuned_socket in alive)
                    and self._count_waiting_bytes() > MIN_SECONDS_LEFT * rate
                )
            if not is_worthwhile:
                continue
            if rate < rate_before * MIN_GAIN:
                return
            rate_before = rate
            self._add_stream()

    def _measure_rate(self, seconds: float) -> float:
        """Measure for some seconds; return the bytes per second of all streams together."""
        start, at = self._count_transferred_bytes(), monotonic()
        with self._condition:
            self._end_condition.wait_for(lambda: self._is_over, seconds)
        return (self._count_transferred_bytes() - start) / (monotonic() - at)
