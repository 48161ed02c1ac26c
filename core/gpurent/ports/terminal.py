"""The user at the terminal: prompts, output, progress, and subscribers to events."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from gpurent.domain.events import Event
    from gpurent.domain.question import Question

# Must return at once and never raise: a failing subscriber must not stop a trip.
EventSubscriber = Callable[["Event"], None]


class Prompter(Protocol):
    """Asks the user, who may not be there. A cancelled question is removed from the screen."""

    @property
    def is_interactive(self) -> bool:
        """Whether somebody is there to answer."""

    @property
    def can_confirm(self) -> bool:
        """Whether a yes or no can be given: somebody is there, or has said yes in advance."""

    async def confirm(self, question: Question) -> bool:
        """Ask for a yes or no; false if nobody is there. A yes in advance is none if the question needs a person."""

    async def choose(self, question: Question, choices: Mapping[str, str]) -> str | None:
        """Ask for one of ``choices``, words with their meaning; None: none of them, or nobody is there.

        Who has said yes in advance chooses the first.
        """

    async def ask_question(self, question: Question) -> str | None:
        """Ask for a line of text; None when nobody is there or nothing was typed."""


class Progress(Protocol):
    """Receives the progress of a transfer, in bytes of the files, not of the connection."""

    def set_total(self, files: int, size: int) -> None:
        """Set the number of files and bytes; may be called again while the scan goes on."""

    def advance(self, size: int, name: str = "") -> None:
        """Add ``size`` bytes that have verifiably arrived or were there already."""

    def finish_file(self, name: str) -> None: ...


class Display(Protocol):
    """Shows output and progress: a terminal, a test double, or nothing."""

    def show_output(self, data: bytes) -> None:
        """Show the job's own output as it arrives; untrusted, so it must be stripped before it is shown."""

    def start_progress(self, title: str) -> Progress:
        """Return a new progress display for one transfer."""


class Terminal(Prompter, Display, Protocol):
    """Where the user is: answers questions, and shows events, output and progress."""

    def show_event(self, event: Event) -> None: ...
