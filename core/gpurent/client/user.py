"""The program as the user: it answers questions, and is told of events and output."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar

from attrs import frozen

from gpurent.domain.events import Event
from gpurent.domain.question import Question
from gpurent.ports.terminal import Progress

Answer = Callable[[Question], str | bool | Awaitable[str | bool | None] | None]
"""Answers a question of gpurent: True or ``"yes"`` agrees, None says that nobody is there. May be a coroutine function.

What is asked, and what it costs, is in the question's ``kind``, ``text`` and ``details``.
"""

_AGREED = ("yes", "y")


class _NoProgress:
    """Implements `gpurent.ports.terminal.Progress` for nobody."""

    def set_total(self, files: int, size: int) -> None: ...
    def advance(self, size: int, name: str = "") -> None: ...
    def finish_file(self, name: str) -> None: ...


@frozen(eq=False)
class ProgramUser:
    """Implements `gpurent.ports.terminal.Terminal`. ``yes``: agrees to everything that needs no person.

    ``on_event`` gets each event, and ``on_output`` what a job prints, unless somebody reads it (`reading_output`). Both
    must return at once.
    """

    answer: Answer | None
    yes: bool
    on_event: Callable[[Event], None]
    on_output: Callable[[bytes], None]
    _reader: ContextVar[Callable[[bytes], None] | None]

    @classmethod
    def make(
        cls,
        answer: Answer | None,
        yes: bool,
        on_event: Callable[[Event], None] | None,
        on_output: Callable[[bytes], None] | None,
    ) -> ProgramUser:
        return cls(answer, yes, on_event or _ignore, on_output or _ignore, ContextVar("reader", default=None))

    @property
    def is_interactive(self) -> bool:
        return self.answer is not None

    @property
    def can_confirm(self) -> bool:
        return self.yes or self.answer is not None

    async def confirm(self, question: Question) -> bool:
        if self.yes and not question.needs_person:
            return True
        given = await self._ask(question)
        return given is True or (isinstance(given, str) and given.strip().lower() in _AGREED)

    async def choose(self, question: Question, choices: Mapping[str, str]) -> str | None:
        if self.yes:
            return next(iter(choices))
        given = await self._ask(question)
        return given if isinstance(given, str) and given in choices else None

    async def ask_question(self, question: Question) -> str | None:
        given = await self._ask(question)
        return given if isinstance(given, str) and given else None

    async def _ask(self, question: Question) -> str | bool | None:
        if self.answer is None:
            return None
        given = self.answer(question)
        return await given if inspect.isawaitable(given) else given

    def show_event(self, event: Event) -> None:
        self.on_event(event)

    def show_output(self, data: bytes) -> None:
        (self._reader.get() or self.on_output)(data)

    def start_progress(self, title: str) -> Progress:
        return _NoProgress()

    @contextmanager
    def reading_output(self, read: Callable[[bytes], None]) -> Iterator[None]:
        """Give the output that this task's own work shows to ``read``."""
        before = self._reader.set(read)
        try:
            yield
        finally:
            self._reader.reset(before)


def _ignore(found: object) -> None:
    """Nobody wants to know."""
