"""Who tells a user that is not at the terminal."""

from __future__ import annotations

from abc import ABC, abstractmethod

from gpurent.domain.notice import Notice


class Notifier(ABC):
    """Sends notices somewhere. Its failures are contained and never stop a trip."""

    @abstractmethod
    def notify(self, notice: Notice) -> None:
        """Send ``notice``; returns once it was taken, any error says that it was not.

        Called in a thread of its own, one notice after another, so it may block; a call that takes longer than the
        user's limit (`[notify] limit`, 10 seconds) counts as failed and is not waited for. Never called again for the
        same notice: whoever retries does it inside the call, and only what cannot arrive twice.
        """
