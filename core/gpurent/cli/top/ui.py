"""What the workflow says while the screen is taken."""

from __future__ import annotations

from collections.abc import Callable

from gpurent.domain.events import Event, EventKind
from gpurent.domain.terminal_text import strip_terminal

_QUIET = (EventKind.STEP_BEGUN, EventKind.STEP_DONE, EventKind.PROGRESS, EventKind.JOB_OUTPUT)


class ScreenUi:
    """Implements `Ui`: the last words go to ``say``; questions are for the terminal, before it."""

    interactive = False

    def __init__(self, ask: Callable[[str, bool], str | None]) -> None:
        self.say: Callable[[str], None] = lambda text: None
        self._ask = ask
        self.taken = False

    def notify(self, event: Event) -> None:
        if event.text and event.kind not in _QUIET:
            self.say(strip_terminal(" ".join(part for part in (event.lease, event.text) if part)))

    def confirm(self, question: str) -> bool:
        return False

    def ask(self, label: str, secret: bool = False) -> str | None:
        return None if self.taken else self._ask(label, secret)

    def output(self, data: bytes) -> None:
        """The table shows the sessions' last lines already."""

    def progress(self, title: str) -> _Progress:
        return _Progress(title, self.say)


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
