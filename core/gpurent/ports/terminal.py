"""The person at the terminal: what is shown, what is asked, and who else hears of events."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from gpurent.domain.events import Event
    from gpurent.domain.question import Question

# Returns at once and never raises: what a subscriber cannot do must not stop a trip.
EventSubscriber = Callable[["Event"], None]


class Prompter(Protocol):
    """Whoever sits there, or nobody at all. A cancelled question is taken back from the screen."""

    @property
    def is_interactive(self) -> bool:
        """Whether somebody is there to answer."""

    async def confirm(self, question: Question) -> bool:
        """Yes or no; nobody there is no."""

    async def ask_question(self, question: Question) -> str | None:
        """A line of text; None when nobody is there, or nothing was typed."""


class Progress(Protocol):
    """Receives what happens while files travel. Bytes of files, not of the connection."""

    def set_total(self, files: int, size: int) -> None:
        """How much there is; may be called again as the scan goes on."""

    def advance(self, size: int, name: str = "") -> None:
        """``size`` more bytes are verifiably there (or were there already)."""

    def finish_file(self, name: str) -> None: ...


class Display(Protocol):
    """A terminal, a test, or nobody."""

    def show_output(self, data: bytes) -> None:
        """The job's own output, as it comes; hostile, to be stripped before it is shown."""

    def start_progress(self, title: str) -> Progress:
        """A fresh progress display for one transfer."""


class Terminal(Prompter, Display, Protocol):
    """Where the user sits: questions are answered, events, output and progress are seen."""

    def show_event(self, event: Event) -> None: ...
