"""Progress of a transfer: a bar with speed and remaining time on a terminal, otherwise an occasional line."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from time import monotonic

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from gpurent.cli.output import is_dumb_terminal, write_line
from gpurent.locale import _
from gpurent.locale.sizes import format_size
from gpurent.terminal_text import strip_to_line

REPORT_INTERVAL = 5.0


class ConsoleProgress:
    """Implements `gpurent.ports.terminal.Progress`."""

    def __init__(self, title: str) -> None:
        self._title = strip_to_line(title)
        self._files_total = self._files_done = self._bytes_total = self._bytes_done = 0
        self._started_at = self._reported_at = monotonic()
        self._bar: Progress | None = None
        if sys.stderr.isatty() and not is_dumb_terminal():
            self._bar = Progress(
                TextColumn("  {task.description}", markup=False),
                BarColumn(),
                TaskProgressColumn(),
                DownloadColumn(),
                TransferSpeedColumn(),
                TimeRemainingColumn(),
                TextColumn("{task.fields[files]}", markup=False),
                console=Console(stderr=True),
                transient=True,
                redirect_stdout=sys.stdout.isatty(),
            )
            self._task = self._bar.add_task(self._title, total=None, files="")
            self._bar.start()

    def set_total(self, files: int, size: int) -> None:
        self._files_total, self._bytes_total = files, size
        if self._bar is not None:
            self._bar.update(self._task, total=self._find_total())

    def advance(self, size: int, name: str = "") -> None:
        self._bytes_done += size
        if self._bar is not None:
            self._bar.update(self._task, completed=self._bytes_done, total=self._find_total())
        elif monotonic() - self._reported_at > REPORT_INTERVAL:
            self._reported_at = monotonic()
            with suppress(OSError):  # what cannot be shown must not end the transfer
                write_line(self._format_line(), indent=2, err=True)

    def finish_file(self, name: str) -> None:
        self._files_done += 1
        if self._bar is not None:
            self._bar.update(self._task, files=self._format_files())

    def _find_total(self) -> int | None:
        """Return the size of everything: files grow and are sent again, so that it is at least what was done."""
        return max(self._bytes_total, self._bytes_done, 1) if self._bytes_total else None

    def _format_files(self) -> str:
        return f"{self._files_done}/{max(self._files_total, self._files_done)}"

    def _format_line(self) -> str:
        seconds = max(monotonic() - self._started_at, 0.001)
        total = self._find_total()
        percent = 100 * self._bytes_done // total if total else 0
        return _("{title}: {files}, {size} ({percent} %), {rate}/s").format(
            title=self._title,
            files=self._format_files(),
            size=format_size(self._bytes_done),
            percent=percent,
            rate=format_size(int(self._bytes_done / seconds)),
        )

    @contextmanager
    def pause(self) -> Iterator[None]:
        """Clear the bar's line, for something else that is written; the bar goes on below it.

        A bar that cannot be shown any more says nothing of where that something goes.
        """
        if self._bar is None:
            yield
            return
        with suppress(OSError):
            self._bar.stop()
        try:
            yield
        finally:
            with suppress(OSError):
                self._bar.start()

    def close(self) -> None:
        if self._bar is not None:
            self._bar.stop()
        if self._files_total:
            write_line(self._format_line(), indent=2, err=True)
