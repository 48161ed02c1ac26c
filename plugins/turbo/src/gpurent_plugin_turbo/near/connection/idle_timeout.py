"""How long the far side may say nothing: nothing may hang for ever."""

from __future__ import annotations

from time import monotonic

SILENCE = 300.0  # seconds
DISK = 20e6  # bytes a second at which a slow disk is read
MOST = 7200.0  # seconds that one large file may take on top


class Patience:
    """Counts seconds without a byte. Not for two threads at once."""

    def __init__(self) -> None:
        self._heard = -1
        self._silent = 0.0
        self._looked = monotonic()

    def grant(self, size: int) -> None:
        """Somebody reads ``size`` bytes of a disk before there is anything to say."""
        self._silent -= min(size / DISK, MOST)

    def ended(self, heard: int) -> bool:
        """Whether that was too long. ``heard``: bytes that have come in all. To be asked every second or so."""
        now = monotonic()
        # Who looks seldom was busy: that is no silence of the other side.
        self._silent += min(now - self._looked, 2.0)
        self._looked = now
        if heard != self._heard:
            self._heard, self._silent = heard, min(self._silent, 0.0)
        return self._silent > SILENCE
