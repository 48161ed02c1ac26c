"""Who tells the user."""

from __future__ import annotations

from abc import ABC, abstractmethod

from gpurent.model.events import Event


class Notifier(ABC):
    """Told of every event. Its failures are contained and never stop a trip."""

    @abstractmethod
    def notify(self, event: Event) -> None:
        """Show or send ``event``; quick."""
