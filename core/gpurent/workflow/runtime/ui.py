"""What the workflow needs of whoever sits before it."""

from __future__ import annotations

from typing import Protocol

from gpurent.domain.events import Event
from gpurent.roles.transfer import Progress


class Ui(Protocol):
    """A terminal, a test, or nobody at all."""

    def notify(self, event: Event) -> None:
        """Show what happened."""

    def confirm(self, question: str) -> bool:
        """Yes or no; nobody there is no."""

    def ask(self, label: str, secret: bool = False) -> str | None:
        """A line of text; None when nobody is there."""

    def output(self, data: bytes) -> None:
        """The job's own output, as it comes; hostile, to be stripped before it is shown."""

    def progress(self, title: str) -> Progress:
        """A fresh progress display for one transfer."""
