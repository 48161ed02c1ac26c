"""What is shown while the screen is taken."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click

from gpurent.domain.events import Event, EventKind
from gpurent.domain.question import Question
from gpurent.domain.terminal_text import strip_terminal
from gpurent.ports.terminal import Prompter

_QUIET = (EventKind.STEP_BEGUN, EventKind.STEP_DONE, EventKind.PROGRESS, EventKind.JOB_OUTPUT)


class ScreenTerminal:
    """Implements `gpurent.ports.terminal.Terminal`. ``before`` asks as long as the screen is not taken."""

    interactive = False

    def __init__(self, before: Prompter) -> None:
        self._before = before
        self._status: Callable[[str], None] | None = None

    @contextmanager
    def taken(self, status: Callable[[str], None]) -> Iterator[None]:
        """The screen is taken inside the block: the last event goes to ``status``, and nobody is asked."""
        self._status = status
        try:
            yield
        finally:
            self._status = None

    def _say(self, text: str) -> None:
        if self._status is not None:
            self._status(text)
        else:
            click.echo(text, err=True)

    def show_event(self, event: Event) -> None:
        if event.text and event.kind not in _QUIET:
            self._say(strip_terminal(" ".join(part for part in (event.lease, event.text) if part)))

    async def confirm(self, question: Question) -> bool:
        return False

    async def ask(self, question: Question) -> str | None:
        return None if self._status else await self._before.ask(question)

    def show_output(self, data: bytes) -> None:
        """The table shows the sessions' last lines already."""

    def start_progress(self, title: str) -> _Progress:
        return _Progress(title, self._say)


class _Progress:
    def __init__(self, title: str, say: Callable[[str], None]) -> None:
        self._title, self._say = title, say
        self._size = self._moved = self._percent = 0

    def total(self, files: int, size: int) -> None:
        self._size = size

    def advance(self, size: int, name: str = "") -> None:
        self._moved += size
        percent = 100 * self._moved // max(1, self._size)
        if percent != self._percent:
            self._percent = percent
            self._say(f"{self._title}: {percent} %")

    def file_done(self, name: str) -> None:
        pass
