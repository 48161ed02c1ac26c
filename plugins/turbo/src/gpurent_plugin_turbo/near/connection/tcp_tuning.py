"""Tunes the TCP socket of an ssh process or of our own connection.

OpenSSH leaves Nagle's algorithm on during login and when there is no terminal: its small messages wait for
acknowledgements, which the peer delays by 40 ms, twice per login. A parent may duplicate its child's socket (Linux 5.6,
pidfd_getfd) and turn the algorithm off: a login on a fast path then takes 45 ms instead of 130. Where that is not
allowed, only that time is lost.
"""

from __future__ import annotations

import _socket as socket  # `socket` itself imports enum and selectors
import ctypes
import errno
import os
import sys
from threading import Event, Lock, Thread
from time import monotonic

TYPE_CHECKING = False  # the typing import costs time
if TYPE_CHECKING:
    from typing import Any

PIDFD_GETFD = 438  # the same number on every architecture except alpha
FIND_SOCKET_TIMEOUT = 5.0  # seconds within which ssh must have opened its connection
LOGIN_INTERVAL, IDLE_INTERVAL = 0.001, 0.004  # seconds between two rounds, during a login and afterwards
LOGIN_SECONDS = 1.5
MAX_LOSS_RATIO = 3e-4  # of all segments; more than a full queue would drop
SLOW_START_RTT = 0.008  # seconds; from this RTT on slow start takes long
SLOW_START_BYTES = 64 << 10  # a smaller congestion window is still in slow start
CANDIDATE_DESCRIPTORS = range(3, 8)  # ssh opens few descriptors before it connects


_LIBC = ctypes.CDLL(None)
# Linux alone tells how a connection does, and acknowledges at once on request.
_open_pidfd: Any = getattr(os, "pidfd_open", None)
CAN_TUNE = hasattr(socket, "TCP_INFO") and hasattr(socket, "TCP_QUICKACK")


def _read_tcp_info(made: socket.socket, *places: int) -> list[int]:
    """Return 32-bit fields of the kernel's tcp_info at these byte offsets; raises `OSError` if it has none."""
    if not CAN_TUNE:
        raise OSError(errno.ENOPROTOOPT, "no tcp_info here")
    data = made.getsockopt(socket.IPPROTO_TCP, getattr(socket, "TCP_INFO", 0), 152)
    return [int.from_bytes(data[at : at + 4], sys.byteorder) for at in places]


def read_min_rtt(made: socket.socket) -> float:
    """Return the lowest RTT in seconds that the kernel saw on this connection (tcpi_min_rtt)."""
    (micros,) = _read_tcp_info(made, 148)
    return micros / 1e6


def read_congestion_window(made: socket.socket) -> int:
    """Return the bytes that the kernel allows in flight on this connection (tcpi_snd_cwnd, tcpi_snd_mss)."""
    segments, size = _read_tcp_info(made, 80, 16)
    return segments * size


class TunedSocket:
    """The socket of one process. `rtt` is the path's RTT in seconds as the kernel measured it; 0 if unknown."""

    def __init__(self, pid: int = 0, port: int = 0) -> None:
        self.rtt = 0.0
        self.started_at = monotonic()
        self._pid, self._port = pid, port
        self._pidfd = -1
        self._socket: socket.socket | None = None

    def mark_logged_in(self) -> None:
        """Note that the remote side has answered: from now on the socket is tuned less often."""
        self.started_at -= LOGIN_SECONDS

    def tune(self) -> bool:
        """Find the socket, or make it acknowledge at once. Return False if trying again is useless."""
        try:
            if self._socket is None:
                return self._find_socket()
            self._socket.setsockopt(socket.IPPROTO_TCP, getattr(socket, "TCP_QUICKACK", 0), 1)
            if not self.rtt:
                self.rtt = read_min_rtt(self._socket)
        except OSError:
            return False
        return True

    def _find_socket(self) -> bool:
        if self._pidfd < 0:
            self._pidfd = _open_pidfd(self._pid)
        for number in CANDIDATE_DESCRIPTORS:
            found = int(_LIBC.syscall(PIDFD_GETFD, self._pidfd, number, 0))
            if found < 0:
                continue
            try:
                made = socket.socket(fileno=found)
            except OSError:
                os.close(found)
                continue
            try:
                if made.getpeername()[1] == self._port:
                    self.attach_socket(made)
                    return True
            except (OSError, IndexError):
                pass
            made.close()
        return monotonic() - self.started_at < FIND_SOCKET_TIMEOUT

    def is_lossy(self) -> bool:
        """Return whether segments are retransmitted; True if unknown (tcpi_segs_out, tcpi_total_retrans)."""
        try:
            sent, again = _read_tcp_info(self._socket, 136, 100) if self._socket is not None else (0, 1)
        except OSError:
            return True
        return again > sent * MAX_LOSS_RATIO

    def read_slow_start_window(self) -> int:
        """Return the bytes that fill the congestion window in slow start; 0 afterwards and on low-latency paths."""
        held = self._socket  # another thread may close it
        try:
            if held is None or read_min_rtt(held) < SLOW_START_RTT:
                return 0
            size = read_congestion_window(held)
        except OSError:
            return 0
        return size if size < SLOW_START_BYTES else 0

    def attach_socket(self, made: socket.socket) -> None:
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket = made

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        if self._pidfd >= 0:
            os.close(self._pidfd)
            self._pidfd = -1


class SocketTuner:
    """All tuned sockets of this process; one thread serves them and ends with the last one."""

    def __init__(self) -> None:
        self._sockets: list[TunedSocket] = []
        self._lock = Lock()
        self._thread: Thread | None = None
        self._socket_added = Event()

    def tune_process(self, pid: int, port: int) -> TunedSocket:
        tuned = TunedSocket(pid, port)
        if CAN_TUNE and _open_pidfd is not None:
            self._add_socket(tuned)
        return tuned

    def _add_socket(self, tuned: TunedSocket) -> None:
        with self._lock:
            self._sockets.append(tuned)
            if self._thread is None:
                self._thread = Thread(target=self._run_loop, daemon=True)
                self._thread.start()
        self._socket_added.set()

    def tune_descriptor(self, descriptor: int) -> TunedSocket:
        """Tune one of our own connections; the tuned socket holds a duplicate of ``descriptor``."""
        tuned = TunedSocket()
        tuned.attach_socket(socket.socket(fileno=os.dup(descriptor)))
        if CAN_TUNE:
            self._add_socket(tuned)
        return tuned

    def release_socket(self, tuned: TunedSocket) -> None:
        with self._lock:
            if tuned in self._sockets:
                self._sockets.remove(tuned)
            tuned.close()

    def _run_loop(self) -> None:
        while True:
            with self._lock:
                for tuned in list(self._sockets):
                    if not tuned.tune():
                        self._sockets.remove(tuned)
                        tuned.close()
                if not self._sockets:
                    self._thread = None
                    return
                logging_in = any(monotonic() - tuned.started_at < LOGIN_SECONDS for tuned in self._sockets)
            self._socket_added.wait(LOGIN_INTERVAL if logging_in else IDLE_INTERVAL)
            self._socket_added.clear()


SOCKET_TUNER = SocketTuner()
