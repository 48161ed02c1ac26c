"""A hand on the socket of an ssh process.

OpenSSH leaves Nagle's algorithm on while it logs in and where there is no terminal: its small messages wait for
acknowledgements, which the other side delays by 40 ms, twice in a login. A parent may take a copy of its child's
socket (Linux 5.6, pidfd_getfd) and switch that off: a login on a quick line takes 45 ms instead of 130. Where that is
not allowed nothing is lost but those milliseconds.
"""

from __future__ import annotations

import _socket as socket  # `socket` itself costs enum and selectors
import ctypes
import os
import sys
from threading import Event, Lock, Thread
from time import monotonic

PIDFD_GETFD = 438  # the same number on every architecture but alpha
FINDS = 5.0  # seconds in which ssh has opened its connection, or the grip is given up
BRISK, CALM = 0.001, 0.004  # seconds between two looks, during a login and after it
LOGIN = 1.5
LOSSY = 3e-4  # of all segments: more than a full queue drops
LONG = 0.008  # seconds of a round trip from which a young connection takes long to speed up
YOUNG = 64 << 10  # bytes under way below which a connection is young
SOCKETS = range(3, 8)  # ssh opens little else before it connects


_LIBC = ctypes.CDLL(None)


def _told(made: socket.socket, *places: int) -> list[int]:
    """Numbers of the kernel's tcp_info, by their places in it."""
    data = made.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 152)
    return [int.from_bytes(data[at : at + 4], sys.byteorder) for at in places]


def trip_of(made: socket.socket) -> float:
    """Seconds of the quickest round trip that the kernel saw on a connection (tcpi_min_rtt)."""
    (micros,) = _told(made, 148)
    return micros / 1e6


def flight(made: socket.socket) -> int:
    """Bytes that the kernel dares to have under way on a connection (tcpi_snd_cwnd, tcpi_snd_mss)."""
    segments, size = _told(made, 80, 16)
    return segments * size


def losses(made: socket.socket) -> tuple[int, int]:
    """Segments that were sent, and those of them that were sent again (tcpi_segs_out, tcpi_total_retrans)."""
    sent, again = _told(made, 136, 100)
    return sent, again


class Grip:
    """Of one process. `trip` is the path's round trip in seconds as the kernel measured it; 0: unknown."""

    def __init__(self, pid: int, port: int) -> None:
        self.trip = 0.0
        self.begun = monotonic()
        self._pid, self._port = pid, port
        self._pidfd = -1
        self._socket: socket.socket | None = None

    def calm(self) -> None:
        """The login is over: from now on a look now and then does."""
        self.begun -= LOGIN

    def look(self) -> bool:
        """One step: find the socket, or have it acknowledge at once. False: there is no use in another look."""
        try:
            if self._socket is None:
                return self._find()
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
            if not self.trip:
                self.trip = trip_of(self._socket)
        except OSError:
            return False
        return True

    def _find(self) -> bool:
        if self._pidfd < 0:
            self._pidfd = os.pidfd_open(self._pid)
        for number in SOCKETS:
            found = _taken(self._pidfd, number)
            if found < 0:
                continue
            try:
                made = socket.socket(fileno=found)
            except OSError:
                os.close(found)
                continue
            try:
                if made.getpeername()[1] == self._port:
                    self.keep(made)
                    return True
            except (OSError, IndexError):
                pass
            made.close()
        return monotonic() - self.begun < FINDS

    def lossy(self) -> bool:
        """Whether the path loses packets; true as well where nobody can say."""
        try:
            sent, again = losses(self._socket) if self._socket is not None else (0, 1)
        except OSError:
            return True
        return again > sent * LOSSY

    def young(self) -> int:
        """Bytes that fill what the kernel dares while it does not know the path; 0 where it does, or a near one."""
        held = self._socket  # another thread may drop it
        try:
            if held is None or trip_of(held) < LONG:
                return 0
            size = flight(held)
        except OSError:
            return 0
        return size if size < YOUNG else 0

    def keep(self, made: socket.socket) -> None:
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket = made

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        if self._pidfd >= 0:
            os.close(self._pidfd)
            self._pidfd = -1


def _taken(pidfd: int, number: int) -> int:
    return int(_LIBC.syscall(PIDFD_GETFD, pidfd, number, 0))


class Hands:
    """All grips of this process, looked after by one thread that ends with the last of them."""

    def __init__(self) -> None:
        self._grips: list[Grip] = []
        self._lock = Lock()
        self._thread: Thread | None = None
        self._news = Event()

    def take(self, pid: int, port: int) -> Grip | None:
        if not hasattr(os, "pidfd_open") or not hasattr(socket, "TCP_QUICKACK"):
            return None
        grip = Grip(pid, port)
        self._add(grip)
        return grip

    def _add(self, grip: Grip) -> None:
        with self._lock:
            self._grips.append(grip)
            if self._thread is None:
                self._thread = Thread(target=self._care, daemon=True)
                self._thread.start()
        self._news.set()

    def hold(self, number: int) -> Grip:
        """A connection of ours, by its descriptor; the grip has a copy of its own."""
        grip = Grip(0, 0)
        grip.keep(socket.socket(fileno=os.dup(number)))
        self._add(grip)
        return grip

    def drop(self, grip: Grip | None) -> None:
        with self._lock:
            if grip in self._grips:
                self._grips.remove(grip)
            if grip is not None:
                grip.close()

    def _care(self) -> None:
        while True:
            with self._lock:
                for grip in list(self._grips):
                    if not grip.look():
                        self._grips.remove(grip)
                        grip.close()
                if not self._grips:
                    self._thread = None
                    return
                young = any(monotonic() - grip.begun < LOGIN for grip in self._grips)
            self._news.wait(BRISK if young else CALM)
            self._news.clear()


HANDS = Hands()
