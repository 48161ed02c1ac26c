"""The terminal of the guard: its words, but nobody is asked, and no job's output is shown."""

from __future__ import annotations

import sys

import click

from gpurent.cli.ui import TerminalUi
from gpurent.domain.events import Event, EventKind
from gpurent.roles.transfer import Progress


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

    def notify(self, event: Event) -> None:
        """A payment page also as a code to scan, where a person may see it."""
        super().notify(event)
        code = str(event.data.get("qr", ""))
        if event.kind is EventKind.TOP_UP and code and sys.stderr.isatty():
            from gpurent.cli.views.qr import drawable, qr_text

            if drawable():
                click.echo(qr_text(code), err=True)

    def output(self, data: bytes) -> None:
        pass

    def progress(self, title: str) -> Progress:
        return Unseen()
