"""The terminal while ``gpurent top`` owns the screen."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager

from gpurent.cli.output import write_line
from gpurent.domain.events import Event, EventKind
from gpurent.domain.question import Question
from gpurent.ports.terminal import Prompter
from gpurent.terminal_text import strip_to_line

_HIDDEN_EVENTS = (EventKind.STEP_STARTED, EventKind.STEP_DONE, EventKind.PROGRESS, EventKind.JOB_OUTPUT)


class ScreenTerminal:
    """Implements `gpurent.ports.terminal.Terminal`. ``before`` asks questions until the screen is in use."""

    is_interactive = False

    def __init__(self, before: Prompter) -> None:
        self._prompter = before
        self._status: Callable[[str], None] | None = None
        self._confirm: Callable[[str], Awaitable[bool]] | None = None

    @property
    def can_confirm(self) -> bool:
        return self._confirm is not None

    @contextmanager
    def redirect_to(
        self, status: Callable[[str], None], confirm: Callable[[str], Awaitable[bool]]
    ) -> Iterator[None]:
        """Inside the block, show events in the status line through ``status``, and a dialog through ``confirm``.

        No other questions are asked.
        """
        self._status, self._confirm = status, confirm
        try:
            yield
        finally:
            self._status = self._confirm = None

    def _show_text(self, text: str) -> None:
        if self._status is not None:
            self._status(text)
        else:
            write_line(text, err=True)

    def show_event(self, event: Event) -> None:
        if event.text and event.kind not in _HIDDEN_EVENTS:
            self._show_text(" ".join(part for part in (event.lease, event.text) if part))

    async def confirm(self, question: Question) -> bool:
        text = "\n".join(map(strip_to_line, (*question.details, question.text)))
        return self._confirm is not None and await self._confirm(text)

    async def choose(self, question: Question, choices: Mapping[str, str]) -> str | None:
        return None  # the screen's keys are the choices

    async def ask_question(self, question: Question) -> str | None:
        return None if self._status else await self._prompter.ask_question(question)

    def show_output(self, data: bytes) -> None:
        """Ignore it: the table shows the last lines of the sessions already."""

    def start_progress(self, title: str) -> _StatusProgress:
        return _StatusProgress(title, self._show_text)


class _StatusProgress:
    def __init__(self, title: str, say: Callable[[str], None]) -> None:
        self._title, self._show_text = title, say
        self._bytes_total = self._bytes_done = self._percent = 0

    def set_total(self, files: int, size: int) -> None:
        self._bytes_total = size

    def advance(self, size: int, name: str = "") -> None:
        self._bytes_done += size
        percent = 100 * self._bytes_done // max(1, self._bytes_total)
        if percent != self._percent:
            self._percent = percent
            self._show_text(f"{self._title}: {percent} %")

    def finish_file(self, name: str) -> None:
        pass
