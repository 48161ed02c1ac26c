"""How long the far side may say nothing, so that nothing hangs for ever."""

from __future__ import annotations

from threading import Timer
from time import monotonic

TYPE_CHECKING = False  # the real one costs an import
if TYPE_CHECKING:
    from collections.abc import Callable

HANDSHAKE_TIMEOUT = 120.0  # seconds after which a connection whose far side said nothing is given up
MAX_SILENCE = 300.0  # seconds
SLOW_DISK = 20e6  # bytes a second at which a slow disk is read
MAX_DISK_SECONDS = 7200.0  # seconds that one large file may take on top


def handshake_timer(abort: Callable[[], None]) -> Timer:
    """Calls ``abort``, once started and unless cancelled, when the far side has had its time to answer."""
    timer = Timer(HANDSHAKE_TIMEOUT, abort)
    timer.daemon = True
    return timer


class IdleTimeout:
    """Counts seconds without a byte. Not for two threads at once."""

    def __init__(self) -> None:
        self._received = -1
        self._silent = 0.0
        self._checked_at = monotonic()

    def allow_disk_read(self, size: int) -> None:
        """The far side or this one reads ``size`` bytes of a disk before there is anything to say."""
        self._silent -= min(size / SLOW_DISK, MAX_DISK_SECONDS)

    def has_expired(self, received: int) -> bool:
        """Whether it was too long. ``received``: bytes that have come in all. To be called every second or so."""
        now = monotonic()
        # A long gap between two calls means that we were busy, not that the far side was silent.
        self._silent += min(now - self._checked_at, 2.0)
        self._checked_at = now
        if received != self._received:
            self._received, self._silent = received, min(self._silent, 0.0)
        return self._silent > MAX_SILENCE
