"""The terminal of the guard: its words, but nobody is asked, and no job's output is shown."""

from __future__ import annotations

from gpurent.cli.ui import TerminalUi
from gpurent.ports.transfer import Progress


class Unseen:
    """A transfer that nobody watches."""

    def total(self, files: int, size: int) -> None:
        pass

    def advance(self, size: int, name: str = "") -> None:
        pass

    def file_done(self, name: str) -> None:
        pass


class QuietUi(TerminalUi):
    """Confirms nothing: what would need a yes is not done."""

    def __init__(self, *, quiet: bool = False) -> None:
        super().__init__(quiet=quiet, no_input=True)

    def output(self, data: bytes) -> None:
        pass

    def progress(self, title: str) -> Progress:
        return Unseen()
